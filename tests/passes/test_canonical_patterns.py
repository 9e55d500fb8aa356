"""Activations and layer normalisation in the spellings of different exporters, and near misses that must stay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hetpart.passes.canonicalise import Canonicalise
from tests.passes.support import apply, draw, operators, parse

ROOT = np.float32(np.sqrt(2))
SLOPE = np.float32(np.sqrt(2 / np.pi))
NUMBERS = {
    "half": np.float32(0.5), "one": np.float32(1), "two": np.float32(2), "three": np.float32(3), "six": np.float32(6),
    "sixth": np.float32(1 / 6), "zero": np.float32(0), "root": ROOT, "inverse": np.float32(1 / np.sqrt(2)),
    "k": SLOPE, "q": np.float32(0.044715), "eps": np.float32(1e-5), "last": np.array([-1]),
}  # fmt: skip


def spelt(body: str, shape: str = "2,3,8") -> str:
    return f"(float[{shape}] x) => (float y) {{ {body} }}"


ERF = "d = Div(x, root) e = Erf(d) g = Add(e, one)"
CUBIC = "c = Pow(x, three) s = Mul(q, c) t = Add(x, s) u = Mul(k, t) v = Tanh(u) g = Add(one, v)"
LAYER_NORM = "m = ReduceMean(x, last) d = Sub(x, m) p = Pow(d, two) v = ReduceMean(p, last) a = Add(v, eps) s = Sqrt(a)"

SPELLINGS = {
    "hard-sigmoid": ("HardSigmoid", "a = Add(x, three) c = Clip(a, zero, six) y = Div(c, six)"),
    "hard-sigmoid-inside": ("HardSigmoid", "a = Div(x, six) b = Add(a, half) y = Clip(b, zero, one)"),
    "hardswish-torch": ("HardSwish", "h = HardSigmoid<alpha=0.16666667, beta=0.5>(x) y = Mul(x, h)"),
    "hardswish-divided-first": ("HardSwish", "a = Add(x, three) c = Clip(a, zero, six) d = Div(c, six) y = Mul(x, d)"),
    "hardswish-divided-last": ("HardSwish", "a = Add(three, x) c = Clip(a, zero, six) m = Mul(c, x) y = Div(m, six)"),
    "hardswish-times-sixth": ("HardSwish", "a = Add(x, three) c = Clip(a, zero, six) m = Mul(x, c) y = Mul(m, sixth)"),
    "hardswish-relu6": ("HardSwish", "a = Add(x, three) r = Relu(a) c = Min(r, six) d = Div(c, six) y = Mul(d, x)"),
    "mish": ("Mish", "s = Softplus(x) t = Tanh(s) y = Mul(x, t)"),
    "gelu-torch": ("Gelu", f"{ERF} m = Mul(x, g) y = Mul(m, half)"),
    "gelu-half-first": ("Gelu", f"{ERF} h = Mul(half, x) y = Mul(h, g)"),
    "gelu-half-of-gate": ("Gelu", f"{ERF} h = Mul(g, half) y = Mul(x, h)"),
    "gelu-divided-by-two": ("Gelu", f"{ERF} m = Mul(g, x) y = Div(m, two)"),
    "gelu-multiplied": ("Gelu", "d = Mul(x, inverse) e = Erf(d) g = Add(one, e) m = Mul(x, g) y = Mul(half, m)"),
    "gelu-distributed": ("Gelu", "d = Div(x, root) e = Erf(d) h = Mul(e, half) g = Add(h, half) y = Mul(x, g)"),
    "gelu-tanh": ("Gelu", f"{CUBIC} m = Mul(x, g) y = Mul(half, m)"),
    "gelu-tanh-products": (
        "Gelu",
        "b = Mul(x, x) c = Mul(b, x) s = Mul(c, q) t = Add(s, x) u = Mul(t, k) v = Tanh(u) g = Add(v, one) "
        "h = Mul(x, half) y = Mul(h, g)",
    ),
    "gelu-tanh-factored": (
        "Gelu",
        "b = Mul(x, x) s = Mul(b, q) a = Add(s, one) t = Mul(x, k) u = Mul(t, a) v = Tanh(u) g = Add(v, one) "
        "h = Mul(x, half) y = Mul(h, g)",
    ),
    "layer-norm": ("LayerNormalization", f"{LAYER_NORM} n = Div(d, s) w = Mul(n, gamma) y = Add(w, beta)"),
    "layer-norm-plain": ("LayerNormalization", f"{LAYER_NORM} y = Div(d, s)"),
    "layer-norm-reciprocal": ("LayerNormalization", f"{LAYER_NORM} r = Div(one, s) n = Mul(r, d) y = Mul(gamma, n)"),
    "layer-norm-bias-first": ("LayerNormalization", f"{LAYER_NORM} n = Div(d, s) b = Add(n, beta) y = Mul(b, gamma)"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPELLINGS)
def test_spelling(name: str, golden: Callable[[str], None]) -> None:
    op_type, body = SPELLINGS[name]
    numbers = {**NUMBERS, "gamma": draw(8), "beta": draw(1, 8)}
    model = parse(spelt(body), **numbers)
    golden(apply(model, Canonicalise()))
    assert operators(model) == [op_type]


NEAR_MISSES = {
    "another-root": "d = Div(x, three) e = Erf(d) g = Add(e, one) m = Mul(x, g) y = Mul(m, half)",
    "no-half": f"{ERF} y = Mul(x, g)",
    "another-gate": "h = HardSigmoid<alpha=0.2, beta=0.5>(x) y = Mul(x, h)",
    "another-bound": "a = Add(x, three) c = Clip(a, zero, three) d = Div(c, six) y = Mul(x, d)",
    "gate-of-another": f"z = Neg(x) {ERF} m = Mul(z, g) y = Mul(m, half)",
    "no-cube": "c = Pow(x, two) s = Mul(q, c) t = Add(x, s) u = Mul(k, t) v = Tanh(u) g = Add(one, v) m = Mul(x, g) "
    "y = Mul(half, m)",
    "not-centred": "p = Pow(x, two) v = ReduceMean(p, last) a = Add(v, eps) s = Sqrt(a) y = Div(x, s)",
    "variance-of-first-axis": LAYER_NORM.replace("(p, last)", "(p, first)") + " y = Div(d, s)",
    "divided-by-gate": "h = HardSigmoid<alpha=0.16666667, beta=0.5>(x) y = Div(h, x)",
    "dividing-gate": "s = Softplus(x) t = Tanh(s) y = Div(x, t)",
    "clipped-product": "c = Clip(x, zero, six) y = Div(c, six)",
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_near_miss_keeps_its_spelling(name: str) -> None:
    model = parse(spelt(NEAR_MISSES[name]), **NUMBERS, first=np.array([0]))
    apply(model, Canonicalise())
    named = {"HardSwish", "Gelu", "Mish", "LayerNormalization"}
    assert not named & set(operators(model))


def test_per_channel_constant_is_no_layer_norm_scale() -> None:
    body = f"{LAYER_NORM} n = Div(d, s) y = Mul(n, gamma)"
    model = parse(spelt(body), **NUMBERS, gamma=draw(3, 1))
    apply(model, Canonicalise())
    assert operators(model) == ["LayerNormalization", "Mul"]


def test_inner_value_read_elsewhere_stays() -> None:
    body = "a = Add(x, three) c = Clip(a, zero, six) d = Div(c, six) y = Mul(x, d)"
    model = parse(f"(float[2,3,8] x) => (float y, float d) {{ {body} }}", **NUMBERS)
    apply(model, Canonicalise())
    assert operators(model) == ["HardSigmoid", "HardSwish"]


def test_old_opset_keeps_the_spelling() -> None:
    model = parse(spelt(f"{ERF} m = Mul(x, g) y = Mul(m, half)"), opset=19, **NUMBERS)
    apply(model, Canonicalise())
    assert "Gelu" not in operators(model)


def test_x_may_be_a_product_itself() -> None:
    model = parse(spelt(f"z = Mul(x, three) {ERF.replace('(x', '(z')} m = Mul(z, g) y = Mul(m, half)"), **NUMBERS)
    apply(model, Canonicalise())
    assert operators(model) == ["Mul", "Gelu"]


def test_x_may_be_a_sum_itself() -> None:
    model = parse(
        spelt("z = Add(x, three) a = Add(z, three) c = Clip(a, zero, six) d = Div(c, six) y = Mul(z, d)"), **NUMBERS
    )
    apply(model, Canonicalise())
    assert operators(model) == ["Add", "HardSwish"]
