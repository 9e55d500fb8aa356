"""Every fix keeps what the model computes, and leaves only what OpenCL kernels run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetpart.errors import HetpartError
from hetpart.passes.fix import BITS, FINITE, FIXES, ApplyFix, apply_fixes
from hetpart.passes.fuse import fuse
from hetpart.passes.pipeline import optimisation_level, parse_pipeline, run_pipeline
from tests.numerics import relative_error
from tests.passes.support import draw, evaluate, inputs, operators, parse


def one(shape: str, node: str) -> str:
    """A graph of one node, y, from the tensor x."""
    return f"(float[{shape}] x) => (float[1] y) {{ y = {node} }}"


CASES: dict[str, list[tuple[str, dict[str, np.ndarray]]]] = {
    "depth-to-space": [
        (one("2,12,3,5", "DepthToSpace<blocksize=2>(x)"), {}),
        (one('1,18,2,3', 'DepthToSpace<blocksize=3, mode="CRD">(x)'), {}),
    ],
    "space-to-depth": [(one("2,3,4,6", "SpaceToDepth<blocksize=2>(x)"), {})],
    "where-to-bounds": [
        (
            one("2,3,4", "Where(m, x, f)"),
            {"m": draw(3, 4) > 0, "f": np.array(-np.inf, np.float32)},
        ),
        (
            one("2,3,4", "Where(m, f, x)"),
            {"m": draw(2, 1, 4) > 0, "f": draw(3, 1)},
        ),
    ],
    "drop-expand": [
        (
            "(float[1,4] x, float[3,4] z) => (float[1] y) { e = Expand(x, s) y = Add(z, e) }",
            {"s": np.array([3, 4])},
        )
    ],
    "cast-first": [
        ("(int64[2,3] x) => (float[1] y) { t = Transpose<perm=[1,0]>(x) c = Cast<to=1>(t) y = Relu(c) }", {}),
        ("(double[2,3] x, double[2,3] z) => (float[1] y) { t = Concat<axis=0>(x, z) y = Cast<to=1>(t) }", {}),
    ],
    "pad-image": [
        (one("2,3,5", "Pad(x, p)"), {"p": np.array([0, 1, 2, 1, 0, 3])}),
        (one('1,4,5,6', 'Pad<mode="reflect">(x, p)'), {"p": np.array([0, 2, 1, 0, 0, 1, 1, 2])}),
        (one('3,5', 'Pad<mode="edge">(x, p, , a)'), {"p": np.array([2, 1]), "a": np.array([-2])}),
        (
            one("2,3", "Pad(x, p, v)"),
            {"p": np.array([1, 0, 0, 2]), "v": np.array(7.5, np.float32)},
        ),
    ],
    "conv-1d": [
        (
            one("2,4,9", "Conv<pads=[1,2], strides=[2], dilations=[2], group=2>(x, w, b)"),
            {"w": draw(6, 2, 3), "b": draw(6)},
        ),
        (
            one("1,4,5", "ConvTranspose<strides=[2], pads=[1,0], output_padding=[1]>(x, w)"),
            {"w": draw(4, 3, 3)},
        ),
    ],
    "conv-3d": [
        (one("1,3,1,5,6", "Conv<pads=[1,1,0,1,1,2]>(x, w, b)"), {"w": draw(4, 3, 3, 3, 3), "b": draw(4)}),
        (one("2,3,4,5,6", "Conv<pads=[1,0,0,0,0,0], strides=[2,1,1]>(x, w)"), {"w": draw(4, 3, 3, 1, 1)}),
        (one("2,4,3,5,6", "Conv<pads=[0,1,1,0,1,0], group=2, strides=[1,2,1]>(x, w)"), {"w": draw(4, 2, 1, 3, 2)}),
    ],
    "pool-image": [
        (one("2,3,9", "MaxPool<kernel_shape=[3], pads=[1,0], strides=[2]>(x)"), {}),
        (one("2,3,9", "AveragePool<kernel_shape=[3], pads=[1,1]>(x)"), {}),
        (one("2,3,4,5,6", "MaxPool<kernel_shape=[2,3,2], pads=[0,1,0,1,1,1], strides=[1,2,2]>(x)"), {}),
        (one("1,2,4,5,6", "AveragePool<kernel_shape=[2,3,2], strides=[2,1,2]>(x)"), {}),
    ],
    "layer-image": [
        (one("2,3,9", "GlobalAveragePool(x)"), {}),
        (one("2,3,2,4,5", "GlobalMaxPool(x)"), {}),
        (one("2,3,2,4,5", "InstanceNormalization(x, s, b)"), {"s": draw(3), "b": draw(3)}),
    ],
    "reduce-to-pool": [
        (f"(float[2,3,4,5] x) => (float[1] y) {{ y = {op}<keepdims={keep}>(x, a) }}", {"a": np.array(axes)})
        for op, keep, axes in (
            ("ReduceL1", 0, [1]), ("ReduceL2", 1, [-1]), ("ReduceMax", 0, [0, 1]), ("ReduceMean", 1, [1, 2]),
            ("ReduceMin", 0, [2]), ("ReduceSum", 1, [0]), ("ReduceSumSquare", 0, [1, 2, 3]),
        )
    ],
    "lrn-to-pool": [
        (one("2,7,3,4", "LRN<size=5, alpha=0.5, beta=0.6, bias=1.5>(x)"), {}),
        (one("1,6,3,2", "LRN<size=3, alpha=2.0>(x)"), {}),
    ],
    "selu-to-elu": [(one("2,7", "Selu(x)"), {})],
    "shrink-to-relu": [(one("2,70", "Shrink<lambd=0.7, bias=0.7>(x)"), {})],
    "split-hard-sigmoid": [(one("2,70", "HardSigmoid<alpha=0.3>(x)"), {})],
    "split-hard-swish": [(one("2,70", "HardSwish(x)"), {})],
    "split-gelu": [
        (one("2,70", "Gelu(x)"), {}),
        (one('2,70', 'Gelu<approximate="tanh">(x)'), {}),
    ],
    "select-by-conv": [
        (one("2,5,3", "Gather<axis=1>(x, i)"), {"i": np.array(-2)}),
        (one("5,3", "Gather(x, i)"), {"i": np.array([[1, 1], [4, 0]])}),
        ("(float[1,6,3,4] x) => (float[1] a, float[1] b) { a, b = Split<axis=1>(x, s) }", {"s": np.array([2, 4])}),
        (
            one("2,5,6", "Slice(x, s, e, a, t)"),
            {"s": np.array([4, 1]), "e": np.array([-9, 9]), "a": np.array([1, -1]), "t": np.array([-2, 2])},
        ),
        (one("6", "Slice(x, s, e)"), {"s": np.array([-3]), "e": np.array([2**62])}),
    ],
}  # fmt: skip


def test_every_fix_has_a_case() -> None:
    assert list(CASES) == list(FIXES)


def check(model: ir.Model, rule: str) -> None:
    """Apply fix `rule`; it must fire, keep the outputs in the sense that it states, and leave nothing to fall back."""
    feeds = inputs(model)
    expected = evaluate(model, feeds)
    (first, *_) = [node.op_type for node in model.graph if node.op_type in FIXES[rule].operators]
    run_pipeline(model, [ApplyFix(rule=rule)], verify_each=True)
    actual = evaluate(model, feeds)
    for got, want in zip(actual, expected, strict=True):
        assert got.shape == want.shape
        if FIXES[rule].exact in (BITS, FINITE) and not first.startswith("Conv"):
            np.testing.assert_array_equal(got, want)
        else:
            assert relative_error(got, want) <= 1e-6
    run_pipeline(model, optimisation_level("O1"), verify_each=True)
    kinds = {unit.kind for unit in fuse(model)}
    assert "other" not in kinds or rule == "cast-first"


@pytest.mark.parametrize(
    ("rule", "text", "constants"),
    [(rule, text, constants) for rule, cases in CASES.items() for text, constants in cases],
    ids=[f"{rule}-{i}" for rule, cases in CASES.items() for i in range(len(cases))],
)
def test_a_fix_keeps_the_outputs_and_removes_the_fallback(
    rule: str, text: str, constants: dict[str, np.ndarray]
) -> None:
    check(parse(text, **constants), rule)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_slice_is_selected(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    axis = data.draw(st.integers(0, len(shape) - 1))
    step = data.draw(st.integers(-3, 3).filter(bool))
    start, end = data.draw(st.tuples(st.integers(-8, 8), st.integers(-8, 8)))
    constants = {"s": np.array([start]), "e": np.array([end]), "a": np.array([axis]), "t": np.array([step])}
    sizes = ",".join(map(str, shape))
    model = parse(f"(float[{sizes}] x) => (float[1] y) {{ y = Slice(x, s, e, a, t) }}", **constants)
    feeds = inputs(model)
    expected = evaluate(model, feeds)
    changed = apply_fixes(model, ["select-by-conv"])
    whole = expected[0].size == 0 or (expected[0].shape == tuple(shape) and (expected[0] == feeds["x"]).all())
    assert bool(changed) != whole
    np.testing.assert_array_equal(evaluate(model, feeds)[0], expected[0])


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_reduction_over_neighbouring_axes_is_pooled(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    first = data.draw(st.integers(0, len(shape) - 1))
    last = data.draw(st.integers(first, len(shape) - 1))
    op = data.draw(st.sampled_from(FIXES["reduce-to-pool"].operators))
    keep = data.draw(st.integers(0, 1))
    sizes = ",".join(map(str, shape))
    text = f"(float[{sizes}] x) => (float[1] y) {{ y = {op}<keepdims={keep}>(x, a) }}"
    model = parse(text, a=np.arange(first, last + 1))
    feeds = inputs(model)
    expected = evaluate(model, feeds)
    assert apply_fixes(model, ["reduce-to-pool"]) == {"reduce-to-pool": [f"{op}_0"]}
    size = float(np.abs(feeds["x"]).max()) ** 2  # sums of numbers of both signs may be near zero
    np.testing.assert_allclose(evaluate(model, feeds)[0], expected[0], rtol=1e-5, atol=1e-6 * size)


@pytest.mark.parametrize(
    ("rule", "text", "constants"),
    [
        ("select-by-conv", "(float[4,3] x, int64[2] i) => (float[1] y) { y = Gather(x, i) }", {}),
        ("select-by-conv", "(int64[4,3] x) => (int64[1] y) { y = Gather(x, i) }", {"i": np.array([1])}),
        ("conv-3d", one("1,2,4,5,6", "Conv(x, w)"), {"w": draw(3, 2, 2, 2, 2)}),
        ("reduce-to-pool", one("2,3,4", "ReduceMax(x, a)"), {"a": np.array([0, 2])}),
        ("where-to-bounds", one("3", "Where(m, x, f)"), {"m": draw(3) > 0, "f": np.array(np.nan, np.float32)}),
        ("shrink-to-relu", one("3", "Shrink(x)"), {}),
        ("drop-expand", "(float[1,4] x) => (float[1] y) { e = Expand(x, s) y = Relu(e) }", {"s": np.array([3, 4])}),
        ("pad-image", one("5,4", "Pad(x, p)"), {"p": np.array([-1, 0, 0, 0])}),
        ("pool-image", one("1,2,4,4,4", "AveragePool<kernel_shape=[3,3,3], pads=[1,1,1,1,1,1]>(x)"), {}),
    ],
)  # fmt: skip
def test_what_cannot_be_written_exactly_stays(rule: str, text: str, constants: dict[str, np.ndarray]) -> None:
    model = parse(text, **constants)
    before = operators(model)
    assert apply_fixes(model, [rule]) == {}
    assert operators(model) == before


def test_nodes_and_rules_can_be_named() -> None:
    text = "(float[4,3] x) => (float[1] y) { a = ReduceMax(x, i) b = Gather(x, j) y = Add(a, b) }"
    model = parse(text, i=np.array([0]), j=np.array([1]))
    (named,) = parse_pipeline("fix{nodes=Gather_1}")
    run_pipeline(model, [named], verify_each=True)
    assert "Gather" not in operators(model)
    assert "ReduceMax" in operators(model)
    with pytest.raises(HetpartError, match="did you mean 'select-by-conv'") as caught:
        run_pipeline(model, parse_pipeline("fix{rule=select-by-con}"))
    assert caught.value.code == "unknown-fix"


def test_fixes_are_complete_data_and_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "check.md").read_text()
    documented = {
        name for row in re.findall(r"^\| (`[a-z0-9-]+`.*?) \|", page, re.MULTILINE) for name in row.split(", ")
    }
    assert {name.strip("`") for name in documented if not name.startswith("`-")} == FIXES.keys()
    for name, fix in FIXES.items():
        assert name == fix.name
        assert fix.operators
        assert fix.what
        assert fix.exact
