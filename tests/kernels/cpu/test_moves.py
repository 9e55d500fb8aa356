"""Kernels that only move elements: repack, concat, transpose, pad, nearest resize. All must be exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetpart.errors import HetpartError, InternalError
from hetpart.graph.layout import Blocked, Halo, Plain, Strided
from hetpart.kernels.cpu import pad, repack, transpose
from hetpart.kernels.spec import ConcatSpec, PadSpec, RepackSpec, ResizeSpec, TransposeSpec

RNG = np.random.default_rng(0)
DTYPES = ["float32", "int64", "bool", "float16"]  # one of each width


def values(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    return RNG.integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)


def form(block: int, shape: tuple[int, ...], halo: Halo) -> Blocked | Plain:
    return Blocked(*shape, block, halo) if block else Plain(shape)


@pytest.mark.parametrize(
    ("x_block", "out_block", "channels", "first", "out_channels"),
    [  # a block of 0 is row-major
        (0, 16, 37, 0, 37), (0, 3, 3, 0, 3), (16, 0, 37, 0, 37), (16, 16, 37, 0, 37), (0, 4, 6, 0, 6),
        (3, 16, 3, 0, 3), (8, 4, 20, 0, 20), (4, 16, 33, 0, 33), (0, 16, 64, 0, 64), (0, 8, 19, 0, 19),
    ],
)  # fmt: skip
def test_repack_of_all_channels(run_kernel, x_block, out_block, channels, first, out_channels):
    x = values((2, channels, 5, 21))
    spec = RepackSpec(
        form(x_block, x.shape, Halo(1, 2, 0, 1)), form(out_block, (2, out_channels, 5, 21), Halo(2, 1, 1, 0)), first
    )
    np.testing.assert_array_equal(run_kernel(spec, [x])[0], x)


@pytest.mark.parametrize(
    ("x_block", "out_block", "channels", "first", "out_channels"),
    [
        (16, 16, 32, 16, 64), (16, 16, 20, 16, 64), (16, 16, 20, 32, 52), (8, 4, 20, 3, 30), (0, 8, 5, 6, 30),
        (4, 0, 6, 3, 11), (8, 8, 3, 2, 30),
    ],
)  # fmt: skip
def test_repack_keeps_the_other_channels(run_kernel, x_block, out_block, channels, first, out_channels):
    x, before = values((2, channels, 5, 7)), values((2, out_channels, 5, 7))
    spec = RepackSpec(form(x_block, x.shape, Halo(1, 2, 0, 1)), form(out_block, before.shape, Halo(1, 1, 1, 0)), first)
    want = before.copy()
    want[:, first : first + channels] = x
    np.testing.assert_array_equal(run_kernel(spec, [x], keep=before)[0], want)


@pytest.mark.parametrize(("block", "channels"), [(16, 37), (16, 5), (4, 20), (16, 32), (8, 1)])
def test_nhwc(run_kernel, block, channels):
    x = values((2, channels, 5, 21))
    blocked, plain = form(block, x.shape, Halo(1, 2, 0, 1)), Plain((2, 5, 21, channels))
    np.testing.assert_array_equal(run_kernel(RepackSpec(blocked, plain, nhwc=True), [x])[0], x.transpose(0, 2, 3, 1))
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(run_kernel(RepackSpec(plain, blocked, nhwc=True), [last])[0], x)


def test_repack_refuses_what_does_not_fit(isa):
    with pytest.raises(InternalError):
        repack.prim_func(RepackSpec(Blocked(1, 8, 2, 2, 4), Blocked(1, 8, 2, 2, 4), 4), isa, "k")
    with pytest.raises(InternalError):
        repack.prim_func(RepackSpec(Plain((1, 8, 2, 2)), Plain((1, 8, 2, 2))), isa, "k")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("axis", "shapes"),
    [
        (0, [(3, 5), (2, 5)]), (1, [(3, 50, 4), (3, 1, 4), (3, 333, 4)]), (2, [(1, 7, 5000), (1, 7, 3000)]),
        (0, [(40000,)] * 3), (1, [(2, 3), (2, 4)]), (0, [(7,)]), (0, [(3,), (70000,), (5,)]),
    ],
)  # fmt: skip
def test_concat(run_kernel, dtype, axis, shapes):
    xs = [values(shape, dtype) for shape in shapes]
    want = np.concatenate(xs, axis)
    spec = ConcatSpec(tuple(Plain(x.shape, dtype) for x in xs), Plain(want.shape, dtype), axis)
    np.testing.assert_array_equal(run_kernel(spec, xs)[0], want)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "perm"),
    [
        ((3, 5, 7), (2, 0, 1)),
        ((1, 37, 3, 16), (0, 2, 1, 3)),
        ((50, 70), (1, 0)),
        ((300, 3), (1, 0)),
        ((2, 9, 1, 8), (0, 3, 2, 1)),
    ],
)
def test_transpose_of_each_dtype(run_kernel, dtype, shape, perm):
    x = values(shape, dtype)
    spec = TransposeSpec(Plain(shape, dtype), Plain(tuple(shape[p] for p in perm), dtype), perm)
    np.testing.assert_array_equal(run_kernel(spec, [x])[0], x.transpose(perm))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_transpose_of_any_rank(run_kernel, data):
    shape = tuple(data.draw(st.lists(st.sampled_from([1, 2, 3, 5, 17, 18]), min_size=1, max_size=4)))
    perm = tuple(data.draw(st.permutations(range(len(shape)))))
    x = values(shape, "int64")
    spec = TransposeSpec(Plain(shape, "int64"), Plain(tuple(shape[p] for p in perm), "int64"), perm)
    np.testing.assert_array_equal(run_kernel(spec, [x])[0], x.transpose(perm))


@pytest.mark.parametrize("perm", [(0, 2, 1), (1, 2, 0), (1, 0, 2)])
def test_transpose_reads_a_view(run_kernel, perm):
    view = Strided((2, 19, 20), "float32", 2 * 19 * 60, 20, (19 * 60, 60, 1))
    x = values(view.shape, "float32")
    spec = TransposeSpec(view, Plain(tuple(x.shape[p] for p in perm)), perm)
    np.testing.assert_array_equal(run_kernel(spec, [x])[0], x.transpose(perm))


def test_transpose_refuses_other_shapes(isa):
    with pytest.raises(InternalError):
        transpose.prim_func(TransposeSpec(Plain((2, 3)), Plain((2, 3)), (1, 0)), isa, "k")


@pytest.mark.parametrize("block", [4, 8, 16])
@pytest.mark.parametrize(
    ("mode", "pads"),
    [
        ("constant", (1, 2, 3, 0)), ("constant", (-1, 2, 3, -2)), ("constant", (9, -3, -4, 12)),
        ("reflect", (2, 3, 1, 4)), ("reflect", (-2, 2, 1, -3)), ("reflect", (0, 0, 0, 0)),
        ("edge", (2, 9, 1, 4)), ("edge", (8, 9, -4, -6)),
    ],
)  # fmt: skip
def test_pad(run_kernel, block, mode, pads):
    x = values((2, 10, 5, 7))
    top, left, bottom, right = pads
    kept = x[:, :, max(0, -top) : x.shape[2] - max(0, -bottom), max(0, -left) : x.shape[3] - max(0, -right)]
    extra = {"constant_values": 1.5} if mode == "constant" else {}
    width = ((0, 0), (0, 0), (max(0, top), max(0, bottom)), (max(0, left), max(0, right)))
    want = np.pad(kept, width, mode=mode, **extra)
    spec = PadSpec(
        Blocked(*x.shape, block, Halo(1, 1, 1, 1)), Blocked(*want.shape, block, Halo(1, 0, 2, 1)), mode, pads, 1.5
    )
    np.testing.assert_array_equal(run_kernel(spec, [x])[0], want)


@pytest.mark.parametrize(("mode", "pads"), [("reflect", (0, 7, 0, 0)), ("edge", (-5, 0, 8, 0))])
def test_pad_beyond_the_image_is_refused(isa, mode, pads):
    x = Blocked(1, 4, 5, 7, 4)
    out = Blocked(1, 4, 5 + pads[0] + pads[2], 7 + pads[1] + pads[3], 4)
    with pytest.raises(HetpartError) as caught:
        pad.prim_func(PadSpec(x, out, mode, pads), isa, "k")
    assert caught.value.code == "pad-too-wide"


@pytest.mark.parametrize("block", [4, 8, 16])
def test_resize_nearest(run_kernel, block):
    x = values((2, 10, 5, 7))
    rows, columns = [0, 0, 1, 2, 2, 3, 4], [6, 6, 5, 0, 1, 1, 3, 3, 2]
    spec = ResizeSpec(
        Blocked(*x.shape, block, Halo(1, 1, 1, 1)), Blocked(2, 10, 7, 9, block, Halo(1, 0, 1, 1)), "nearest",
        tuple((i, i, 0.0) for i in rows), tuple((i, i, 0.0) for i in columns),
    )  # fmt: skip
    np.testing.assert_array_equal(run_kernel(spec, [x])[0], x[:, :, rows][..., columns])
