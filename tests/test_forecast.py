"""Plans that stand a bad day: slow transfers, two busy processors, other processes."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache, partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.zoo import build
from hetpart.compiler import Decision, Options, decide
from hetpart.forecast import Circumstances, Forecasts, settle
from hetpart.formulate import with_transfers_at
from hetpart.partition import Link, Mode, Outcome, Problem, Task, Tensor, check_placement, solve_all
from hetpart.partition.ilp import solve
from hetpart.phases import Phases
from hetpart.report.compile import compile_report
from hetpart.targets import Target, load_target
from hetpart.targets.schema import Law

HOST = load_target("host")


def target(contention: float = 1.0, slow_us: float = 20.0) -> Target:
    """The host, with a contention, and links that take `slow_us` at the 95th percentile."""
    processors = tuple(
        replace(p, cost=replace(p.cost, contention=contention)) if p.cost is not None else p for p in HOST.processors
    )
    links = tuple(replace(link, p95=Law(slow_us, link.gb_per_s)) for link in HOST.links)
    return replace(HOST, processors=processors, links=links)


def fork(gain_us: int) -> Problem:
    """Two branches of 1,000 us on the cpu, one of which may run on the gpu: for it, 1,000 - `gain_us` us."""
    tasks = (
        Task("in", (Mode("cpu", 0),)),
        Task("a", (Mode("cpu", 1000),)),
        Task("b", (Mode("cpu", gain_us), Mode("gpu", 500))),
        Task("out", (Mode("cpu", 0),)),
    )
    tensors = (
        Tensor("x", "in", ("a", "b"), 4000),
        Tensor("y", "a", ("out",), 4000),
        Tensor("z", "b", ("out",), 4000),
    )
    return Problem(("cpu", "gpu"), "cpu", tasks, tensors, _links())


def _links() -> tuple[Link, ...]:
    return tuple(Link(k.source, k.target, math.ceil(k.fixed_us), k.gb_per_s * 1e3) for k in HOST.links)


def settled(problem: Problem, where: Target) -> tuple[Outcome, Forecasts]:
    outcome, forecasts = settle(solve_all(problem), Circumstances(problem, where), solve)
    check_placement(problem, outcome.placement)
    return outcome, forecasts


def processors(outcome: Outcome) -> set[str]:
    return {mode.processor for mode in outcome.placement.modes.values() if mode.length_us}


def test_a_plan_that_gains_enough_stands_and_its_forecast_has_the_contention() -> None:
    outcome, forecasts = settled(fork(gain_us=900), target(contention=1.2))
    assert processors(outcome) == {"cpu", "gpu"}
    assert outcome.placement.makespan_us == 1000
    # b computes beside a for 600 us of which a has then done 500; a goes on alone
    assert forecasts.plan.median_us == 1100
    assert forecasts.baselines["cpu"].median_us == 1900
    assert forecasts.refused is None


@pytest.mark.parametrize("where", [target(contention=1.2), target(slow_us=900)], ids=["contention", "slow transfers"])
def test_a_plan_that_one_processor_beats_on_a_bad_day_gives_way(where: Target) -> None:
    outcome, forecasts = settled(fork(gain_us=60), where)
    assert processors(outcome) == {"cpu"}
    assert (outcome.placement.makespan_us, forecasts.plan.median_us) == (1060, 1060)
    assert outcome.placement.strategy == "ilp"
    assert (outcome.placement.status, outcome.placement.lower_bound_us) == ("feasible", 1000)
    assert forecasts.refused is not None
    assert forecasts.refused.p95_us > 1060


def test_without_a_solver_the_plan_stays() -> None:
    problem = fork(gain_us=60)
    outcome, forecasts = settle(solve_all(problem), Circumstances(problem, target(contention=2.0)), None)
    assert processors(outcome) == {"cpu", "gpu"}
    assert forecasts.plan.median_us > forecasts.baselines["cpu"].median_us


@given(st.integers(0, 1200), st.floats(1, 2), st.floats(20, 1500))
@settings(max_examples=60, deadline=None)
def test_no_plan_loses_to_one_processor(gain_us: int, contention: float, slow_us: float) -> None:
    _, forecasts = settled(fork(gain_us), target(contention, slow_us))
    cpu = forecasts.baselines["cpu"]
    assert forecasts.plan.no_longer_than(cpu)
    assert forecasts.plan.p5_us <= forecasts.plan.median_us <= forecasts.plan.p95_us


def test_percentiles_change_the_ways_and_nothing_else() -> None:
    decision = decided("sd855")
    bad = with_transfers_at("p95", decision.problem, decision.target)
    assert bad.tasks == decision.problem.tasks
    assert [link.fixed_us for link in bad.links] == [753, 50]
    assert with_transfers_at("median", decision.problem, decision.target) == decision.problem
    sizes = [way.bytes_per_us for way in (*decision.problem.converters, *bad.converters)]
    assert sizes == [13.9e3, 11.8e3]


@cache
def decided(name: str, **options: object) -> Decision:
    chosen = Options(**options)  # type: ignore[arg-type]  # few names
    return decide(build("inception_v1"), load_target(name), chosen, Phases())


def test_competing_processes_slow_the_cpu_down_and_move_work_to_the_gpu() -> None:
    alone, beside = decided("sd855"), decided("sd855", competing=4)
    task = next(task.name for task in alone.problem.tasks if task.mode_on("gpu"))
    modes = [next(t for t in d.problem.tasks if t.name == task) for d in (alone, beside)]
    cpu = [each.mode_on("cpu") for each in modes]
    assert cpu[0] is not None
    assert cpu[1] is not None
    assert cpu[1].duration_us == pytest.approx(2 * cpu[0].duration_us, abs=2)  # 4 + 4 threads on 4 cores
    gpu = [each.mode_on("gpu") for each in modes]
    assert gpu[0] is not None
    assert gpu[1] is not None
    cost = alone.target.processor("gpu").cost
    assert cost is not None
    assert (gpu[1].duration_us, gpu[0].launch_us) == (gpu[0].duration_us, math.ceil(cost.launch_us))
    assert gpu[1].launch_us == math.ceil(1.25 * gpu[0].launch_us)  # one launching thread and 4 others on 4 cores
    assert beside.forecasts.baselines["cpu"].median_us > 1.9 * alone.forecasts.baselines["cpu"].median_us
    assert "gpu" in {mode.processor for mode in beside.placement.modes.values()}
    assert beside.forecasts.plan.median_us < beside.forecasts.baselines["cpu"].median_us


def test_the_report_names_spread_contention_and_competition() -> None:
    decision = decided("sd855", competing=4)
    report = compile_report(decision, {})
    assert report.competing == 4
    assert report.forecast["p5_us"] <= report.forecast["median_us"] == report.makespan_us <= report.forecast["p95_us"]
    transfers = report.transfers
    assert transfers["count"] == len(decision.placement.transfers) > 0
    assert transfers["p5_us"] < transfers["median_us"] < transfers["p95_us"]
    median = sum(transfer.finish_us - transfer.start_us for transfer in decision.placement.transfers)
    assert transfers["median_us"] == median
    assert report.uncontended_us == decision.placement.makespan_us


def test_other_strategies_are_told_but_not_corrected() -> None:
    problem = fork(gain_us=60)
    where = target(contention=2.0)
    heft = settle(solve_all(problem, "heft"), Circumstances(problem, where), None)
    assert heft[0].placement == solve_all(problem, "heft").placement
    again = settle(solve_all(problem), Circumstances(problem, where), partial(solve, limit=1.0))
    assert processors(again[0]) == {"cpu"}
