"""Which nodes between DequantizeLinear and QuantizeLinear become one unit that computes in integers.

`product` recognises convolutions and products with constant weights, `pooling` averages and global maxima, `chain`
elementwise steps. All look at the form that hetpart.passes.quantised_form establishes: a DequantizeLinear has one
reader. A result that nothing quantises again stays float32, which the kernels can store as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from hetpart.graph.quantised import LIMITS, Quantised, Scheme, Weights
from hetpart.passes.edit import attribute, constant, is_operator, operand, scalar, shape_of, used_once
from hetpart.passes.steps import Draft, beginning, continuation


@dataclass(frozen=True, eq=False)
class Match:
    """Nodes of one quantised unit.

    Attributes:
        kind: of the unit.
        nodes: the anchor, what follows it, then the DequantizeLinear nodes before it.
        inputs: what the unit reads: quantised or float32 activations; the data first.
        result: what it makes.
        quantised: its integer side.
        drafts: its elementwise steps.
    """

    kind: str
    nodes: tuple[ir.Node, ...]
    inputs: tuple[ir.Value, ...]
    result: ir.Value
    quantised: Quantised
    drafts: tuple[Draft, ...] = ()


def scheme_of(node: ir.Node | None) -> Scheme | None:
    """The scheme of a QuantizeLinear or DequantizeLinear between float32 and 8 bits, if it is one for the tensor."""
    if node is None or not is_operator(node, "QuantizeLinear", "DequantizeLinear") or len(node.inputs) < 2:
        return None
    real, stored = node.inputs[0], node.outputs[0]
    if node.op_type == "DequantizeLinear":
        real, stored = stored, real
    scale, zero_point = scalar(node.inputs[1]), operand(node, 2)
    zero = 0.0 if zero_point is None else scalar(zero_point)
    if stored is None or real is None or stored.dtype is None or real.dtype != ir.DataType.FLOAT:
        return None
    dtype = stored.dtype.numpy().name
    if dtype not in LIMITS or scale is None or zero is None or not (0 < scale < np.inf):
        return None
    return Scheme(scale, int(zero), dtype)


def dequantised(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear of an activation, with a scheme, whose only reader reads `value`."""
    node = None if value is None else value.producer()
    if value is None or node is None or not is_operator(node, "DequantizeLinear") or not used_once(value):
        return None
    stored = node.inputs[0]
    return node if stored is not None and not stored.is_initializer() and scheme_of(node) is not None else None


def match(node: ir.Node) -> Match | None:
    """The unit that `node` anchors, if its inputs are quantised (elementwise operators: see `chain`)."""
    if node.domain != "":
        return None
    if node.op_type in ("Conv", "MatMul"):
        return _product(node)
    return _pooling(node) if node.op_type in _POOLS else None


def chain(node: ir.Node) -> Match | None:
    """The elementwise unit that begins at `node`, if it dequantises or quantises; `node` may do only that."""
    if is_operator(node, "QuantizeLinear", "DequantizeLinear"):
        return _conversion(node)
    start = beginning(node)
    if start is None:
        return None
    acc, found = start
    nodes, drafts, result = found.nodes, found.steps, found.result
    while (more := continuation(result)) is not None and all(draft.operand is not result for draft in more.steps):
        nodes, drafts, result = nodes + more.nodes, drafts + more.steps, more.result
    sources: dict[ir.Value, ir.Node] = {}
    for value in (acc, *(draft.operand for draft in drafts if draft.operand is not None)):
        if (source := dequantised(value)) is not None:
            sources[value] = source
    quantise, output = _quantise(result) or (None, None)
    if not sources and quantise is None:
        return None

    def stored(value: ir.Value) -> ir.Value:
        found = sources[value].inputs[0] if value in sources else None
        return value if found is None else found

    operands = list(dict.fromkeys(draft.operand for draft in drafts if draft.operand is not None))
    schemes = tuple(scheme_of(sources.get(value)) for value in (acc, *operands))
    drafts = tuple(d if d.operand is None else replace(d, operand=stored(d.operand)) for d in drafts)
    if len({stored(value) for value in operands}) < len(operands):
        return None  # one tensor under two schemes: operands are told apart by their names
    nodes = (*nodes, *([quantise] if quantise is not None else []), *sources.values())
    low, high = LIMITS[output.dtype] if output is not None else (0, 0)
    result = result if quantise is None else quantise.outputs[0]
    inputs = (stored(acc), *(stored(value) for value in operands))
    return Match("qeltwise", nodes, inputs, result, Quantised(schemes, output, low, high), drafts)


