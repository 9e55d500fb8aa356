"""Rules for the CPU: hetpart's own kernels for the hot operators, TVM's importer for the rest."""

from __future__ import annotations

import onnx_ir as ir

from hetpart.oracle.rules_common import FLOAT32_ONLY, SIZES
from hetpart.oracle.tvm_ops import CONSTANT_INPUTS, VERIFIED
from hetpart.oracle.tvm_traps import NEEDS_LIBRARY, NEVER_RIGHT, dtype_of, trapped
from hetpart.oracle.verdict import Rule, Subject

_DTYPES = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"}
)


def _custom_operator(at: Subject) -> str | None:
    for node in _generic_nodes(at):
        if node.domain not in ("", "ai.onnx"):
            return f"{node.domain}::{node.op_type} is not a standard ONNX operator"
    return None


def _needs_library(at: Subject) -> str | None:
    for node in _generic_nodes(at):
        if node.op_type in NEEDS_LIBRARY:
            return f"{node.op_type} {NEEDS_LIBRARY[node.op_type]}"
    return None


def _unknown_to_tvm(at: Subject) -> str | None:
    for node in _generic_nodes(at):
        if node.op_type in NEVER_RIGHT:
            return f"{node.op_type}: {NEVER_RIGHT[node.op_type]}"
        if node.op_type not in VERIFIED:
            return f"hetpart has no kernel for {node.op_type}, and TVM's importer lacks it or gets it wrong"
    return None


def _wrong_in_tvm(at: Subject) -> str | None:
    for node in _generic_nodes(at):
        if (what := trapped(node)) is not None:
            return f"TVM's importer does not get this right: {what}"
    return None


def _parameter_not_constant(at: Subject) -> str | None:
    for node in _generic_nodes(at):
        for index in CONSTANT_INPUTS.get(node.op_type, ()):
            value = node.inputs[index] if index < len(node.inputs) else None
            if value is not None and value.name and not at.graph.is_constant(value.name):
                return f"input {index} ({value.name}) of {node.op_type} must be a constant"
    return None


def _dtype_without_code(at: Subject) -> str | None:
    for node in at.unit.nodes if at.unit.kind in ("other", "transpose") else ():  # FLOAT32_ONLY covers all else
        for value in (*node.inputs, *node.outputs):
            if value is not None and value.name and (kind := dtype_of(value)) not in _DTYPES:
                return f"{value.name} is {kind or 'of unknown type'}, for which no code is made"
    return None


def _generic(at: Subject) -> str | None:
    if at.unit.kind != "other":
        return None
    return f"{at.unit.op} has no kernel of hetpart's own; TVM's untuned code is used, on one core"


def _generic_nodes(at: Subject) -> tuple[ir.Node, ...]:
    return at.unit.nodes if at.unit.kind == "other" else ()


_STANDARD = "express it in standard ONNX operators before export"
_FASTER = "if it takes much of the time, express it as convolution, product, pooling or elementwise operators"
_NODE_TESTS = "ONNX operator tests through TVM 0.27 (hetpart.oracle.tvm_ops)"

RULES = (
    *SIZES,
    FLOAT32_ONLY,
    Rule("custom-operator", "unsupported", _custom_operator, _STANDARD, "TVM's importer ignores operator domains"),
    Rule("needs-library", "unsupported", _needs_library, "do it in the application, after the model", _NODE_TESTS),
    Rule("no-kernel", "unsupported", _unknown_to_tvm, _STANDARD, _NODE_TESTS),
    Rule("wrong-in-tvm", "unsupported", _wrong_in_tvm, "export without that attribute or output", _NODE_TESTS),
    Rule("not-constant", "unsupported", _parameter_not_constant, "make it an initialiser", _NODE_TESTS),
    Rule("dtype", "unsupported", _dtype_without_code, "export with float32 and standard integers", _NODE_TESTS),
    Rule(
        "generic-kernel",
        "degraded",
        _generic,
        _FASTER,
        "TVM's default schedules: 25 to 70 times slower than tuned code",
    ),
)
