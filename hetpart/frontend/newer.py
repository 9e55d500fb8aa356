"""Bodies for operators, and for element types of operators, that came after the opset that models are brought to.

As `hetpart.frontend.bodies`, but ONNX has none of its own. Written in ONNX's text form, with the static shapes filled
in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

Types = Mapping[str, onnx.TypeProto]
Constants = Mapping[str, np.ndarray]

_SIGNED: dict[int, int] = {
    TensorProto.INT8: TensorProto.UINT8,
    TensorProto.INT16: TensorProto.UINT16,
    TensorProto.INT32: TensorProto.UINT32,
    TensorProto.INT64: TensorProto.UINT64,
}


def newer_body(node: onnx.NodeProto, types: Types, constants: Constants) -> onnx.FunctionProto | None:
    """The body of `node` in older operators, None if there is none here.

    Args:
        node: an operator of a newer opset, its inputs typed.
        types: types of all values.
        constants: data of the initialisers.
    """
    rule = _BODIES.get(node.op_type)
    return None if rule is None else rule(node, types, constants)


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def _shape(types: Types, name: str) -> tuple[int, ...] | None:
    """The static shape of a value, None if it is not known."""
    tensor = types[name].tensor_type if name in types else None
    if tensor is None or not tensor.HasField("shape") or not all(dim.dim_value > 0 for dim in tensor.shape.dim):
        return None
    return tuple(dim.dim_value for dim in tensor.shape.dim)


def _function(inputs: Sequence[str], text: str, **constants: np.ndarray) -> onnx.FunctionProto:
    """A function of `inputs` that makes ``y``; `constants` are there under their names."""
    function = parser.parse_function(
        f'<domain: "hetpart.body", opset_import: ["": 22]> body ({", ".join(inputs)}) => (y) {{ {text} }}'
    )
    for name, data in reversed(constants.items()):
        tensor = numpy_helper.from_array(np.asarray(data), name)
        function.node.insert(0, helper.make_node("Constant", [], [name], value=tensor))
    return function


def _cum_prod(node: onnx.NodeProto, types: Types, constants: Constants) -> onnx.FunctionProto | None:
    """Products over prefixes that double in length: log2(n) steps."""
    shape, axis_data = _shape(types, node.input[0]), constants.get(node.input[1])
    if not shape or axis_data is None:
        return None
    axis = int(axis_data.reshape(-1)[0]) % len(shape)
    n, reverse, exclusive = shape[axis], _attribute(node, "reverse", 0), _attribute(node, "exclusive", 0)
    dtype = helper.tensor_dtype_to_np_dtype(types[node.input[0]].tensor_type.elem_type)
    given: dict[str, np.ndarray] = {"ax": np.array([axis]), "zero": np.array([0])}
    lines: list[str] = []
    value = "x"

    def shift(by: int) -> str:
        """The lines that move the value by some places, ones moving in."""
        name = f"s{len(lines)}"
        given[f"ones{by}"] = np.ones([by if i == axis else size for i, size in enumerate(shape)], dtype)
        given[f"from{by}"], given[f"to{by}"] = np.array([by]), np.array([n - by])
        if reverse:
            lines.append(f"{name}_part = Slice({value}, from{by}, end, ax)")
            lines.append(f"{name} = Concat<axis = {axis}>({name}_part, ones{by})")
        else:
            lines.append(f"{name}_part = Slice({value}, zero, to{by}, ax)")
            lines.append(f"{name} = Concat<axis = {axis}>(ones{by}, {name}_part)")
        return name

    given["end"] = np.array([n])
    if exclusive and n > 1:
        value = shift(1)
    elif exclusive:
        given["ones"] = np.ones(shape, dtype)
        value = "ones"
    for step in range(math.ceil(math.log2(n)) if n > 1 else 0):
        moved = shift(2**step)
        lines.append(f"p{step} = Mul({value}, {moved})")
        value = f"p{step}"
    lines.append(f"y = Identity({value})")
    return _function(["x", "axis"], " ".join(lines), **given)


def _space_to_depth(node: onnx.NodeProto, types: Types, constants: Constants) -> onnx.FunctionProto | None:
    """Mode CRD: the channel is the slowest of the new channels' three parts."""
    shape = _shape(types, node.input[0])
    if shape is None or _attribute(node, "mode", b"DCR") != b"CRD":
        return None
    size = _attribute(node, "blocksize", 1)
    n, c, h, w = shape
    return _function(
        ["x"],
        "a = Reshape(x, cut) b = Transpose<perm = [0, 1, 3, 5, 2, 4]>(a) y = Reshape(b, joined)",
        cut=np.array([n, c, h // size, size, w // size, size]),
        joined=np.array([n, c * size * size, h // size, w // size]),
    )


def _tensor_scatter(node: onnx.NodeProto, types: Types, constants: Constants) -> onnx.FunctionProto | None:
    """Every place of the cache takes the element of the update that lands there, if one does."""
    cache, update = _shape(types, node.input[0]), _shape(types, node.input[1])
    if cache is None or update is None:
        return None
    axis = _attribute(node, "axis", -2) % len(cache)
    length, steps = cache[axis], update[axis]
    places = np.arange(length).reshape([-1 if i == axis else 1 for i in range(len(cache))])
    given = {
        "places": places,
        "rows": np.array([cache[0]] + [1] * (len(cache) - 1)),
        "length": np.array(length),
        "steps": np.array(steps),
        "zero": np.array(0),
        "last": np.array(steps - 1),
        "full": np.array(cache),
    }
    inputs = ["past", "update", "start"][: len(node.input)]
    if len(node.input) < 3 or not node.input[2]:
        given["start"] = np.zeros(cache[0], np.int64)
        inputs = inputs[:2]
    wrap = "at = Mod(offset, length)" if _attribute(node, "mode", b"linear") == b"circular" else "at = Identity(offset)"
    return _function(
        inputs,
        f"first = Reshape(start, rows) offset = Sub(places, first) {wrap} early = Less(at, zero) "
        "late = GreaterOrEqual(at, steps) outside = Or(early, late) low = Max(at, zero) source = Min(low, last) "
        f"index = Expand(source, full) new = GatherElements<axis = {axis}>(update, index) "
        "y = Where(outside, past, new)",
        **given,
    )


def _bit_shift(node: onnx.NodeProto, types: Types, constants: Constants) -> onnx.FunctionProto | None:
    """Signed numbers as unsigned ones; to the right, ones move in behind a negative number.

    A shift by less than nothing, or by the width or more, moves out all bits.
    """
    dtype = types[node.input[0]].tensor_type.elem_type if node.input[0] in types else 0
    if dtype not in _SIGNED:
        return None
    there, back = f"Cast<to = {_SIGNED[dtype]}>", f"Cast<to = {dtype}>"
    number = helper.tensor_dtype_to_np_dtype(dtype)
    given = {"zero": np.zeros((), number), "width": np.array(number.itemsize * 8, number)}
    shift = (
        "back = Less(n, zero) far = GreaterOrEqual(n, width) out = Or(back, far) k = Where(out, zero, n) "
        f"s = {there}(k)"
    )
    if _attribute(node, "direction", b"") == b"LEFT":
        text = f'u = {there}(x) {shift} m = BitShift<direction = "LEFT">(u, s) r = {back}(m) y = Where(out, zero, r)'
        return _function(["x", "n"], text, **given)
    text = (
        f"negative = Less(x, zero) flipped = BitwiseNot(x) magnitude = Where(negative, flipped, x) "
        f'u = {there}(magnitude) {shift} m = BitShift<direction = "RIGHT">(u, s) kept = {back}(m) '
        "moved = Where(out, zero, kept) unflipped = BitwiseNot(moved) y = Where(negative, unflipped, moved)"
    )
    return _function(["x", "n"], text, **given)


def _bit_cast(node: onnx.NodeProto, types: Types, constants: Constants) -> onnx.FunctionProto | None:
    """Between integers of one width Cast keeps the bits; between integers and floats no operator does."""
    given, wanted = types[node.input[0]].tensor_type.elem_type, _attribute(node, "to", 0)
    pair = [helper.tensor_dtype_to_np_dtype(dtype) for dtype in (given, wanted)]
    whole = pair[0].kind in "biu" and pair[1].kind in "iu" and pair[0].itemsize == pair[1].itemsize
    return _function(["x"], f"y = Cast<to = {wanted}>(x)") if whole or given == wanted else None


_BODIES: dict[str, Callable[[onnx.NodeProto, Types, Constants], onnx.FunctionProto | None]] = {
    "BitCast": _bit_cast,
    "BitShift": _bit_shift,
    "CumProd": _cum_prod,
    "SpaceToDepth": _space_to_depth,
    "TensorScatter": _tensor_scatter,
}

NEWER_FORMS = frozenset({"BitShift", "SpaceToDepth"})
"""Older operators that got new element types or attributes."""
