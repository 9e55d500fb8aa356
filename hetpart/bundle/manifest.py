"""The manifest: what a bundle is, what is in it, and what was decided when it was compiled.

`manifest.json` is this dataclass with sorted keys, and a digest of the rest. The C runtime does not read it; people,
tools and the Python side do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from hetpart.bundle.digest import FileInfo, digest
from hetpart.errors import HetpartError

SCHEMA = 3
"""Version of the bundle's layout and of this file; readers accept no other."""

FORMAT = "hetpart-bundle"


@dataclass(frozen=True)
class TensorInfo:
    """A model input or output: its ONNX name, numpy dtype and logical shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ProcessorInfo:
    """A processor of the target: its kind, the threads one kernel uses, the core to pin it to on a bench (or None)."""

    kind: str
    threads: int = 1
    core: int | None = None


@dataclass(frozen=True)
class NodePlacement:
    """Where an ONNX node runs in the main plan, as part of which unit, and when by the prediction."""

    node: str
    unit: str
    processor: str
    start_us: int
    predicted_us: int


@dataclass(frozen=True)
class PlanInfo:
    """A plan of the bundle: its file, predicted latency, the bytes of its arena, the processors it uses."""

    file: str
    predicted_us: int
    arena_bytes: int
    processors: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """Contents of `manifest.json`.

    Attributes:
        model: the name of what was compiled.
        target: the target's name.
        tools: versions of hetpart and of what it compiled with, by name.
        inputs, outputs: in the ONNX model's order.
        processors: by name.
        plans: by variant, ``main`` and perhaps ``cpu``.
        placement: one entry per ONNX node, in topological order.
        decision: how the placement came about: strategy, lower bound, gap, baselines and so on; plain JSON.
        files: every other file of the bundle; filled in by `write_bundle`.
        schema: see `SCHEMA`.
    """

    model: str
    target: str
    tools: Mapping[str, str]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    processors: Mapping[str, ProcessorInfo]
    plans: Mapping[str, PlanInfo]
    placement: tuple[NodePlacement, ...] = ()
    decision: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, FileInfo] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def predicted_us(self) -> int:
        """Predicted latency of the main plan."""
        return self.plans["main"].predicted_us

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data, `sealed`."""
        return sealed({"format": FORMAT, **asdict(self)})

    def dumps(self) -> bytes:
        """Contents of `manifest.json`; equal manifests give equal bytes."""
        return _text(self.to_json())


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with the digest that `parse_manifest` wants to see: of their text without it."""
    rest = {name: value for name, value in values.items() if name != "digest"}
    return rest | {"digest": f"{digest(_text(rest)):016x}"}


def _text(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def parse_manifest(data: bytes, where: str) -> Manifest:
    """The manifest in the bytes of a `manifest.json`; `where` is for messages.

    Raises HetpartError ``not-a-bundle``, ``version-mismatch`` or ``corrupt-manifest``.
    """
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        code = "corrupt-manifest" if FORMAT.encode() in data else "not-a-bundle"
        raise HetpartError(code, f"{where}: manifest.json is not JSON: {error}") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise HetpartError("not-a-bundle", f"{where}: manifest.json is not that of a hetpart bundle")
    if values.get("schema") != SCHEMA:
        raise HetpartError(
            "version-mismatch",
            f"{where}: bundle schema {values.get('schema')}, this hetpart reads schema {SCHEMA}",
            hint="compile the model again with this version",
        )
    try:
        if sealed(values)["digest"] != values["digest"]:
            raise ValueError("its digest does not match")
        return Manifest(
            **_known(Manifest, values)
            | {
                "inputs": tuple(_tensor(value) for value in values["inputs"]),
                "outputs": tuple(_tensor(value) for value in values["outputs"]),
                "processors": {
                    name: ProcessorInfo(**_known(ProcessorInfo, value)) for name, value in values["processors"].items()
                },
                "plans": {
                    name: PlanInfo(**_known(PlanInfo, value) | {"processors": tuple(value["processors"])})
                    for name, value in values["plans"].items()
                },
                "placement": tuple(NodePlacement(**_known(NodePlacement, value)) for value in values["placement"]),
                "files": {
                    _relative(name): FileInfo(**_known(FileInfo, value)) for name, value in values["files"].items()
                },
            }
        )
    except (TypeError, KeyError, AttributeError, ValueError, RecursionError) as error:
        raise HetpartError(
            "corrupt-manifest", f"{where}: manifest.json is damaged: {error}", hint="copy the bundle again"
        ) from error


def _known(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """The values that `kind` has a field for: a later hetpart may write more, which changes nothing for us."""
    return {field.name: values[field.name] for field in fields(kind) if field.name in values}


def _tensor(value: dict[str, Any]) -> TensorInfo:
    return TensorInfo(**_known(TensorInfo, value) | {"shape": tuple(value["shape"])})


def _relative(name: str) -> str:
    """`name` if it stays inside of the bundle."""
    if name.startswith("/") or "\\" in name or any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"{name!r} is not the name of a part")
    return name
