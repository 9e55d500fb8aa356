"""What TVM's importer gets wrong, with a reason each: operators as a whole, and attributes or types of others.

Most of the latter import and run without complaint and give wrong values, which random inputs need not reveal. The
oracle asks for its verdict and the code generator asks again before it calls the importer. Source: see
hetpart.oracle.tvm_ops; the failing tests were sorted by attribute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir


@dataclass(frozen=True)
class Trap:
    """The importer is wrong about a node of `operators` to which `applies`, for `reason`."""

    operators: tuple[str, ...]
    applies: Callable[[ir.Node], bool]
    reason: str


def trapped(node: ir.Node) -> str | None:
    """The operator and the reason of the first trap that `node` falls into."""
    for trap in TRAPS:
        if node.op_type in trap.operators and trap.applies(node):
            return f"{node.op_type}: {trap.reason}"
    return None


def dtype_of(value: ir.Value | None) -> str:
    """Numpy name of a value's element type; empty if it is unknown or the value is left out."""
    return str(value.dtype.numpy()) if value is not None and value.dtype is not None else ""


def _input(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _reads(node: ir.Node, index: int, *dtypes: str) -> bool:
    return dtype_of(_input(node, index)) in dtypes


def _makes(node: ir.Node, *dtypes: str) -> bool:
    return dtype_of(node.outputs[0]) in dtypes


def _later_outputs(node: ir.Node) -> bool:
    return any(value.name for value in node.outputs[1:])


def _reads_nothing(node: ir.Node) -> bool:
    data = _input(node, 0)
    return data is not None and data.shape is not None and 0 in data.shape


def _fractional_size(node: ir.Node) -> bool:
    """Whether the scales of a Resize do not give whole sizes."""
    data, scales = _input(node, 0), _input(node, 2)
    if data is None or data.shape is None or scales is None or scales.const_value is None:
        return False
    factors = scales.const_value.numpy()
    if factors.size != len(data.shape):
        return False  # empty, where sizes are given instead
    sizes = factors * data.shape.numpy()
    return bool(np.any(sizes != np.floor(sizes)))


def _flag(name: str) -> Callable[[ir.Node], bool]:
    return lambda node: node.attributes.get_int(name, 0) != 0


def _has(name: str) -> Callable[[ir.Node], bool]:
    return lambda node: name in node.attributes


def _text_other_than(name: str, default: str) -> Callable[[ir.Node], bool]:
    return lambda node: node.attributes.get_string(name, default) != default


def _one_sign(node: ir.Node) -> bool:
    return 0 in (node.attributes.get_int("detect_negative", 1), node.attributes.get_int("detect_positive", 1))


def _symmetric(node: ir.Node) -> bool:
    return node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == "half_pixel_symmetric"


NEEDS_LIBRARY = {
    "NonMaxSuppression": "sorts in TVM's runtime library, which a bundle does not carry",
    "TopK": "sorts in TVM's runtime library, which a bundle does not carry",
    "Unique": "sorts in TVM's runtime library, which a bundle does not carry",
}
"""Operators that TVM implements by calls into its own runtime library."""

NEVER_RIGHT = {
    "Attention": "TVM's importer takes it for the com.microsoft operator of that name",
    **dict.fromkeys(
        ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
        "its result is random, so it cannot be verified",
    ),
    **dict.fromkeys(("If", "Loop", "Scan"), "control flow has no static schedule"),
}
"""Operators that no attribute makes right, with the reason."""

REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
    "ReduceSum", "ReduceSumSquare",
)  # fmt: skip

TRAPS = (
    Trap(("BatchNormalization",), _flag("training_mode"), "training mode is computed as inference"),
    Trap(("ConvTranspose",), _has("output_shape"), "the attribute output_shape is ignored"),
    Trap(
        ("DequantizeLinear",), lambda node: not _reads(node, 0, "int8", "uint8", "int32"),
        "only int8, uint8 and int32 are read right",
    ),
    Trap(("DequantizeLinear", "QuantizeLinear"), _flag("block_size"), "scales of blocks are misread"),
    Trap(
        ("EyeLike",), lambda node: dtype_of(_input(node, 0)) != dtype_of(node.outputs[0]),
        "the result has the type of the input",
    ),
    Trap(("IsInf",), _one_sign, "the sign to detect is ignored"),
    Trap(("LayerNormalization",), _later_outputs, "mean and inverse deviation are returned as scalars"),
    Trap(("MaxPool",), _later_outputs, "only the first output is right"),
    Trap(
        ("Mod",), lambda node: _reads(node, 0, "float16", "float32", "float64") and not _flag("fmod")(node),
        "floats with the sign of the divisor are wrong for infinite and zero divisors",
    ),
    Trap(("OneHot",), lambda node: not _makes(node, "int64"), "values that are not int64 come back with another type"),
    Trap(
        ("Pow",), lambda node: dtype_of(_input(node, 0)) != dtype_of(_input(node, 1)),
        "base and exponent have two different types",
    ),
    Trap(("QuantizeLinear",), lambda node: not _makes(node, "int8", "uint8"), "only int8 and uint8 are made right"),
    Trap(REDUCTIONS, _reads_nothing, "a reduction over nothing gives another value"),
    Trap(("ReduceMax", "ReduceMin"), lambda node: _reads(node, 0, "bool"), "booleans are not reduced right"),
    Trap(("Resize",), _flag("antialias"), "the attribute antialias is ignored"),
    Trap(("Resize",), _flag("exclude_outside"), "the attribute exclude_outside is ignored"),
    Trap(("Resize",), _has("axes"), "the attribute axes is misread"),
    Trap(
        ("Resize",), _text_other_than("keep_aspect_ratio_policy", "stretch"), "keep_aspect_ratio_policy is misread",
    ),
    Trap(("Resize",), _symmetric, "half_pixel_symmetric coordinates are misread"),
    Trap(("Resize",), _fractional_size, "coordinates are off where scales do not give whole sizes"),
    Trap(("SpaceToDepth",), _text_other_than("mode", "DCR"), "the attribute mode is ignored"),
)  # fmt: skip
