"""The engines that the benchmarks compare: one module each, all with the functions of `Engine`.

Everything an engine needs is imported inside its functions, so that one that is not installed is only absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Protocol, cast

import numpy as np

Arrays = Mapping[str, np.ndarray]
Run = Callable[[Arrays], Arrays]
"""Inputs by name -> outputs by name, as in the ONNX model; the outputs may be views until the next run."""

NAMES = ("hetpart", "onnxruntime", "openvino", "mnn", "ncnn", "iree")

REFERENCE = "onnxruntime"
"""The engine whose outputs the others have to reproduce."""


class Engine(Protocol):
    """What a module of this package offers."""

    __file__: str | None

    PACKAGES: Sequence[str]
    """Distributions on PyPI that must be installed; the version of the first is the engine's."""

    def prepare(self, model: Path, folder: Path) -> Path:
        """Converts the ONNX file `model` into what `load` takes, inside the empty `folder`; may take minutes.

        Raises RuntimeError with the engine's message where it cannot.
        """
        ...

    def load(self, prepared: Path, cores: Sequence[int]) -> Run:
        """The model ready to run in fp32 on one thread per core; the process is confined to `cores` already."""
        ...


def engine(name: str) -> Engine:
    """The engine's module; `name` is one of `NAMES`."""
    return cast(Engine, import_module(f"{__name__}.{name}"))


def version(name: str) -> str:
    """The engine's version.

    Raises:
        RuntimeError: it is not installed; the message says what to install.
    """
    try:
        first, *_ = [metadata.version(package) for package in engine(name).PACKAGES]
    except metadata.PackageNotFoundError as error:
        raise RuntimeError(f"{error.name} is not installed") from error
    return first
