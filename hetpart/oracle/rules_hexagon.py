"""Rules for Hexagon DSPs. hetpart emits no code for them yet.

The verdict still tells what stands in the way of each operator: its type, its kind, or only hetpart. The first two are
facts of v66 and before, whose vectors hold integers only; later ones compute in float16 too.
"""

from __future__ import annotations

from hetpart.oracle.verdict import Rule, Subject
from hetpart.targets.schema import HexagonCodegen

_INT8_NAMES = """
    Add ArgMax ArgMin AveragePool Clip Concat Conv ConvTranspose DepthToSpace Div Flatten Gemm GlobalAveragePool
    HardSwish InstanceNormalization LeakyRelu MatMul Max MaxPool Min Mul Neg PRelu Pad Reciprocal ReduceMean Relu
    Reshape Resize Sigmoid Slice Softmax SpaceToDepth Split Sqrt Squeeze Sub Tanh Transpose Unsqueeze
"""
_INT8_OPERATORS = frozenset(_INT8_NAMES.split())
_QUANTISED = frozenset(
    {
        "ConvInteger",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "MatMulInteger",
        "QLinearConv",
        "QLinearMatMul",
        "QuantizeLinear",
    }
)
_QUANTISED_TYPES = frozenset({"int8", "uint8"})


def _integers_only(at: Subject) -> bool:
    codegen = at.processor.codegen
    return isinstance(codegen, HexagonCodegen) and codegen.mcpu.removeprefix("hexagonv") < "68"


def _no_int8_form(at: Subject) -> str | None:
    if not _integers_only(at):
        return None
    for node in at.unit.nodes:
        if node.op_type not in _INT8_OPERATORS | _QUANTISED:
            return f"no runtime for Hexagon v66 is known to run {node.op_type}, quantised or not"
    return None


def _needs_int8(at: Subject) -> str | None:
    if not _integers_only(at) or any(node.op_type in _QUANTISED for node in at.unit.nodes):
        return None
    for value, kind in at.tensors():
        if kind.dtype not in _QUANTISED_TYPES:
            return f"{value} is {kind.dtype}; the vectors of Hexagon v66 hold integers only"
    return None


def _not_emitted(at: Subject) -> str | None:
    return f"hetpart does not emit Hexagon code yet ({at.unit.op})"


RULES = (
    Rule(
        "no-int8-operator",
        "unsupported",
        _no_int8_form,
        "leave it to the CPU or GPU",
        "operator lists of TensorFlow Lite's Hexagon delegate (hexagon/utils.cc) and MACE's hexagon_converter.py",
    ),
    Rule(
        "needs-int8",
        "unsupported",
        _needs_int8,
        "quantise the model to int8 (QDQ form)",
        "LLVM: +hvx-qfloat begins with v68; TensorFlow Lite's Hexagon delegate: uint8 and int8 only",
    ),
    Rule("not-emitted-yet", "unsupported", _not_emitted, "leave it to the CPU or GPU", "hetpart.codegen"),
)