def _conversion(node: ir.Node) -> Match | None:
    """Quantise, dequantise, or one after the other."""
    scheme, data = scheme_of(node), node.inputs[0]
    if scheme is None or data is None or data.is_initializer():
        return None
    if node.op_type == "QuantizeLinear":
        low, high = LIMITS[scheme.dtype]
        return Match("qeltwise", (node,), (data,), node.outputs[0], Quantised((None,), scheme, low, high))
    if (end := _quantise(node.outputs[0])) is None:
        return Match("qeltwise", (node,), (data,), node.outputs[0], Quantised((scheme,), None))
    quantise, output = end
    low, high = LIMITS[output.dtype]
    return Match("qeltwise", (node, quantise), (data,), quantise.outputs[0], Quantised((scheme,), output, low, high))


def _quantise(value: ir.Value) -> tuple[ir.Node, Scheme] | None:
    """The QuantizeLinear that alone reads `value`, if it has a scheme."""
    if not used_once(value):
        return None
    (reader,) = value.consumers()
    fits = is_operator(reader, "QuantizeLinear") and reader.inputs[0] is value
    scheme = scheme_of(reader) if fits else None
    return None if scheme is None else (reader, scheme)


def _tail(value: ir.Value) -> tuple[tuple[ir.Node, ...], Scheme | None, int, int]:
    """What follows a result: Relu and Clip up to a QuantizeLinear, its scheme, and the bounds of what is stored.

    Quantising is monotonic, so the bounds of the real numbers, quantised, bound the integers. Without QuantizeLinear
    nothing is taken.
    """
    nodes: list[ir.Node] = []
    bounds = []
    while (end := _quantise(value)) is None:
        if not used_once(value) or (limits := _limits(reader := value.consumers()[0])) is None:
            return (), None, 0, 0
        nodes.append(reader)
        bounds.append(limits)
        value = reader.outputs[0]
    quantise, scheme = end
    low, high = LIMITS[scheme.dtype]
    for least, greatest in bounds:
        low, high = (min(max(n, _stored(least, scheme)), _stored(greatest, scheme)) for n in (low, high))
    return (*nodes, quantise), scheme, low, high


def _limits(node: ir.Node) -> tuple[float, float] | None:
    if is_operator(node, "Relu"):
        return 0.0, np.inf
    if is_operator(node, "Clip"):
        ends = [(-np.inf, operand(node, 1)), (np.inf, operand(node, 2))]
        low, high = (default if value is None else scalar(value) for default, value in ends)
        if low is not None and high is not None and not (np.isnan(low) or np.isnan(high)):
            return low, high
    return None


def _stored(real: float, scheme: Scheme) -> int:
    low, high = LIMITS[scheme.dtype]
    quotient = np.float32(real) / np.float32(scheme.scale)
    return int(np.clip(np.rint(quotient) + scheme.zero_point, low, high))


def _product(node: ir.Node) -> Match | None:
    """Conv, or MatMul with the Add of a constant row behind it."""
    source, data = dequantised(node.inputs[0]), node.inputs[0]
    if source is None or data is None or (scheme := scheme_of(source)) is None or source.inputs[0] is None:
        return None
    image = node.op_type == "Conv"
    if image and not _plain_convolution(node):
        return None
    channels = shape_of(node.outputs[0])[1 if image else -1]
    found = _weights(node.inputs[1], 4 if image else 2, 0 if image else 1, channels)
    if found is None or len(shape_of(data)) < 2:
        return None
    weight_node, value, zero_point, scale = found
    nodes: tuple[ir.Node, ...] = (node,)
    result, bias_value = node.outputs[0], operand(node, 2)
    if not image and (row := _bias_row(result, channels)) is not None:
        add, bias_value = row
        nodes, result = (node, add), add.outputs[0]
    bias = _bias(bias_value, np.float32(scheme.scale) * scale)
    if bias is None:
        return None
    bias_nodes, integers = bias
    tail, output, low, high = _tail(result)
    if tail:
        result = tail[-1].outputs[0]
    weights = Weights(value, zero_point, scale, integers)
    return Match(
        "qconv" if image else "qdense", (*nodes, *tail, source, weight_node, *bias_nodes), (source.inputs[0],), result,
        Quantised((scheme,), output, low, high, weights),
    )  # fmt: skip


