"""Profiles: what other engines are published to support, one table of operators per engine and processor.

The tables stand in ``data/*.json``, with their sources:

    profiles   per name: title, table of kernels, kind of processor, placement rule, limits on tensors
    anchors    operators that a GPU takes whatever stands around them (placement rule ``follow``)
    folds      ONNX operators that the engine's converter folds into the operator before
    kernels    per table: operator of the engine -> conditions; an operator without an entry has no kernel there
    onnx       ONNX operator -> operators of the engine, all of which it needs, or alternatives with conditions;
               absent where the engine's operators are ONNX's own
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from hetpart.errors import HetpartError

_FILES = ("mace.json", "tflite.json", "qnn.json")


@dataclass(frozen=True)
class Fold:
    """ONNX operators that become part of the operator before.

    Attributes:
        onnx: the ONNX operators.
        only: they fold only where they stand for one of these operators of the engine.
        into: operators of the engine that take them in.
    """

    onnx: frozenset[str]
    only: frozenset[str]
    into: frozenset[str]


@dataclass(frozen=True)
class Alternative:
    """Operators of the engine that together stand for an ONNX operator, where all `conditions` hold."""

    conditions: tuple[str, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True)
class Engine:
    """What all profiles of an engine share.

    Attributes:
        onnx: per ONNX operator the alternatives, in the order in which they are tried; None: the names are the same.
    """

    name: str
    sources: tuple[str, ...]
    anchors: frozenset[str]
    folds: tuple[Fold, ...]
    onnx: Mapping[str, tuple[Alternative, ...]] | None


@dataclass(frozen=True)
class Profile:
    """Published support of one engine on one kind of processor.

    Attributes:
        kind: of the processor: ``cpu``, ``opencl``, ``hexagon``, or ``any`` accelerator.
        hexagon: first and last Hexagon version that is served.
        placement: see `hetpart.oracle.profiles.placement`.
        partitions: how many partitions are handed over at most; 0: all.
        kernels: operator of the engine -> conditions on it.
        dtypes: types of tensors that are accepted; empty: all.
        int8: only 8-bit tensors are accepted.
        max_rank: dimensions of a tensor at most; 0: no limit.
        batch: the batch size that is accepted; 0: any.
        level: feature level.
    """

    name: str
    title: str
    engine: Engine
    kind: str
    placement: str
    kernels: Mapping[str, tuple[str, ...]]
    hexagon: tuple[int, int] = (0, 999)
    partitions: int = 0
    dtypes: frozenset[str] = frozenset()
    int8: bool = False
    max_rank: int = 0
    batch: int = 0
    level: int = 0


def profile_names() -> tuple[str, ...]:
    """Names of all profiles, engine by engine."""
    return tuple(_profiles())


def load_profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        HetpartError: ``unknown-profile``; lists the names, suggests the closest.
    """
    known = _profiles()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        suggestion = f"did you mean {close[0]}? " if close else ""
        hint = f"{suggestion}known profiles: {', '.join(known)}"
        raise HetpartError("unknown-profile", f"there is no profile {name!r}", hint=hint)
    return known[name]


@cache
def _profiles() -> dict[str, Profile]:
    folder = files("hetpart.oracle.profiles") / "data"
    found: dict[str, Profile] = {}
    for file in _FILES:
        data = json.loads((folder / file).read_text(encoding="utf-8"))
        engine = _engine(data)
        for name, entry in data["profiles"].items():
            found[name] = _profile(name, entry, engine, data["kernels"])
    return found


def _engine(data: Mapping[str, Any]) -> Engine:
    onnx = data.get("onnx")
    return Engine(
        name=data["engine"],
        sources=tuple(data["sources"]),
        anchors=frozenset(data["anchors"]),
        folds=tuple(Fold(frozenset(f["onnx"]), frozenset(f["as"]), frozenset(f["into"])) for f in data["folds"]),
        onnx=None if onnx is None else {op: _alternatives(entry) for op, entry in onnx.items()},
    )


def _alternatives(entry: list[Any]) -> tuple[Alternative, ...]:
    if all(isinstance(operator, str) for operator in entry):
        return (Alternative((), tuple(entry)),)
    return tuple(Alternative(tuple(item.get("if", ())), tuple(item["is"])) for item in entry)


def _profile(name: str, entry: Mapping[str, Any], engine: Engine, kernels: Mapping[str, Any]) -> Profile:
    first, last = entry.get("hexagon", (0, 999))
    return Profile(
        name=name,
        title=entry["title"],
        engine=engine,
        kind=entry["kind"],
        placement=entry["placement"],
        kernels={operator: tuple(conditions) for operator, conditions in kernels[entry["table"]].items()},
        hexagon=(first, last),
        partitions=entry.get("partitions", 0),
        dtypes=frozenset(entry.get("dtypes", ())),
        int8=entry.get("int8", False),
        max_rank=entry.get("max_rank", 0),
        batch=entry.get("batch", 0),
        level=entry.get("level", 0),
    )
