"""Microseconds of units: by the law that a target names, by a roofline, and what must hold of either."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetpart.cost import Cost, estimate, transfer_us
from hetpart.cost.fitted import class_times, engines
from hetpart.cost.layers import Layer
from hetpart.cost.phones import CHIPS, Setting
from hetpart.errors import InternalError
from hetpart.graph.layout import Blocked, Plain
from hetpart.targets import load_target
from hetpart.targets.schema import PUBLISHED_CHIPS, PUBLISHED_ENGINES, Cache, Processor, Target
from tests.unit_graphs import only, units_of

TARGET = load_target("sd855")
CPU, GPU = TARGET.processor("cpu"), TARGET.processor("gpu")
ROOFLINE = load_target("host").processor("cpu")
PHONES = [load_target(name) for name in ("sd855", "sd865", "sd888", "kirin985", "kirin990")]


def convolution(processor: Processor, c_out: int = 64, layouts: dict[str, Blocked] | None = None) -> Cost:
    """Of 3 x 3, from 64 channels, on a map of 56 x 56."""
    graph = units_of("g (float[1,64,56,56] x) => (y) { y = Conv<pads=[1,1,1,1]>(x, w) }", w=(c_out, 64, 3, 3))
    half = any(form.dtype == "float16" for form in (layouts or {}).values())
    return estimate(only(graph), layouts or {}, graph, processor, half=half)


def test_a_convolution_by_the_law_that_the_target_names() -> None:
    cost = convolution(CPU)
    assert CPU.cost is not None
    assert CPU.cost.law is not None
    setting = Setting("sd855", CPU.cost.law.fp32, "cpu", "fp32", CPU.threads)
    layer = Layer("conv", 64, 64, 1, (3, 3), 1, (56, 56), 64 * 56 * 56, 64 * 56 * 56)
    parts = class_times([layer], setting)
    assert cost.launch_us == CPU.cost.launch_us == pytest.approx(1e3 * parts.pop("launch"), rel=5e-3)
    assert cost.latency_us == pytest.approx(cost.launch_us + 1e3 * sum(parts.values()))
    assert (cost.bound, cost.origin, cost.kernel_class) == ("compute", "estimated", "conv3x3")


def test_a_share_of_the_law_s_speed() -> None:
    assert CPU.cost is not None
    half = replace(CPU, cost=replace(CPU.cost, efficiency={"conv3x3": 0.5}))
    busy_us = convolution(CPU).latency_us - CPU.cost.launch_us
    assert convolution(half).latency_us == pytest.approx(CPU.cost.launch_us + 2 * busy_us)


def test_a_convolution_by_the_roofline() -> None:
    cost = convolution(ROOFLINE)
    assert ROOFLINE.cost is not None
    flops = 2 * 64 * 64 * 9 * 56 * 56
    slower = 1 + ROOFLINE.cost.half_speed_pixels["conv3x3"] / 56**2
    busy_us = slower * flops / (ROOFLINE.cost.peak_gflops * ROOFLINE.cost.efficiency["conv3x3"]) / 1e3
    assert cost.latency_us == pytest.approx(ROOFLINE.cost.launch_us + busy_us)
    assert (cost.bound, cost.origin, cost.kernel_class) == ("compute", "estimated", "conv3x3")


@pytest.mark.parametrize("processor", [CPU, ROOFLINE])
def test_weights_bound_a_dense_layer_of_one_row(processor: Processor) -> None:
    graph = units_of("g (float[1,2048] x) => (y) { y = Gemm(x, w) }", w=(2048, 2048))
    cost = estimate(only(graph), {}, graph, processor)
    assert cost.bound == "memory"
    assert processor.cost is not None
    if processor is ROOFLINE:
        weights_us = 2048 * 2048 * 4 / (processor.cost.bandwidth_gb_per_s * 1e3)
        assert cost.latency_us == pytest.approx(cost.launch_us + weights_us, rel=0.01)


def test_half_speed_on_a_map_of_so_many_pixels() -> None:
    assert ROOFLINE.cost is not None
    infinite = replace(ROOFLINE, cost=replace(ROOFLINE.cost, half_speed_pixels={}, launch_us=0.0))
    half = replace(ROOFLINE, cost=replace(ROOFLINE.cost, half_speed_pixels={"conv3x3": 56**2}, launch_us=0.0))
    assert convolution(half).latency_us == pytest.approx(2 * convolution(infinite).latency_us)


def test_activations_move_at_the_speed_of_the_caches_that_hold_them() -> None:
    assert ROOFLINE.cost is not None
    caches = (Cache(1000, 10.0), Cache(3000, 5.0))
    table = replace(ROOFLINE.cost, caches=caches, bandwidth_gb_per_s=1.0, launch_us=0.0)
    table = replace(table, efficiency={**table.efficiency, "memory": 1.0})

    def relu_us(floats: int) -> float:
        graph = units_of(f"g (float[1,{floats}] x) => (y) {{ y = Relu(x) }}")
        return estimate(only(graph), {}, graph, replace(ROOFLINE, cost=table)).latency_us

    assert relu_us(100) == pytest.approx(0.8 / 10)  # 800 bytes in and out
    assert relu_us(250) == pytest.approx(1 / 10 + 1 / 5)  # 2000
    assert relu_us(1000) == pytest.approx(1 / 10 + 2 / 5 + 5 / 1)  # 8000


@pytest.mark.parametrize("processor", [GPU, ROOFLINE])
def test_launch_bounds_a_tiny_unit(processor: Processor) -> None:
    graph = units_of("g (float[1,4,2,2] x) => (y) { y = Relu(x) }")
    cost = estimate(only(graph), {}, graph, processor)
    assert cost.bound == "launch"
    assert cost.latency_us == pytest.approx(cost.launch_us, rel=0.02)


def test_view_costs_nothing() -> None:
    graph = units_of("g (float[1,4,2,2] x) => (y) { y = Flatten(x) }")
    view = replace(only(graph), kind="view")
    assert estimate(view, {}, graph, GPU).latency_us == 0


def test_spare_lanes_cost_time() -> None:
    layouts = {"x": Blocked(1, 64, 56, 56, 4), "y": Blocked(1, 6, 56, 56, 4)}
    assert ROOFLINE.cost is not None
    busy = [cost.latency_us - cost.launch_us for cost in (convolution(ROOFLINE), convolution(ROOFLINE, 6))]
    padded_us = convolution(ROOFLINE, 6, layouts).latency_us - ROOFLINE.cost.launch_us
    assert padded_us == pytest.approx(busy[1] * 8 / 6)
    six, eight = (convolution(GPU, channels).latency_us for channels in (6, 8))
    assert 0.95 * eight < six <= eight  # less is written


def test_an_epilogue_costs_what_it_reads() -> None:
    def latency_us(nodes: str) -> float:
        graph = units_of(f"g (float[1,64,28,28] x, float[1,64,28,28] z) => (y) {{ {nodes} }}", w=(64, 64, 1, 1))
        return estimate(only(graph), {}, graph, CPU).latency_us

    assert latency_us("c = Conv(x, w) y = Relu(c)") == latency_us("y = Conv(x, w)")
    assert latency_us("c = Conv(x, w) y = Add(c, z)") > 1.02 * latency_us("y = Conv(x, w)")


def test_float16_maps_are_computed_in_float16() -> None:
    maps = {name: Blocked(1, 64, 56, 56, 8, dtype="float16") for name in "xy"}
    assert convolution(CPU, layouts=maps).kernel_class == "fp16_conv"
    assert convolution(CPU, layouts=maps).latency_us < 0.7 * convolution(CPU).latency_us
    graph = units_of("g (float[1,64] x) => (y) { y = Gemm(x, w) }", w=(64, 64))
    assert estimate(only(graph), {"x": Plain((1, 64)), "y": Plain((1, 64))}, graph, CPU).kernel_class == "dense"


def test_fewer_threads_take_longer_by_the_law() -> None:
    times = [convolution(replace(CPU, threads=threads)).latency_us for threads in (1, 2, 4)]
    assert times[0] > 1.5 * times[1] > 2.25 * times[2]


def test_generic_code_is_much_slower() -> None:
    graph = units_of("g (float[1,64,28,28] x) => (y) { y = Conv(x, w) }", w=(64, 64, 1, 1))
    unit = only(graph)
    generic = replace(unit, kind="other")
    ratio = estimate(generic, {}, graph, CPU).latency_us / estimate(unit, {}, graph, CPU).latency_us
    assert 10 <= ratio <= 70


def test_processor_without_costs() -> None:
    graph = units_of("g (float[1,4] x) => (y) { y = Relu(x) }")
    with pytest.raises(InternalError, match="no-cost-table"):
        estimate(only(graph), {}, graph, TARGET.processor("dsp"))


def test_target_files_may_name_what_is_published() -> None:
    assert set(PUBLISHED_CHIPS) == CHIPS.keys()
    assert set(PUBLISHED_ENGINES) == {*engines("cpu"), *engines("gpu")}


FAMILIES = {
    "1 x 1": ("Conv", 1, 16),
    "3 x 3": ("Conv<pads=[1,1,1,1]>", 3, 16),
    "5 x 5": ("Conv<pads=[2,2,2,2]>", 5, 5),
    "3 x 3, stride 2": ("Conv<pads=[1,1,1,1],strides=[2,2]>", 3, 5),
    "depthwise": ("Conv<pads=[1,1,1,1],group=%d>", 3, 2),
    "Relu": ("Relu", 0, 1),
    "MaxPool": ("MaxPool<kernel_shape=[2,2],strides=[2,2]>", 0, 1),
}
"""Operators, sizes of filter, least channels: first convolutions end with 4, Winograd's begin with 16."""