def _plain_convolution(node: ir.Node) -> bool:
    data = node.inputs[0]
    explicit = attribute(node, "auto_pad", "NOTSET") == "NOTSET" and all(p >= 0 for p in attribute(node, "pads", ()))
    return explicit and data is not None and len(shape_of(data)) == 4


def _weights(
    value: ir.Value | None, rank: int, axis: int, channels: int
) -> tuple[ir.Node, str, np.ndarray, np.ndarray] | None:
    """DequantizeLinear of constant 8-bit weights per tensor or along `axis`: (node, initialiser, zero point, scale).

    None unless stored integer less zero point fits int8: the products of the kernels are of 8 bits.
    """
    node = None if value is None else value.producer()
    if value is None or node is None or not is_operator(node, "DequantizeLinear") or not used_once(value):
        return None
    stored, scale, zero = node.inputs[0], constant(node.inputs[1]), constant(operand(node, 2))
    integers = constant(stored)
    if stored is None or not stored.name or integers is None or scale is None or attribute(node, "block_size", 0):
        return None
    if integers.dtype.name not in LIMITS or integers.ndim != rank or scale.dtype != np.float32:
        return None
    if scale.size != 1 and (attribute(node, "axis", 1) % rank != axis or scale.size != channels):
        return None
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        return None
    zero = np.zeros(1, np.int64) if zero is None else zero.astype(np.int64).reshape(-1)
    if integers.dtype != np.int8 or zero.any():
        least, greatest = (f(integers, axis=tuple(i for i in range(rank) if i != axis)) for f in (np.min, np.max))
        if (least.astype(np.int64) - zero < -128).any() or (greatest.astype(np.int64) - zero > 127).any():
            return None
    return node, stored.name, zero, np.broadcast_to(scale.reshape(-1), (channels,))


def _bias_row(result: ir.Value, channels: int) -> tuple[ir.Node, ir.Value] | None:
    """The Add of a constant row to the product, and the row."""
    if not used_once(result):
        return None
    (reader,) = result.consumers()
    if not is_operator(reader, "Add"):
        return None
    other = reader.inputs[0] if reader.inputs[1] is result else reader.inputs[1]
    if other is None or other is result or shape_of(other)[-1:] != (channels,) or np.prod(shape_of(other)) != channels:
        return None
    source = other.producer()
    stored = other if source is None else source.inputs[0] if is_operator(source, "DequantizeLinear") else None
    fits = stored is not None and stored.is_initializer() and len(shape_of(other)) <= len(shape_of(result))
    return (reader, other) if fits else None


def _bias(value: ir.Value | None, unit: np.ndarray) -> tuple[tuple[ir.Node, ...], np.ndarray] | None:
    """(DequantizeLinear nodes, int32 bias in multiples of `unit`); None if it is no constant or too large for that."""
    if value is None:
        return (), np.zeros(unit.shape, np.int32)
    node = value.producer()
    real = constant(value)
    nodes: tuple[ir.Node, ...] = ()
    if real is None:
        if node is None or not is_operator(node, "DequantizeLinear") or not used_once(value):
            return None
        stored, scale, zero = constant(node.inputs[0]), constant(node.inputs[1]), constant(operand(node, 2))
        if stored is None or scale is None or (zero is not None and zero.any()):
            return None
        nodes, stored, scale = (node,), stored.reshape(-1), scale.reshape(-1)
        if stored.dtype == np.int32 and np.allclose(scale, unit, rtol=1e-5, atol=0.0):
            return nodes, stored
        real = stored * scale.astype(np.float64)
    multiples = np.rint(real.reshape(-1) / unit.astype(np.float64))
    return (nodes, multiples.astype(np.int32)) if (np.abs(multiples) < 2**31).all() else None


_POOLS = frozenset({"AveragePool", "GlobalAveragePool", "GlobalMaxPool"})


def _pooling(node: ir.Node) -> Match | None:
    """An average or global maximum that is quantised again."""
    source, data = dequantised(node.inputs[0]), node.inputs[0]
    if source is None or data is None or len(shape_of(data)) != 4 or source.inputs[0] is None:
        return None
    if attribute(node, "auto_pad", "NOTSET") != "NOTSET":
        return None
    tail, output, low, high = _tail(node.outputs[0])
    if output is None:
        return None
    quantised = Quantised((scheme_of(source),), output, low, high)
    return Match("qpool", (node, *tail, source), (source.inputs[0],), tail[-1].outputs[0], quantised)
