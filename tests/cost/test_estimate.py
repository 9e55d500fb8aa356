from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetpart.cost import estimate, transfer_us
from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked
from hetpart.targets import load_target
from tests.unit_graphs import only, units_of

TARGET = load_target("sd855")
CPU, GPU = TARGET.processor("cpu"), TARGET.processor("gpu")


def test_compute_bound_convolution_by_hand() -> None:
    graph = units_of("g (float[1,64,56,56] x) => (y) { y = Conv<pads=[1,1,1,1]>(x, w) }", w=(64, 64, 3, 3))
    cost = estimate(only(graph), {}, graph, CPU)
    assert CPU.cost is not None
    flops = 2 * 64 * 64 * 9 * 56 * 56
    busy_us = flops / (CPU.cost.peak_gflops * CPU.cost.efficiency["conv3x3"]) / 1e3
    assert cost.latency_us == pytest.approx(CPU.cost.launch_us + busy_us)
    assert (cost.bound, cost.origin, cost.kernel_class) == ("compute", "estimated", "conv3x3")


def test_weights_bound_a_dense_layer_of_one_row() -> None:
    graph = units_of("g (float[1,2048] x) => (y) { y = Gemm(x, w) }", w=(2048, 2048))
    cost = estimate(only(graph), {}, graph, CPU)
    assert cost.bound == "memory"
    assert CPU.cost is not None
    assert cost.latency_us == pytest.approx(
        cost.launch_us + 2048 * 2048 * 4 / (CPU.cost.bandwidth_gb_per_s * 1e3), rel=0.01
    )


def test_launch_bounds_a_tiny_unit() -> None:
    graph = units_of("g (float[1,4,2,2] x) => (y) { y = Relu(x) }")
    cost = estimate(only(graph), {}, graph, GPU)
    assert cost.bound == "launch"
    assert cost.latency_us == pytest.approx(cost.launch_us, rel=0.01)


def test_view_costs_nothing() -> None:
    graph = units_of("g (float[1,4,2,2] x) => (y) { y = Flatten(x) }")
    view = replace(only(graph), kind="view")
    assert estimate(view, {}, graph, GPU).latency_us == 0


def test_spare_lanes_cost_time() -> None:
    graph = units_of("g (float[1,64,56,56] x) => (y) { y = Conv<pads=[1,1,1,1]>(x, w) }", w=(6, 64, 3, 3))
    full = estimate(only(graph), {}, graph, CPU)
    layouts = {"x": Blocked(1, 64, 56, 56, 4), "y": Blocked(1, 6, 56, 56, 4)}
    padded = estimate(only(graph), layouts, graph, CPU)
    assert padded.latency_us - CPU.cost.launch_us == pytest.approx((full.latency_us - CPU.cost.launch_us) * 8 / 6)


def test_generic_code_is_much_slower() -> None:
    graph = units_of("g (float[1,64,28,28] x) => (y) { y = Conv(x, w) }", w=(64, 64, 1, 1))
    unit = only(graph)
    generic = replace(unit, kind="other")
    ratio = estimate(generic, {}, graph, CPU).latency_us / estimate(unit, {}, graph, CPU).latency_us
    assert 25 <= ratio <= 70


def test_processor_without_costs() -> None:
    graph = units_of("g (float[1,4] x) => (y) { y = Relu(x) }")
    with pytest.raises(InternalError, match="no-cost-table"):
        estimate(only(graph), {}, graph, TARGET.processor("dsp"))


@given(channels=st.integers(1, 64), size=st.integers(1, 40), factor=st.integers(2, 4))
def test_more_work_never_costs_less(channels: int, size: int, factor: int) -> None:
    def latency_us(c: int) -> float:
        graph = units_of(f"g (float[1,{c},{size},{size}] x) => (y) {{ y = Conv(x, w) }}", w=(8, c, 1, 1))
        return estimate(only(graph), {}, graph, GPU).latency_us

    assert latency_us(channels * factor) >= latency_us(channels)


def test_transfer_is_affine() -> None:
    link = TARGET.link("gpu", "cpu")
    assert transfer_us(link, 0) == 555
    assert transfer_us(link, 4_000_000) == pytest.approx(555 + 215, rel=0.01)  # CoDL Fig. 14: 0.215 ms per 1e6 floats
