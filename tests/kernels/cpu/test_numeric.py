"""Elementwise chains, softmax, normalisations and linear resize against numpy in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetpart.errors import InternalError
from hetpart.graph.epilogue import Step
from hetpart.graph.evaluate import apply_steps
from hetpart.graph.layout import Blocked, Halo, Plain
from hetpart.kernels.cpu import eltwise
from hetpart.kernels.spec import EltwiseSpec, InstanceNormSpec, LayerNormSpec, ResizeSpec, SoftmaxSpec
from tests.numerics import relative_error

RNG = np.random.default_rng(0)


def values(*shape: int, offset: float = 0.0) -> np.ndarray:
    return (RNG.standard_normal(shape) + offset).astype(np.float32)


@pytest.mark.parametrize("block", [4, 8, 16])
def test_eltwise_of_blocked_maps(run_kernel, block):
    x, bias, mask = values(2, 10, 5, 7), values(1, 10, 5, 1), values(2, 1, 5, 7)
    steps = (Step("add", operand=0), Step("silu"), Step("sub", operand=1, reverse=True))
    spec = EltwiseSpec(
        Blocked(*x.shape, block, Halo(1, 1, 1, 1)), Blocked(*x.shape, block, Halo(1, 0, 1, 1)), steps,
        (Blocked(*bias.shape, block), Blocked(*mask.shape, 4, Halo(2, 1, 1, 0))),
    )  # fmt: skip
    (got,) = run_kernel(spec, [x, bias, mask])
    assert relative_error(got, apply_steps(x.astype(np.float64), steps, [bias, mask])) < 1e-6


def test_eltwise_broadcasts_its_first_input(run_kernel):
    x, y = values(1, 6, 1, 1), values(2, 6, 3, 5)
    spec = EltwiseSpec(Blocked(*x.shape, 4), Blocked(*y.shape, 4), (Step("mul", operand=0),), (Blocked(*y.shape, 4),))
    np.testing.assert_allclose(run_kernel(spec, [x, y])[0], x * y, rtol=1e-6)


@pytest.mark.parametrize(
    ("out", "x", "operand"),
    [
        ((3, 5, 7), (3, 5, 7), (7,)),
        ((3, 5, 7), (1,), (3, 1, 7)),
        ((2, 3000), (2, 1), (3000,)),
        ((6, 4, 5, 3), (4, 1, 3), (6, 4, 5, 1)),
        ((9000,), (9000,), ()),
        ((1, 4, 33, 33), (1, 4, 33, 33), (1, 1, 1, 33)),
        ((1, 1), (1, 1), (1,)),
        ((), (), ()),
    ],
)
def test_eltwise_of_row_major_tensors(run_kernel, out, x, operand):
    a, b, c = values(*x), values(*operand), values(*out)
    steps = (Step("mul", operand=0), Step("relu"), Step("add", operand=1))
    spec = EltwiseSpec(Plain(x), Plain(out), steps, (Plain(operand), Plain(out)))
    np.testing.assert_allclose(run_kernel(spec, [a, b, c])[0], np.maximum(a * b, 0) + c, rtol=1e-6, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_eltwise_broadcasting(run_kernel, data):
    out = data.draw(st.lists(st.sampled_from([1, 2, 3, 17]), min_size=1, max_size=4))
    shapes = [
        tuple(data.draw(st.sampled_from([1, extent])) for extent in out[data.draw(st.integers(0, len(out) - 1)) :])
        for _ in range(2)
    ]
    spec = EltwiseSpec(Plain(shapes[0]), Plain(tuple(out)), (Step("sub", operand=0),), (Plain(shapes[1]),))
    a, b = (values(*shape) for shape in shapes)
    np.testing.assert_array_equal(run_kernel(spec, [a, b])[0], np.broadcast_to(a - b, out))


@pytest.mark.parametrize(
    "spec",
    [
        EltwiseSpec(Plain((2, 3)), Plain((2, 4)), (Step("relu"),)),
        EltwiseSpec(Plain((2, 4), "int64"), Plain((2, 4), "int64"), (Step("relu"),)),
        EltwiseSpec(Blocked(1, 8, 2, 2, 4), Blocked(1, 8, 2, 2, 8), (Step("relu"),)),
        EltwiseSpec(Plain((1, 8, 2, 2)), Blocked(1, 8, 2, 2, 8), (Step("relu"),)),
    ],
)
def test_eltwise_refuses_what_does_not_fit(isa, spec):
    with pytest.raises(InternalError):
        eltwise.prim_func(spec, isa, "k")


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    ("outer", "length", "inner"),
    [(5, 197, 1), (3, 7, 1), (2, 1000, 1), (1, 1, 1), (2, 21, 100), (1, 5, 3), (3, 4, 333)],
)
def test_softmax(run_kernel, log, outer, length, inner):
    x = values(outer, length, inner) * 5
    shifted = x.astype(np.float64) - x.max(1, keepdims=True)
    total = np.exp(shifted).sum(1, keepdims=True)
    want = shifted - np.log(total) if log else np.exp(shifted) / total
    (got,) = run_kernel(SoftmaxSpec(Plain(x.shape), Plain(x.shape), outer, length, inner, log), [x])
    assert np.linalg.norm(got - want) <= 1e-6 * max(np.linalg.norm(want), 1)


@pytest.mark.parametrize("inner", [1, 20])
def test_softmax_of_masked_and_huge_values(run_kernel, inner):
    x = np.repeat(np.array([[3e38], [-np.inf], [3e38], [-3e38]], np.float32), inner, 1)[None]
    (got,) = run_kernel(SoftmaxSpec(Plain(x.shape), Plain(x.shape), 1, 4, inner), [x])
    np.testing.assert_array_equal(got[0, :, 0], [0.5, 0, 0.5, 0])
    nan = x.copy()
    nan[0, 1] = np.nan
    assert np.isnan(run_kernel(SoftmaxSpec(Plain(x.shape), Plain(x.shape), 1, 4, inner), [nan])[0]).all()


@pytest.mark.parametrize("length", [768, 49, 3])
@pytest.mark.parametrize(("rms", "bias"), [(False, True), (False, False), (True, False), (True, True)])
def test_layer_norm(run_kernel, length, rms, bias):
    x, scale, b = values(6, length, offset=3), values(length), values(length)
    centred = x.astype(np.float64) - (0 if rms else x.astype(np.float64).mean(1, keepdims=True))
    want = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * scale + (b if bias else 0)
    spec = LayerNormSpec(Plain(x.shape), Plain(x.shape), 6, length, 1e-5, bias, rms)
    assert relative_error(run_kernel(spec, [x], {"scale": scale, "b": b})[0], want) < 1e-6


@pytest.mark.parametrize("block", [4, 8, 16])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_instance_norm(run_kernel, block, offset):
    x, scale, b, y = values(2, 10, 9, 11, offset=offset), values(10), values(10), values(1, 10, 9, 1)
    centred = x - x.astype(np.float64).mean((2, 3), keepdims=True)
    want = centred / np.sqrt((centred**2).mean((2, 3), keepdims=True) + 1e-5)
    want = np.maximum(want * scale[:, None, None] + b[:, None, None] + y, 0)
    spec = InstanceNormSpec(
        Blocked(*x.shape, block, Halo(1, 1, 1, 1)), Blocked(*x.shape, block, Halo(1, 0, 1, 1)), 1e-5,
        (Step("add", operand=0), Step("relu")), (Blocked(*y.shape, block),),
    )  # fmt: skip
    (got,) = run_kernel(spec, [x, y], {"scale": scale, "b": b})
    assert relative_error(got, want) < (1e-6 if offset == 0 else 2e-5)


@pytest.mark.parametrize("block", [4, 8, 16])
def test_resize_linear(run_kernel, block):
    x = values(2, 10, 5, 7)
    rows = tuple((min(4, i // 2), min(4, i // 2 + 1), 0.5 * (i % 2)) for i in range(9))
    columns = tuple((min(6, i // 3), min(6, i // 3 + 1), (i % 3) / 3) for i in range(20))
    spec = ResizeSpec(
        Blocked(*x.shape, block, Halo(1, 1, 1, 1)), Blocked(2, 10, 9, 20, block, Halo(1, 0, 1, 1)),
        "linear", rows, columns,
    )  # fmt: skip

    def matrix(lines: tuple[tuple[int, int, float], ...], size: int) -> np.ndarray:
        result = np.zeros((len(lines), size))
        for i, (low, high, weight) in enumerate(lines):
            result[i, low] += 1 - weight
            result[i, high] += weight
        return result

    want = np.einsum("ih,nchw,jw->ncij", matrix(rows, 5), x.astype(np.float64), matrix(columns, 7))
    assert relative_error(run_kernel(spec, [x])[0], want) < 1e-6
