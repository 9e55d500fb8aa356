from __future__ import annotations

import numpy as np
import pytest

from hetpart.cost import Work, work
from hetpart.graph.layout import Blocked, Halo, Plain
from hetpart.graph.units import Unit
from tests.unit_graphs import only, units_of

F32 = 4


def image_unit(nodes: str, **constants: tuple[int, ...]) -> Work:
    graph = units_of(f"g (float[1,3,8,8] x) => (y) {{ {nodes} }}", **constants)
    return work(only(graph), graph)


def test_convolution() -> None:
    done = image_unit("y = Conv<pads=[1,1,1,1]>(x, w, b)", w=(16, 3, 3, 3), b=(16,))
    assert done.macs == 16 * 3 * 9 * 64
    assert done.read_bytes == F32 * (3 * 64 + 16 * 27 + 16)
    assert done.write_bytes == F32 * 16 * 64
    assert done.kernel_class == "conv3x3"


def test_other_convolutions_are_of_another_class() -> None:
    assert image_unit("y = Conv<strides=[2,2]>(x, w)", w=(16, 3, 3, 3)).kernel_class == "conv"
    assert image_unit("y = Conv<dilations=[2,1]>(x, w)", w=(16, 3, 3, 3)).kernel_class == "conv"
    assert image_unit("y = Conv(x, w)", w=(16, 3, 3, 1)).kernel_class == "conv"


def test_pointwise_strided_and_fused() -> None:
    done = image_unit("c = Conv<strides=[2,2]>(x, w) y = Relu(c)", w=(8, 3, 1, 1))
    assert done == Work(8 * 3 * 16, F32 * (3 * 64 + 24), F32 * 8 * 16, "conv1x1", constant_bytes=F32 * 24, pixels=16)


def test_depthwise_and_grouped() -> None:
    assert image_unit("y = Conv<group=3>(x, w)", w=(3, 1, 3, 3)).kernel_class == "depthwise"
    grouped = image_unit("y = Conv<group=3>(x, w)", w=(6, 1, 3, 3))
    assert grouped.kernel_class == "conv_grouped"
    assert grouped.macs == 6 * 9 * 36


def test_transposed_convolution_counts_its_input() -> None:
    done = image_unit("y = ConvTranspose<strides=[2,2]>(x, w)", w=(3, 5, 2, 2))
    assert (done.macs, done.kernel_class) == (3 * 64 * 5 * 4, "conv_transpose")


def test_dense_reads_its_weights() -> None:
    graph = units_of("g (float[2,64] x) => (y) { y = Gemm(x, w, b) }", w=(64, 10), b=(10,))
    done = Work(2 * 64 * 10, F32 * (128 + 640 + 10), F32 * 20, "dense", constant_bytes=F32 * 650)
    assert work(only(graph), graph) == done


def test_batched_product_of_activations() -> None:
    graph = units_of("g (float[3,5,7] a, float[3,7,4] b) => (y) { y = MatMul(a, b) }")
    done = work(only(graph), graph)
    assert (done.macs, done.kernel_class) == (3 * 5 * 7 * 4, "matmul")


def test_elementwise_reads_both_operands() -> None:
    graph = units_of("g (float[1,4,2,2] a, float[1,4,2,2] b) => (y) { c = Add(a, b) y = Relu(c) }")
    assert work(only(graph), graph) == Work(0, F32 * 32, F32 * 16, "memory")


def test_softmax_passes_over_its_input_twice() -> None:
    graph = units_of("g (float[2,10] x) => (y) { y = Softmax(x) }")
    assert work(only(graph), graph) == Work(0, 2 * F32 * 20, F32 * 20, "norm")


def test_view_moves_nothing() -> None:
    graph = units_of("g (float[2,3,4] x) => (y) { y = Reshape(x, shape) }", shape=np.array([2, 12]))
    assert work(only(graph), graph) == Work(0, 0, 0, "view")


def test_embedding_reads_rows_not_the_table() -> None:
    graph = units_of("g (int64[1,6] ids) => (y) { y = Gather(table, ids) }", table=(30_000, 8))
    done = work(only(graph), graph)
    assert done.write_bytes == F32 * 6 * 8
    assert done.read_bytes == F32 * 6 * 8 + 8 * 6
    assert done.kernel_class == "generic_memory"


def test_convolution_that_only_tvm_can_do_still_counts() -> None:
    graph = units_of("g (float[1,3,16] x) => (y) { y = Conv(x, w) }", w=(4, 3, 3))
    done = work(only(graph), graph)
    assert (done.macs, done.kernel_class) == (4 * 14 * 9, "generic")


def test_layouts_decide_bytes_and_utilisation() -> None:
    graph = units_of("g (float[1,6,8,8] x) => (y) { y = Conv<pads=[1,1,1,1]>(x, w) }", w=(10, 6, 3, 3))
    layouts = {"x": Blocked(1, 6, 8, 8, 4, Halo(1, 1, 1, 1)), "y": Blocked(1, 10, 8, 8, 4)}
    done = work(only(graph), graph, layouts)
    assert done.read_bytes == F32 * (8 * 100 + 10 * 54)
    assert done.write_bytes == F32 * 12 * 64
    assert done.utilisation == pytest.approx(10 / 12)
    assert done.macs == 10 * 54 * 64


def test_repack_has_no_node() -> None:
    graph = units_of("g (float[1,3,8,8] x) => (y) { y = Relu(x) }")
    repack = Unit("repack:x", "repack", (), ("x",), ("x:blocked",))
    layouts = {"x": Plain((1, 3, 8, 8)), "x:blocked": Blocked(1, 3, 8, 8, 4)}
    assert work(repack, graph, layouts) == Work(0, F32 * 192, F32 * 256, "memory")
