"""decompose: operators that no kernel computes, or that TVM's importer gets wrong, written in operators that are right.

The rules live in ``decompose_*.py`` by subject, as functions of a `Block` that replace its node and return True, or
return False. They run before the canonical form is made, which then tidies what they wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from hetpart.passes import decompose_arithmetic as arithmetic
from hetpart.passes import decompose_half as half
from hetpart.passes import decompose_quantised as quantised
from hetpart.passes import decompose_recurrent as recurrent
from hetpart.passes import decompose_resize as resize
from hetpart.passes import decompose_sampling as sampling
from hetpart.passes import decompose_selection as selection
from hetpart.passes import decompose_spectrum as spectrum
from hetpart.passes import decompose_text as text
from hetpart.passes.base import Pass
from hetpart.passes.block import Block
from hetpart.passes.dce import remove_dead_code
from hetpart.passes.edit import Editor

Rule = Callable[[Block], bool]

RULES: dict[str, Rule] = {
    **dict.fromkeys(half.WIDENED, half.widen),
    "BatchNormalization": arithmetic.computed_batch_norm,
    "Col2Im": selection.col2im,
    "ConvInteger": quantised.conv_integer,
    "DFT": spectrum.dft,
    "DequantizeLinear": quantised.dequantize,
    "DeformConv": sampling.deform_conv,
    "Det": arithmetic.determinant,
    "EyeLike": selection.eye_like,
    "GRU": recurrent.gru,
    "IsInf": arithmetic.is_inf,
    "LSTM": recurrent.lstm,
    "LpNormalization": arithmetic.lp_normalization,
    "MaxUnpool": selection.max_unpool,
    "Mod": arithmetic.modulo,
    "OneHot": selection.one_hot,
    "OptionalGetElement": selection.optional_get_element,
    "OptionalHasElement": selection.optional_has_element,
    "Pad": selection.computed_pad_value,
    "Pow": arithmetic.power,
    "QuantizeLinear": quantised.quantize,
    "RNN": recurrent.rnn,
    "ReduceMax": arithmetic.reduce_bool,
    "ReduceMin": arithmetic.reduce_bool,
    "Resize": resize.resize,
    "ReverseSequence": selection.reverse_sequence,
    "RoiAlign": sampling.roi_align,
    "STFT": spectrum.stft,
    "Split": selection.split_with_empty_parts,
    "TfIdfVectorizer": text.tf_idf_vectorizer,
    "ThresholdedRelu": arithmetic.thresholded_relu,
    "Tile": selection.tile,
    "TopK": selection.top_k,
}
"""The rule of each operator type."""


@dataclass(frozen=True)
class Decompose(Pass):
    """Writes out operators without a kernel of their own: recurrent layers, most of Resize, TopK, DFT, RoiAlign, ...

    Before::

        %y = LpNormalization(%x) {axis=-1, p=1}

    After::

        %n = ReduceL1(%x, @axes)
        %y = Div(%x, %n)           # and zero where %n is zero
    """

    name: ClassVar[str] = "decompose"

    def apply(self, model: ir.Model) -> bool:
        editor = Editor(model.graph)
        modified = False
        for node in model.graph:
            rule = RULES.get(node.op_type) if node.domain == "" else None
            if rule is not None and rule(Block(editor, node)):
                modified = True
        return remove_dead_code(model) or modified
