"""The shape of a unit's work in a few characters, for tables."""

from __future__ import annotations

from collections.abc import Sequence

from hetpart.graph.units import Unit, UnitGraph


def describe(unit: Unit, graph: UnitGraph) -> str:
    """E.g. ``3x3/2 64>128 @28`` (stride, channels, output size), ``197x192x576`` (m, k, n), else the output's shape."""
    out = graph.types[unit.outputs[0]].shape
    if not unit.nodes:
        return _times(out)
    anchor = unit.anchor
    if anchor.op_type in ("Conv", "ConvTranspose"):
        kernel = _shape(anchor.inputs[1], graph)[2:]
        channels = _shape(anchor.inputs[0], graph)[1]
        strides, group = anchor.attributes.get_ints("strides", [1]), anchor.attributes.get_int("group", 1)
        stride = f"/{max(strides)}" if max(strides) > 1 else ""
        groups = "" if group == 1 else " depthwise" if group == channels else f" {group} groups"
        _, filters, *sizes = _shape(anchor.outputs[0], graph)
        size = sizes[:1] if len(set(sizes)) == 1 else sizes
        return f"{_times(kernel)}{stride} {channels}>{filters} @{_times(size)}{groups}"
    if anchor.op_type in ("Gemm", "MatMul"):
        left = _shape(anchor.inputs[0], graph)
        depth = left[0] if anchor.attributes.get_int("transA", 0) else left[-1]
        result = _shape(anchor.outputs[0], graph)
        batch = f"{_times(result[:-2])} of " if result[:-2] and max(result[:-2]) > 1 else ""
        rows = result[-2] if len(result) > 1 else 1
        return f"{batch}{rows}x{depth}x{result[-1]}"
    return _times(out)


def _times(numbers: Sequence[int]) -> str:
    return "x".join(map(str, numbers))


def _shape(value: object, graph: UnitGraph) -> tuple[int, ...]:
    name = getattr(value, "name", None)
    if name in graph.types:
        return graph.types[name].shape
    return tuple(int(n) for n in value.shape)  # type: ignore[attr-defined]  # an initialiser