@pytest.mark.parametrize("family", FAMILIES)
@settings(deadline=None, max_examples=40)
@given(
    c_in=st.integers(1, 40), c_out=st.integers(1, 40), size=st.integers(4, 30), more=st.integers(1, 9),
    grown=st.sampled_from(("c_in", "c_out", "size")), phone=st.sampled_from(PHONES),
    name=st.sampled_from(("cpu", "gpu")),
)  # fmt: skip
def test_more_work_never_costs_less(
    family: str, c_in: int, c_out: int, size: int, more: int, grown: str, phone: Target, name: str
) -> None:
    """Within a family of shapes, on all phones."""
    processor = phone.processor(name)

    def latency_us(c_in: int, c_out: int, size: int) -> float:
        operator, kernel, least = FAMILIES[family]
        c_in, c_out = c_in + least - 1, c_out + least - 1
        depthwise = "%d" in operator
        call = f"{operator % c_in if depthwise else operator}(x, w)" if kernel else f"{operator}(x)"
        weights = {"w": (c_in, 1, kernel, kernel) if depthwise else (c_out, c_in, kernel, kernel)} if kernel else {}
        graph = units_of(f"g (float[1,{c_in},{size},{size}] x) => (y) {{ y = {call} }}", **weights)
        cost = estimate(only(graph), {}, graph, processor)
        assert cost.latency_us > cost.launch_us > 0
        return cost.latency_us

    shape = {"c_in": c_in, "c_out": c_out, "size": size}
    assert latency_us(**{**shape, grown: shape[grown] + more}) >= latency_us(**shape) * (1 - 1e-9)


def test_transfer_is_affine() -> None:
    link = TARGET.link("gpu", "cpu")
    assert transfer_us(link, 0) == 555
    assert transfer_us(link, 4_000_000) == pytest.approx(555 + 215, rel=0.01)  # CoDL Fig. 14: 0.215 ms per 1e6 floats
