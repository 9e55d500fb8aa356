"""fix: operators that fall back, written exactly in operators that accelerators run; `FIXES` lists the rewrites.

The standard levels leave these rewrites out, since a fix may cost more than the fallback that it removes: `hetpart
check --fix` tries each, predicts what it changes and writes the model with those that are worth it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from hetpart.errors import HetpartError
from hetpart.passes import fix_arithmetic as arithmetic
from hetpart.passes import fix_moves as moves
from hetpart.passes import fix_rank as rank
from hetpart.passes.base import Pass
from hetpart.passes.block import Block
from hetpart.passes.dce import remove_dead_code
from hetpart.passes.edit import Editor

BITS = "equal in every bit"
FINITE = "equal in every bit for finite values; an infinity beside the chosen elements makes NaN of them"
ROUNDING = "equal up to the rounding of reordered float32 arithmetic"


@dataclass(frozen=True)
class Fix:
    """One rewrite.

    Attributes:
        name: kebab-case; ``fix{rule=NAME}`` in pipelines.
        operators: ONNX operator types that it may rewrite.
        what: what it does, in a few words.
        exact: in which sense the results are the same.
        rule: replaces the node of a `Block` and returns True, or returns False.
    """

    name: str
    operators: tuple[str, ...]
    what: str
    exact: str
    rule: Callable[[Block], bool]


_REDUCTIONS = ("ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReduceSumSquare")

FIXES: dict[str, Fix] = {
    fix.name: fix
    for fix in (
        Fix("depth-to-space", ("DepthToSpace",), "as Reshape, Transpose, Reshape", BITS, moves.depth_to_space),
        Fix("space-to-depth", ("SpaceToDepth",), "as Reshape, Transpose, Reshape", BITS, moves.space_to_depth),
        Fix("where-to-bounds", ("Where",), "a constant mask as Min and Max with constants", BITS, moves.where),
        Fix("drop-expand", ("Expand",), "left out where every reader broadcasts", BITS, moves.expand),
        Fix("cast-first", ("Transpose", "Concat"), "behind the Cast to float32 that follows", BITS, moves.cast_first),
        Fix("pad-image", ("Pad",), "as Pad of one axis of an image", BITS, moves.pad),
        Fix("conv-1d", ("Conv", "ConvTranspose"), "a line as an image of height 1", BITS, rank.conv_1d),
        Fix("conv-3d", ("Conv",), "a flat or thin kernel over images", BITS, rank.conv_3d),
        Fix("pool-image", ("MaxPool", "AveragePool"), "over images of a line or volume", ROUNDING, rank.pool),
        Fix(
            "layer-image", ("GlobalAveragePool", "GlobalMaxPool", "InstanceNormalization"),
            "a line or volume as an image with as many points", ROUNDING, rank.over_image,
        ),
        Fix("reduce-to-pool", _REDUCTIONS, "as global pooling of an image", ROUNDING, arithmetic.reduction),
        Fix("lrn-to-pool", ("LRN",), "as pooling over channels and a power", ROUNDING, arithmetic.lrn),
        Fix("selu-to-elu", ("Selu",), "as a multiple of Elu", ROUNDING, arithmetic.selu),
        Fix("shrink-to-relu", ("Shrink",), "as the difference of two Relu", ROUNDING, arithmetic.shrink),
        Fix("split-hard-sigmoid", ("HardSigmoid",), "as Mul, Add, Clip", ROUNDING, arithmetic.hard_sigmoid),
        Fix("split-hard-swish", ("HardSwish",), "as Mul, Add, Clip, Mul", ROUNDING, arithmetic.hard_swish),
        Fix("split-gelu", ("Gelu",), "as Erf or Tanh and elementwise operators", ROUNDING, arithmetic.gelu),
        Fix(
            "select-by-conv", ("Gather", "Slice", "Split"),
            "as 1x1 convolutions whose weights are 0 and 1", FINITE, moves.selection,
        ),
    )
}  # fmt: skip
"""By name, in the order in which they are tried."""


@dataclass(frozen=True)
class ApplyFix(Pass):
    """Rewrites operators that have no kernel on an accelerator.

    Before::

        %y = DepthToSpace(%x) {blocksize=2}      # f32[1,8,4,4]

    After::

        %a = Reshape(%x, @shape)                 # f32[1,2,2,2,4,4]
        %b = Transpose(%a) {perm=[0,3,4,1,5,2]}
        %y = Reshape(%b, @shape_1)

    Attributes:
        rule: name of the fix, see `FIXES`; all if empty.
        nodes: names of the nodes that it may rewrite, separated by commas; all if empty.
    """

    name: ClassVar[str] = "fix"
    rule: str = ""
    nodes: str = ""

    def apply(self, model: ir.Model) -> bool:
        return bool(
            apply_fixes(
                model, [self.rule] if self.rule else list(FIXES), frozenset(self.nodes.split(",")) - {""} or None
            )
        )


def apply_fixes(model: ir.Model, rules: list[str], nodes: frozenset[str] | None = None) -> dict[str, list[str]]:
    """Apply fixes to `model`, in place.

    Args:
        model: an imported model.
        rules: names of fixes; for each node the first one that applies is taken.
        nodes: names of the nodes to rewrite; None for all.

    Returns:
        Per fix that applied, the names of the nodes that it rewrote.

    Raises:
        HetpartError: ``unknown-fix``.
    """
    for rule in rules:
        if rule not in FIXES:
            close = difflib.get_close_matches(rule, FIXES, n=1)
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise HetpartError(
                "unknown-fix", f"there is no fix called '{rule}'", hint=f"{hint}fixes: {', '.join(FIXES)}"
            )
    editor = Editor(model.graph)
    done: dict[str, list[str]] = {}
    for node in list(model.graph):
        if node.domain or (nodes is not None and node.name not in nodes):
            continue
        name = node.name or ""
        for rule in rules:
            if node.op_type in FIXES[rule].operators and FIXES[rule].rule(Block(editor, node)):
                done.setdefault(rule, []).append(name)
                break
    if done:
        remove_dead_code(model)
    return done
