"""Which row-major values are stored in float16, where a network is compiled to compute so.

A value is, unless somebody needs it in float32: the caller (the model's inputs and outputs), or a unit that works on
ONNX's own types (kind ``other``). Units that only move elements do not convert them: what they read and what they make
is stored alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from hetpart.graph.units import Unit, UnitGraph

_ARITHMETIC = frozenset({"dense", "matmul", "softmax", "layer_norm", "eltwise", "repack"})
"""Kinds whose kernels read and write either type."""

_MOVING = frozenset({"transpose", "concat", "view"})
"""Kinds that move elements as they are."""


def half_values(graph: UnitGraph, blocked: Set[str], ports: Iterable[str], views: Mapping[str, str]) -> frozenset[str]:
    """The float32 values of `graph` to store in float16.

    Args:
        graph: with all layout changes.
        blocked: values that are maps.
        ports: values that the caller reads.
        views: value -> the value in whose memory it is found by strides.
    """
    kept = {value for value, kind in graph.types.items() if kind.dtype != "float32" or value not in graph.producer}
    kept |= {*ports, *blocked}
    links: list[set[str]] = [{value, root} for value, root in views.items()]
    for unit in graph:
        touched = {v for v in (*unit.inputs, *unit.outputs) if v not in blocked}
        if unit.kind in _MOVING and _moves_rows(unit, blocked):
            links.append(touched)
        elif unit.kind not in _ARITHMETIC | _MOVING and views.keys().isdisjoint(unit.outputs):
            kept |= touched
    while grown := [link for link in links if not link <= kept and not link.isdisjoint(kept)]:
        kept |= set().union(*grown)
    return frozenset(graph.types.keys() - kept)


def _moves_rows(unit: Unit, blocked: Set[str]) -> bool:
    """Not if one side is a map: between forms elements are converted."""
    return blocked.isdisjoint((*unit.inputs, *unit.outputs))
