"""Channel moves: chains of nodes that only put whole channels of maps elsewhere, as one unit.

Such a chain is a Concat of maps, channel shuffles (Reshape, Transpose, Reshape), and at its end Split, Slice or Gather
along the channels. Node by node it costs a pass over memory each, most of them in row-major form; as one unit, one pass
in the form that convolutions read and write. Without a shuffle and a selection there is nothing to gain: a Concat
alone is made in place (hetpart.graph.inplace).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from hetpart.graph.units import Picks
from hetpart.passes.edit import attribute, constant, integers, is_operator, operand, required, shape_of, used_once

_SELECTORS = ("Gather", "Slice", "Split")

_MAKES_MAPS = frozenset({"AveragePool", "Conv", "ConvTranspose", "InstanceNormalization", "MaxPool", "Pad", "Resize"})
"""Operators whose kernels write channel blocks, whatever they read."""


@dataclass(frozen=True)
class ChannelMove:
    """A chain of nodes with the values that it reads and makes.

    Attributes:
        nodes: in topological order.
        inputs: without repetition.
        outputs: those that are read or are graph outputs.
        picks: for each output, where each of its channels comes from.
    """

    nodes: tuple[ir.Node, ...]
    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]
    picks: tuple[Picks, ...]


def channel_move(node: ir.Node) -> ChannelMove | None:
    """The chain that begins with `node`; None if it begins none, or not on maps."""
    if is_operator(node, "Concat"):
        sources = [value for value in node.inputs if value is not None]
        value, nodes = node.outputs[0], [node]
        if attribute(node, "axis", 0) not in (1, -3):
            return None
    else:
        first = operand(node, 0)
        if first is None or not is_operator(node, "Reshape", *_SELECTORS):
            return None
        sources, value, nodes = [first], first, []
    if not all(_is_map(source) for source in sources) or not any(in_blocks(source) for source in sources):
        return None
    inputs = tuple(dict.fromkeys(sources))
    picks: Picks = tuple((inputs.index(each), channel) for each in sources for channel in range(shape_of(each)[1]))
    readers = [node] if not nodes else list(value.consumers())
    shuffled = False
    while len(readers) == 1 and (not nodes or used_once(value)) and (found := _shuffle(readers[0])) is not None:
        order, chain = found
        picks, shuffled = tuple(picks[channel] for channel in order), True
        nodes += chain
        value = chain[-1].outputs[0]
        readers = list(value.consumers())
    selections = [_selection(reader) for reader in readers]
    if readers and not (nodes and value.is_graph_output()) and None not in selections:
        made = [pair for selection in selections if selection is not None for pair in selection]
        nodes += readers
    elif shuffled:
        made = [(value, tuple(range(len(picks))))]
    else:
        return None
    made = [(output, order) for output, order in made if output.uses() or output.is_graph_output()]
    if not made or any(not order for _, order in made):
        return None
    outputs = tuple(output for output, _ in made)
    return ChannelMove(
        tuple(nodes), inputs, outputs, tuple(tuple(picks[channel] for channel in order) for _, order in made)
    )


def _is_map(value: ir.Value) -> bool:
    activation = not value.is_initializer() and value.dtype == ir.DataType.FLOAT
    return activation and len(shape_of(value)) == 4 and 0 not in shape_of(value)


def in_blocks(value: ir.Value) -> bool:
    """Whether a kernel writes `value` in channel blocks; looks through what keeps the form of its first input."""
    while (node := value.producer()) is not None and _is_map(value):
        if node.op_type in _MAKES_MAPS and node.domain == "":
            return True
        if not node.inputs:
            return False
        before = _before_shuffle(node) if is_operator(node, "Reshape") else node.inputs[0]
        if before is None or is_operator(node, "Transpose"):
            return False
        value = before
    return False


def _shuffle(reshape: ir.Node) -> tuple[tuple[int, ...], list[ir.Node]] | None:
    """A shuffle that begins with `reshape`: for each channel the one it was before, and the nodes."""
    if not is_operator(reshape, "Reshape") or not used_once(split := reshape.outputs[0]):
        return None
    transpose = split.consumers()[0]
    if not is_operator(transpose, "Transpose") or not used_once(moved := transpose.outputs[0]):
        return None
    joined = moved.consumers()[0]
    data = reshape.inputs[0]
    if data is None or not is_operator(joined, "Reshape") or shape_of(joined.outputs[0]) != shape_of(data):
        return None
    (n, channels, *size), parts = shape_of(data), shape_of(split)
    perm = attribute(transpose, "perm", tuple(reversed(range(len(parts)))))
    for stop in range(2, len(parts) + 1):  # parts[1:stop] are the channels, what follows the pixels
        whole = parts[0] == n and math.prod(parts[1:stop]) == channels and math.prod(parts[stop:]) == math.prod(size)
        if whole and (perm[0], *perm[stop:]) == (0, *range(stop, len(parts))):
            order = np.arange(channels).reshape(parts[1:stop]).transpose([axis - 1 for axis in perm[1:stop]])
            return tuple(order.reshape(-1).tolist()), [reshape, transpose, joined]
    return None


def _before_shuffle(joined: ir.Node) -> ir.Value | None:
    """What the shuffle that ends with the Reshape `joined` reads; None if it ends none."""
    transpose = required(joined, 0).producer()
    if transpose is None or not is_operator(transpose, "Transpose"):
        return None
    reshape = required(transpose, 0).producer()
    return None if reshape is None or _shuffle(reshape) is None else required(reshape, 0)


def _selection(node: ir.Node) -> list[tuple[ir.Value, tuple[int, ...]]] | None:
    """What `node` selects among the channels of its first input: each output with its channels there."""
    data = operand(node, 0)
    if data is None or not is_operator(node, *_SELECTORS) or any(v is data for v in node.inputs[1:]):
        return None
    channels = shape_of(data)[1]
    match node.op_type:
        case "Split":
            if attribute(node, "axis", 0) not in (1, -3):
                return None
            parts, first = [], 0
            for output in node.outputs:
                size = shape_of(output)[1]
                parts.append((output, tuple(range(first, first + size))))
                first += size
            return parts
        case "Gather":
            indices = constant(operand(node, 1))
            if attribute(node, "axis", 0) not in (1, -3) or indices is None or indices.ndim != 1:
                return None
            return [(node.outputs[0], tuple(int(index) % channels for index in indices))]
        case _:
            starts, ends, steps = (integers(operand(node, index)) for index in (1, 2, 4))
            axes = integers(operand(node, 3)) if operand(node, 3) is not None else (0,)
            if starts is None or ends is None or axes not in ((1,), (-3,)) or (operand(node, 4) and steps is None):
                return None
            step = steps[0] if steps else 1
            kept = range(channels)[slice(starts[0], _end(ends[0], channels, step), step)]
            return [(node.outputs[0], tuple(kept))]


def _end(end: int, channels: int, step: int) -> int | None:
    """ONNX's end of a slice as Python's: before the first channel there is no number in Python."""
    return None if step < 0 and end < -channels else end
