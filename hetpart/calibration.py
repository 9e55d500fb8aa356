"""Calibration data: inputs that a network sees. They need no labels."""

from __future__ import annotations

import difflib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from hetpart.errors import HetpartError, InternalError

Array = np.ndarray[Any, np.dtype[Any]]

CODE = "bad-calibration"
"""Code of every error of calibration data."""

SAMPLED_MACS = 1e11
LEAST_SAMPLES = 32
"""How many samples passes look at: as many as this work allows, a few seconds of one core, and no fewer than these."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Samples for a model.

    Attributes:
        inputs: per input of the model its samples, [samples, ...the input's shape]: entry i of all of them is fed in
            one run. A model whose batch is 1 sees single images, one whose batch is b sees b at once.
    """

    inputs: Mapping[str, Array]

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    def __iter__(self) -> Iterator[dict[str, Array]]:
        """What to feed, run by run."""
        return ({name: samples[index] for name, samples in self.inputs.items()} for index in range(len(self)))

    def thinned(self, most: int) -> Calibration:
        """At most so many samples, evenly spaced over all."""
        if len(self) <= most:
            return self
        chosen = np.arange(most) * len(self) // most
        return Calibration({name: samples[chosen] for name, samples in self.inputs.items()})


def affordable(macs: int, most: int) -> int:
    """How many runs passes should look at, up to `most`, of a network of so many multiply-adds."""
    return int(min(max(SAMPLED_MACS / max(1, macs), LEAST_SAMPLES), most))


def load_calibration(path: Path, model: ir.Model) -> Calibration:
    """The arrays of an .npz file, one per input of `model`, under the inputs' names.

    An array has the input's type and either its shape with more along the first axis, [n * batch, ...], or one axis
    in front of the whole shape, [n, batch, ...].

    Args:
        path: the file. It is read into memory.
        model: a model with static shapes.

    Raises:
        HetpartError: ``bad-calibration``.
    """
    return calibration(read_arrays(path), model, str(path))


def calibration(arrays: Mapping[str, Array], model: ir.Model, source: str = "the calibration data") -> Calibration:
    """As `load_calibration`, of arrays in memory; `source` is what errors call them."""
    ports = {value.name or "": value for value in model.graph.inputs if not value.is_initializer()}
    for name in arrays:
        if name not in ports:
            close = difflib.get_close_matches(name, ports, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"inputs: {', '.join(ports)}"
            raise HetpartError(CODE, f"{source} has '{name}', which is no input of the model", hint=hint)
    if not ports:
        raise HetpartError(CODE, "the model has no inputs, so there is nothing to calibrate with")
    inputs = {}
    for name, port in ports.items():
        if name not in arrays:
            has = ", ".join(f"'{other}'" for other in arrays) or "nothing"
            hint = f"numpy.savez(FILE, **{{'{name}': array}})"
            raise HetpartError(CODE, f"{source} has {has}, but not the input '{name}'", hint=hint)
        inputs[name] = _samples(arrays[name], port, source)
    counts = {name: len(samples) for name, samples in inputs.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} of '{name}'" for name, count in counts.items())
        raise HetpartError(CODE, f"{source} has unequally many samples: {listed}", hint="give as many of each input")
    return Calibration(inputs)


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an .npz file by name; HetpartError ``bad-calibration``."""
    hint = "save it with numpy.savez(FILE, **{'INPUT': array})"
    try:
        file = np.load(path, allow_pickle=False)
    except OSError as error:
        raise HetpartError(CODE, f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise HetpartError(CODE, f"{path} is no .npz file: {error}", hint=hint) from error
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise HetpartError(CODE, f"{path} holds a single array", hint=hint)
    arrays = {}
    with file:
        for name in file.files:
            try:
                arrays[name] = file[name]
            except (ValueError, EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
                hint = "save arrays of numbers, numpy.float32 for example: objects are not read"
                raise HetpartError(CODE, f"{path}: cannot read '{name}': {error}", hint=hint) from error
            if not isinstance(arrays[name], np.ndarray):
                raise HetpartError(CODE, f"{path}: '{name}' is no array", hint=hint)
    return arrays


def _samples(array: Array, port: ir.Value, source: str) -> Array:
    """[samples, ...shape of the port], checked."""
    if port.shape is None or not port.shape.is_static() or port.dtype is None:
        raise InternalError("dynamic-shape", f"an input has no static type ({port.shape})", node=port.name)
    where, shape, dtype = f"{source}: '{port.name}'", port.shape.numpy(), port.dtype.numpy()
    if array.dtype != dtype:
        hint = f"array.astype(numpy.{dtype}), with the values that the model expects"
        raise HetpartError(CODE, f"{where} is {array.dtype}, the model's input is {dtype}", hint=hint)
    batched = array.ndim == len(shape) and array.ndim and array.shape[1:] == shape[1:]
    if not batched and array.shape[1:] != shape:
        wanted = [f"(n, {', '.join(map(str, shape))})".replace(", )", ",)")]
        if shape:
            multiple = "n" if shape[0] == 1 else f"n * {shape[0]}"
            wanted.insert(0, f"({', '.join(map(str, (multiple, *shape[1:])))})")
        hint = f"give it as {' or '.join(wanted)}"
        raise HetpartError(CODE, f"{where} has shape {array.shape}, the model's input {shape}", hint=hint)
    if array.size == 0:
        raise HetpartError(CODE, f"{where} has no samples", hint="give at least one; some hundred are better")
    if batched and len(array) % shape[0]:
        hint = f"the model takes {shape[0]} at once: give a multiple"
        raise HetpartError(CODE, f"{where} has {len(array)} samples", hint=hint)
    if array.dtype.kind == "f" and (bad := int(array.size - np.isfinite(array).sum())):
        raise HetpartError(CODE, f"{where} has {bad} numbers that are NaN or infinite", hint="leave those samples out")
    return array.reshape(-1, *shape)
