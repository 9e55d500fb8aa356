"""Layouts: forms, layout changes, halos and concatenation in place."""

import numpy as np
import pytest

from hetpart.graph.assign import Assignment, assign
from hetpart.graph.layout import Blocked, Halo, Plain
from tests.unit_graphs import units_of


def weights(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def assigned(text: str, block: int = 4, **constants: np.ndarray) -> Assignment:
    return assign(units_of(text, **constants), block)


def test_an_image_becomes_blocked_once_and_the_output_plain() -> None:
    result = assigned(
        """
        g (float[1, 8, 6, 6] x) => (float[1, 8, 6, 6] y, float[1, 8, 6, 6] z) {
            y = Conv <pads = [1, 1, 1, 1]> (x, w)
            z = Conv (x, v)
        }""",
        w=weights(8, 8, 3, 3),
        v=weights(8, 8, 1, 1),
    )
    kinds = [unit.kind for unit in result.graph]
    assert kinds.count("repack") == 3  # one in, shared by both convolutions, and two out
    assert result.layouts["x"] == Plain((1, 8, 6, 6))
    assert result.layouts["x:blocked"] == Blocked(1, 8, 6, 6, 4, Halo(1, 1, 1, 1))
    assert set(result.ports) == {"y", "z"}
    assert all(isinstance(result.layouts[value], Plain) for value in result.ports.values())


def test_the_halo_is_as_wide_as_the_windows_reach() -> None:
    result = assigned(
        """
        g (float[1, 4, 7, 7] x) => (float[1, 4, 3, 3] z) {
            y = Relu (x)
            c = Conv (y, v)
            z = Conv <pads = [1, 0, 1, 0], strides = [3, 3], dilations = [2, 2]> (c, w)
        }""",
        v=weights(4, 4, 1, 1),
        w=weights(4, 4, 2, 2),
    )
    # rows: 3 windows of reach 3, 3 apart, starting at -1: up to row 7 of 0..6 would need 7, they end at 7
    layout = result.layouts["c"]
    assert isinstance(layout, Blocked)
    assert layout.halo == Halo(top=1, left=0, bottom=1, right=2)


def test_concat_inputs_lie_in_the_output() -> None:
    result = assigned(
        """
        g (float[1, 4, 5, 5] x) => (float[1, 4, 5, 5] y) {
            a = Conv (x, wa)
            b = Conv (x, wb)
            c = Concat <axis = 1> (a, b)
            y = Conv <pads = [1, 1, 1, 1]> (c, wy)
        }""",
        wa=weights(8, 4, 1, 1),
        wb=weights(4, 4, 1, 1),
        wy=weights(4, 12, 3, 3),
    )
    concat = next(unit for unit in result.graph if unit.kind == "concat")
    assert concat.name in result.free
    assert result.root("a") == ("c", 0)
    c, b = result.layouts["c"], result.layouts["b"]
    assert isinstance(c, Blocked)
    assert isinstance(b, Blocked)
    assert b.halo == c.halo
    assert c.halo.bottom == 1
    assert c.halo.right >= 1
    whole, offset = result.root("b")
    assert whole == "c"
    assert offset == 2 * c.rows * c.columns * 4 * 4
    assert offset % 128 == 0


def test_an_input_off_the_block_is_copied() -> None:
    result = assigned(
        """
        g (float[1, 4, 5, 5] x) => (float[1, 9, 5, 5] y) {
            a = Conv (x, wa)
            b = Conv (x, wb)
            y = Concat <axis = 1> (a, b)
        }""",
        wa=weights(6, 4, 1, 1),
        wb=weights(3, 4, 1, 1),
    )
    concat = next(unit for unit in result.graph if unit.kind == "concat")
    assert concat.name not in result.free
    assert result.copies[concat.name] == ("b",)
    assert result.kernel_reads(concat) == ("a", "b")  # channels 4 to 7 of y hold some of both
    assert result.written_parts("y") == ((concat.name, "y"),)


def test_growing_concats_share_one_buffer() -> None:
    """DenseNet's pattern: every layer concatenates all earlier outputs again."""
    result = assigned(
        """
        g (float[1, 4, 5, 5] x) => (float[1, 4, 5, 5] y) {
            a = Conv (x, w1)
            b = Conv (a, w1)
            ab = Concat <axis = 1> (a, b)
            c = Conv (ab, w2)
            abc = Concat <axis = 1> (a, b, c)
            y = Conv (abc, w3)
        }""",
        w1=weights(4, 4, 1, 1),
        w2=weights(4, 8, 1, 1),
        w3=weights(4, 12, 1, 1),
    )
    assert {unit.name for unit in result.graph if unit.kind == "concat"} <= result.free
    assert {result.root(value)[0] for value in ("a", "b", "c", "ab", "abc")} == {"abc"}
    assert result.root("ab")[1] == 0
    assert {value for _, value in result.written_parts("ab")} == {"a", "b"}


def test_a_pooled_vector_needs_no_copy_to_be_flattened() -> None:
    result = assigned(
        """
        g (float[1, 8, 5, 5] x) => (float[1, 3] y) {
            p = GlobalAveragePool (x)
            f = Reshape (p, shape)
            y = Gemm (f, w)
        }""",
        shape=np.array([1, 8], np.int64),
        w=weights(8, 3),
    )
    moved = [unit.kind for unit in result.graph if unit.name not in result.free]
    assert moved == ["repack", "global_pool", "dense"]
    assert result.root("f") == ("p", 0)


@pytest.mark.parametrize(
    ("channels", "block", "expected"), [(3, 16, 4), (3, 8, 4), (3, 4, 4), (1, 16, 2), (20, 16, 16)]
)
def test_images_with_few_channels_get_a_narrow_block(channels: int, block: int, expected: int) -> None:
    result = assigned(
        f"""
        g (float[1, {channels}, 8, 8] x) => (float[1, 16, 6, 6] y) {{
            y = Conv (x, w)
        }}""",
        block,
        w=weights(16, channels, 3, 3),
    )
    layout = result.layouts["x:blocked"]
    assert isinstance(layout, Blocked)
    assert layout.block == expected


def test_batches_are_concatenated_by_copy() -> None:
    result = assigned(
        """
        g (float[2, 4, 5, 5] x) => (float[2, 8, 5, 5] y) {
            a = Conv (x, w)
            b = Relu (a)
            y = Concat <axis = 1> (a, b)
        }""",
        w=weights(4, 4, 1, 1),
    )
    concat = next(unit for unit in result.graph if unit.kind == "concat")
    assert result.copies[concat.name] == ("a", "b")


def test_an_image_that_is_also_a_residual_keeps_the_full_block() -> None:
    result = assigned(
        """
        g (float[1, 8, 6, 6] x) => (float[1, 8, 6, 6] y) {
            c = Conv (x, w)
            y = Add (c, x)
        }""",
        16,
        w=weights(8, 8, 1, 1),
    )
    layout = result.layouts["x:blocked"]
    assert isinstance(layout, Blocked)
    assert layout.block == 16


def test_a_transposition_to_nhwc_reads_the_blocked_map() -> None:
    result = assigned(
        """
        g (float[1, 8, 6, 6] x) => (float[1, 6, 6, 8] t) {
            y = Conv (x, w)
            t = Transpose <perm = [0, 2, 3, 1]> (y)
        }""",
        w=weights(8, 8, 1, 1),
    )
    assert [unit.kind for unit in result.graph] == ["repack", "conv", "transpose"]
    assert isinstance(result.layouts["y"], Blocked)
    assert result.layouts["t"] == Plain((1, 6, 6, 8))


def test_a_transposition_from_nhwc_makes_the_blocked_map_that_a_convolution_wants() -> None:
    result = assigned(
        """
        g (float[1, 6, 6, 3] x) => (float[1, 8, 6, 6] y) {
            t = Transpose <perm = [0, 3, 1, 2]> (x)
            y = Conv <pads = [1, 1, 1, 1]> (t, w)
        }""",
        block=16,
        w=weights(8, 3, 3, 3),
    )
    assert [unit.kind for unit in result.graph] == ["transpose", "conv", "repack"]
    assert result.layouts["t"] == Blocked(1, 3, 6, 6, 4, Halo(1, 1, 1, 1))


def test_other_transpositions_work_on_plain_tensors() -> None:
    result = assigned(
        """
        g (float[1, 6, 6, 3] x) => (float[1, 3, 6, 6] y) {
            t = Transpose <perm = [0, 3, 2, 1]> (x)
            s = Transpose <perm = [0, 3, 1, 2]> (x)
            u = Add (s, t)
            y = Relu (u)
        }""",
    )
    assert not any(isinstance(form, Blocked) for form in result.layouts.values())


QUANTISED = """
    g (float[1, 8, 5, 5] x) => (float[1, 8, 5, 5] y) {
        q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z)
        v = DequantizeLinear (w, s)
        c = Conv <pads = [1, 1, 1, 1], group = GROUP> (d, v)
        r = QuantizeLinear (c, s, z) y = DequantizeLinear (r, s, z)
    }"""


@pytest.mark.parametrize(("group", "right"), [(1, 1), (8, 2)])
def test_the_halo_of_a_quantised_map_holds_its_zero_point(group: int, right: int) -> None:
    weight = np.ones((8, 8 // group, 3, 3), np.int8)
    text = QUANTISED.replace("GROUP", str(group))
    result = assigned(text, s=np.array(0.1, np.float32), z=np.array(7, np.uint8), w=weight)
    # depthwise kernels read taps in fours, and so one column more
    assert result.layouts["q:blocked"] == Blocked(1, 8, 5, 5, 4, Halo(1, 1, 1, right), "uint8", 7)
    assert result.layouts["r"] == Blocked(1, 8, 5, 5, 4, dtype="uint8")


def test_quantised_pieces_of_a_concatenation_start_on_aligned_bytes() -> None:
    result = assigned(
        """
        g (uint8[1, 4, 5, 5] x) => (uint8[1, 8, 5, 5] c) {
            a = MaxPool <kernel_shape = [1, 1]> (x)
            b = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)
            c = Concat <axis = 1> (a, b)
        }"""
    )
    offset = result.slices["b"].offset
    assert offset % 128 == 0
    assert offset * 2 == result.layouts["c"].size_bytes
