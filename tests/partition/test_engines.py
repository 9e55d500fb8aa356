"""The two exact engines agree, their bounds hold when cut short, and windows never make a schedule worse."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from partition_problems import optimum, problems

from hetpart.partition import Mode, Problem, Task, Tensor, check_placement, windows
from hetpart.partition.bounds import heads, lower_bound, tails
from hetpart.partition.budget import Budget
from hetpart.partition.cp_sat import solve_by_cp_sat
from hetpart.partition.dag import Proof
from hetpart.partition.instance import Instance
from hetpart.partition.labels import is_narrow, solve_by_labels
from hetpart.partition.list_schedule import heft, peft
from hetpart.partition.segments import split, without_implied_edges

NO_CUTOFF = 10**6


@given(problems(largest=9))
@settings(max_examples=80, deadline=None)
def test_labels_and_cp_sat_agree(problem: Problem) -> None:
    instance = Instance.of(problem)
    start = heft(instance.dag)
    by_labels = solve_by_labels(instance.dag, start, NO_CUTOFF, 10_000, Budget(30.0))
    by_cp_sat = solve_by_cp_sat(instance.dag, Proof(start, 0), NO_CUTOFF, 30.0, Budget(30.0))
    assert by_labels.schedule.makespan == by_labels.lower_bound == by_cp_sat.lower_bound
    for proof in (by_labels, by_cp_sat):
        check_placement(problem, instance.placement("test", proof.schedule, proof.lower_bound))


@given(problems(largest=6), st.integers(1, 3), st.sampled_from([0.0, 10.0]))
@settings(max_examples=80, deadline=None)
def test_a_narrow_beam_keeps_a_valid_bound(problem: Problem, width: int, budget: float) -> None:
    instance = Instance.of(problem)
    proof = solve_by_labels(instance.dag, peft(instance.dag), NO_CUTOFF, width, Budget(budget))
    assert proof.lower_bound <= optimum(problem) <= proof.schedule.makespan
    check_placement(problem, instance.placement("test", proof.schedule, proof.lower_bound))


@given(problems(largest=6), st.integers(-3, 3))
@settings(max_examples=80, deadline=None)
def test_a_cutoff_stops_the_proof_and_loses_nothing_below(problem: Problem, above: int) -> None:
    instance = Instance.of(problem)
    best = optimum(problem)
    cutoff = max(0, best + above)
    start = heft(instance.dag)
    for proof in (
        solve_by_labels(instance.dag, start, cutoff, 10_000, Budget(30.0)),
        solve_by_cp_sat(instance.dag, Proof(start, 0), cutoff, 30.0, Budget(30.0)),
    ):
        check_placement(problem, instance.placement("test", proof.schedule, 0 if proof.schedule.makespan else best))
        if best < cutoff:
            assert proof.schedule.makespan == proof.lower_bound == best
        else:
            assert min(cutoff, best) <= proof.lower_bound <= best


@given(problems(largest=9), st.sampled_from([0.0, 1e-4, 1e-3]))
@settings(max_examples=80, deadline=None)
def test_cp_sat_keeps_a_valid_bound_when_cut_short(problem: Problem, limit: float) -> None:
    instance = Instance.of(problem)
    start = peft(instance.dag)
    best = solve_by_labels(instance.dag, start, NO_CUTOFF, 10_000, Budget(30.0)).schedule.makespan
    proof = solve_by_cp_sat(instance.dag, Proof(start, 0), NO_CUTOFF, limit, Budget(30.0))
    assert proof.lower_bound <= best <= proof.schedule.makespan
    check_placement(problem, instance.placement("test", proof.schedule, proof.lower_bound))


@pytest.mark.parametrize(("branches", "narrow"), [(2, True), (8, False)])
def test_independent_branches_make_a_graph_wide(branches: int, narrow: bool) -> None:
    ends = [Task(f"{name}{i}", (Mode("cpu", 1),)) for i in range(branches) for name in "ab"]
    tensors = tuple(Tensor(f"x{i}", f"a{i}", (f"b{i}",), 0) for i in range(branches))
    assert is_narrow(Instance.of(Problem(("cpu",), "cpu", tuple(ends), tensors, ())).dag) == narrow


@given(problems(largest=20))
@settings(max_examples=40, deadline=None)
def test_windows_never_make_it_worse(problem: Problem) -> None:
    instance = Instance.of(problem)
    start = heft(instance.dag)
    better = windows.improve(instance.dag, start, Budget(0.2))
    assert better.makespan <= start.makespan
    check_placement(problem, instance.placement("test", better, lower_bound(instance.dag)))


@given(problems(largest=6))
@settings(max_examples=80, deadline=None)
def test_bounds_hold(problem: Problem) -> None:
    dag = Instance.of(problem).dag
    head, tail = heads(dag), tails(dag)
    best = optimum(problem)
    assert lower_bound(dag) <= best
    proof = solve_by_labels(dag, heft(dag), NO_CUTOFF, 10_000, Budget(30.0)).schedule
    for v, option in enumerate(proof.options):
        i = dag.options[v].index(option)
        assert head[v][i] <= proof.starts[v]
        assert proof.finish(v) + tail[v][i] <= proof.makespan


@given(problems(largest=12))
@settings(max_examples=80, deadline=None)
def test_dropped_edges_are_implied(problem: Problem) -> None:
    """Every left-shifted schedule of the smaller graph keeps the precedences of the whole."""
    instance = Instance.of(problem)
    smaller = without_implied_edges(instance.dag)
    assert set(smaller.edges) <= set(instance.dag.edges)
    for schedule in (heft(smaller), peft(smaller)):
        check_placement(problem, instance.placement("test", schedule, 0 if schedule.makespan else schedule.makespan))


@given(problems(largest=12))
@settings(max_examples=40, deadline=None)
def test_segments_partition_the_graph(problem: Problem) -> None:
    dag = Instance.of(problem).dag
    segments = split(dag)
    assert segments[0].first == 0
    assert segments[-1].last == len(dag) - 1
    assert all(a.last == b.first for a, b in pairwise(segments))
    assert sum(len(segment.dag.edges) for segment in segments) == len(dag.edges)
