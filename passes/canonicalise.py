"""canonicalise: one form for every computation, so that passes, oracle and kernels know one form each.

The rules live in ``canonical_*.py`` by subject, as functions of (editor, node) that rewrite the node and return True,
or return False. This file lists them by operator type and applies them until none fires.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from hetpart.errors import InternalError
from hetpart.passes import canonical_arithmetic as arithmetic
from hetpart.passes import canonical_layers as layers
from hetpart.passes import canonical_patterns as patterns
from hetpart.passes import canonical_structure as structure
from hetpart.passes.base import Pass
from hetpart.passes.dce import remove_dead_code
from hetpart.passes.edit import Editor
from hetpart.passes.fold_constants import lift_constant

Rule = Callable[[Editor, ir.Node], bool]

RULES: dict[str, tuple[Rule, ...]] = {
    "Add": (arithmetic.constant_last, patterns.layer_norm_bias),
    "AveragePool": (layers.explicit_pads, layers.pool_over_image),
    "BatchNormalization": (layers.batch_norm,),
    "Cast": (structure.no_op,),
    "Clip": (arithmetic.clip, patterns.activation),
    "Concat": (structure.without_empty, structure.no_op),
    "Constant": (lift_constant,),
    "Conv": (layers.explicit_pads,),
    "ConvTranspose": (layers.explicit_output_size,),
    "Div": (arithmetic.division, patterns.layer_norm, patterns.activation),
    "Dropout": (structure.dropout,),
    "Expand": (structure.no_op,),
    "Flatten": (structure.view,),
    "Gemm": (layers.gemm,),
    "Identity": (structure.no_op,),
    "Max": (arithmetic.n_ary, arithmetic.constant_last, arithmetic.bound),
    "MaxPool": (layers.explicit_pads, layers.pool_over_image),
    "Mean": (arithmetic.mean,),
    "Min": (arithmetic.n_ary, arithmetic.constant_last, arithmetic.bound),
    "Mul": (
        arithmetic.constant_last,
        arithmetic.neutral_factor,
        patterns.layer_norm,
        patterns.layer_norm_scale,
        patterns.activation,
    ),
    "Pad": (layers.pad, structure.no_op),
    "Pow": (arithmetic.power,),
    "ReduceMax": (layers.reduce_over_image,),
    "ReduceMean": (layers.reduce_over_image,),
    "Relu": (arithmetic.relu_of_clip,),
    "Reshape": (structure.no_op, structure.view),
    "Squeeze": (structure.view,),
    "Sub": (arithmetic.subtraction,),
    "Sum": (arithmetic.n_ary,),
    "Transpose": (structure.no_op,),
    "Unsqueeze": (structure.view,),
}
"""Rules by operator type, tried in this order."""

_MAX_SWEEPS = 32


def canonicalise(graph: ir.Graph) -> bool:
    """Apply `RULES` to all nodes until none fires, then give every weight and bias an initialiser of its own."""
    modified = False
    for _ in range(_MAX_SWEEPS):
        if not _sweep(graph):
            break
        modified = True
    else:
        raise InternalError("no-fixpoint", f"the canonical form is not reached after {_MAX_SWEEPS} sweeps")
    return structure.unshare_parameters(Editor(graph)) or modified


def _sweep(graph: ir.Graph) -> bool:
    editor = Editor(graph)
    modified = False
    for node in graph:
        if node.domain == "" and any(rule(editor, node) for rule in RULES.get(node.op_type, ())):
            modified = True
    return modified


@dataclass(frozen=True)
class Canonicalise(Pass):
    """Writes every computation in its canonical form.

    ====================================================  =======================================================
    before                                                after
    ====================================================  =======================================================
    Constant                                              initialiser
    Identity, Dropout, Cast to the same type, ...         nothing
    BatchNormalization                                    Mul, Add with [C, 1, 1] constants
    Sum, Max, Min of several; Mean                        chain of binary nodes
    ReduceMean, ReduceMax, pool over the whole image      GlobalAveragePool, GlobalMaxPool (and Reshape)
    Gemm with alpha, beta, transA, transB                 Gemm(x, w [K, N], b [N]), or MatMul and Add
    Flatten, Squeeze, Unsqueeze                           Reshape to a constant shape
    auto_pad, output_shape, Pad's axes                    explicit pads
    a constant on the left of Add, Mul, Max, Min          on the right
    x - c;  x / c, c a power of two;  x ** 2;  x * 1      x + (-c);  x * (1 / c);  x * x;  x
    Max, Min with a number; Clip with bounds computed     Clip with constant bounds, Relu; Max, Min
    hardswish, hard sigmoid, gelu (both), mish spelt out  HardSwish, HardSigmoid, Gelu, Mish
    layer normalisation spelt out                         LayerNormalization
    one weight read by two nodes                          two initialisers on the same data
    ====================================================  =======================================================

    Division by other constants stays a division: x * (1 / c) rounds differently, and a Floor behind it would turn
    that into a wrong number. Gelu needs opset 20; in older models its spelt-out form stays.
    """

    name: ClassVar[str] = "canonicalise"

    def apply(self, model: ir.Model) -> bool:
        modified = canonicalise(model.graph)
        return remove_dead_code(model) or modified
