"""The printed form of a model is complete and stable."""

from __future__ import annotations

import numpy as np

from hetpart.passes.printer import print_model
from tests.passes.support import draw, parse


def test_every_kind_of_line() -> None:
    model = parse(
        "(float[1,3,8,8] x, int64[2] i) => (float y, float a) {"
        ' c = Conv<strides=[2,2], auto_pad="VALID">(x, w) d = Clip(c, , hi) a, b = Split<axis=1, num_outputs=2>(d)'
        " t = Constant<value=float[3]{1,2,3}>() y = Sum(b, a) z = custom.Op<f=0.1>(y) }",
        w=draw(4, 3, 3, 3),
        hi=np.float32(6),
    )
    assert print_model(model) == (
        "input %x: f32[1,3,8,8]\n"
        "input %i: i64[2]\n"
        "const @w: f32[4,3,3,3]\n"
        "const @hi: f32[] = 6\n"
        "%c: f32[1,4,3,3] = Conv(%x, @w) {auto_pad=VALID, strides=[2,2]}\n"
        "%d: f32[1,4,3,3] = Clip(%c, _, @hi)\n"
        "%a: f32[1,2,3,3], %b: f32[1,2,3,3] = Split(%d) {axis=1, num_outputs=2}\n"
        "%t: f32[3] = Constant() {value=tensor[3]}\n"
        "%y: f32[1,2,3,3] = Sum(%b, %a)\n"
        "%z: ?[?] = custom.Op(%y) {f=0.1}\n"
        "output %y\n"
        "output %a\n"
    )
