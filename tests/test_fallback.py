"""What fallbacks cost: by hand on chains, and what must hold on any graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from examples import zoo
from hetpart.compiler import Options, assess, prepare
from hetpart.fallback import NONE, Fallback, Fallbacks, price_fallbacks
from hetpart.graph.units import UnitGraph
from hetpart.phases import Phases
from hetpart.targets import Target, load_target
from tests.unit_graphs import units_of

BUFFERS = load_target("kirin990")


def priced(graph: UnitGraph, target: Target = BUFFERS) -> Fallbacks:
    return price_fallbacks(assess(graph, target, Phases()), target)


def chain(body: str) -> UnitGraph:
    return units_of(f"g (float[1,1000,1000] x) => (y) {{ {body} }}", axis=np.array(1))


def test_in_a_chain_the_price_is_the_two_hand_overs() -> None:
    (found,) = priced(chain("a = Relu(x) b = CumSum(a, axis) y = Sigmoid(b)")).each
    size = 4_000_000
    here = {link.source: link for link in BUFFERS.links}
    there, back = (here[name].fixed_us + size / here[name].gb_per_s / 1e3 for name in ("gpu", "cpu"))
    assert (found.units, found.accelerator) == (("CumSum_1",), "gpu")
    assert (found.transfers, found.transfer_bytes) == (2, 2 * size)
    assert found.transfer_us == pytest.approx(there + back, abs=2)
    assert found.added_us == found.transfer_us
    assert found.idle_us == found.work_us + found.added_us


def test_neighbours_that_fall_back_are_one_group() -> None:
    alone = priced(chain("a = Relu(x) b = CumSum(a, axis) y = Sigmoid(b)")).each[0]
    (both,) = priced(chain("a = Relu(x) b = CumSum(a, axis) c = CumSum(b, axis) y = Sigmoid(c)")).each
    assert both.units == ("CumSum_1", "CumSum_2")
    assert both.added_us == alone.added_us
    assert both.work_us == 2 * alone.work_us
    apart = priced(chain("a = Relu(x) b = CumSum(a, axis) c = Sigmoid(b) d = CumSum(c, axis) y = Sigmoid(d)"))
    assert [each.units for each in apart.each] == [("CumSum_1",), ("CumSum_3",)]
    assert apart.greedy_us - apart.without_us == sum(each.added_us for each in apart.each)


def test_at_the_rim_of_a_model_leaving_costs_nothing() -> None:
    (found,) = priced(chain("a = Relu(x) y = CumSum(a, axis)")).each
    assert (found.transfers, found.transfer_bytes, found.added_us) == (0, 0, 0)


def test_work_beside_the_accelerator_s_saves_time() -> None:
    body = "a = Relu(x) b = CumSum(a, axis) " + " ".join(f"c{i + 1} = Softmax(c{i})" for i in range(40))
    (found,) = priced(chain(body.replace("c0", "a") + " y = Add(b, c40)")).each
    assert -found.work_us <= found.added_us < 0


def test_without_an_accelerator_or_figures_there_is_no_price() -> None:
    graph = chain("y = CumSum(x, axis)")
    assert priced(graph) == NONE
    fallback = chain("a = Relu(x) b = CumSum(a, axis) y = Sigmoid(b)")
    uncosted = tuple(replace(p, cost=None) if p.kind == "opencl" else p for p in BUFFERS.processors)
    assert priced(fallback, replace(BUFFERS, processors=uncosted)) == NONE
    assert priced(units_of("g (float[1,3] x) => (y) { a = Relu(x) y = LpNormalization(a) }")) == NONE


@pytest.mark.parametrize("network", ["bert_tiny"])
@pytest.mark.parametrize("target", ["sd855", "host"])
def test_every_unit_on_the_host_is_in_one_fallback(network: str, target: str) -> None:
    units, _ = prepare(zoo.build(network), Options(), Phases())
    found = priced(units, load_target(target))
    names = [unit for each in found.each for unit in each.units]
    assert len(names) == len(set(names)) > 0
    assert all(isinstance(each, Fallback) and each.idle_us == each.work_us + each.added_us for each in found.each)


def test_split_of_channels_costs_shufflenet_more_than_its_work() -> None:
    """Without fusion, that is; with it the splits are part of channel moves, which the GPU can do."""
    found = priced(prepare(zoo.build("shufflenetv2"), Options(level="O0"), Phases())[0], load_target("sd855"))
    assert len(found.each) == 13
    assert found.greedy_us - found.without_us > 2 * sum(each.work_us for each in found.each)
    fused = priced(prepare(zoo.build("shufflenetv2"), Options(), Phases())[0], load_target("sd855"))
    assert fused.each == ()
    assert fused.greedy_us < found.without_us
