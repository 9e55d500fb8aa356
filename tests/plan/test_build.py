"""The planner: order, waits, transfers and addresses, for arbitrary placements; no code is generated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetpart.graph.assign import Assignment, assign
from hetpart.graph.layout import Plain
from hetpart.kernels.select import select
from hetpart.plan.build import build_plan
from hetpart.plan.check import check_plan
from hetpart.plan.invocation import Argument, Constant, Invocation, Scratch, Value
from hetpart.plan.placed import Placed
from hetpart.plan.plan import Plan, Step
from hetpart.plan.weights import Weights
from tests.unit_graphs import units_of

KINDS = {"cpu": "cpu", "gpu": "opencl"}

INCEPTION = """g (float[1, 8, 12, 12] x) => (float[1, 24, 12, 12] y, float[1, 10] z) {
    a = Conv (x, wa)
    b = Conv <pads = [1, 1, 1, 1]> (a, wb)
    c = Conv (x, wa)
    d = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)
    abc = Concat <axis = 1> (b, c, d)
    e = Conv <pads = [1, 1, 1, 1]> (abc, we)
    f = Relu (e)
    y = Add (f, abc)
    p = GlobalAveragePool (f)
    q = Reshape (p, shape)
    z = Gemm (q, wz)
}"""


def inception() -> Assignment:
    shape = np.array([1, 24], np.int64)
    graph = units_of(INCEPTION, wa=(8, 8, 1, 1), wb=(8, 8, 3, 3), we=(24, 24, 3, 3), shape=shape, wz=(24, 10))
    return assign(graph, 4)


def calls(assignment: Assignment) -> dict[str, list[Invocation]]:
    """What a code generator would hand to the planner, with the constants as they are."""
    found = {}
    for unit in assignment.graph:
        invocations = []
        for call in select(unit, assignment):
            args: list[Argument] = [Value(s) if isinstance(s, str) else Constant("c", s) for s in call.sources]
            args += [Constant(role, data) for role, data in call.constants.items()]
            args += [Value(v) for v in call.outputs]
            writes = tuple(range(len(args) - len(call.outputs), len(args)))
            size = (1, 1, 1)
            invocations.append(
                Invocation(f"k_{call.spec.signature}", tuple(args), writes, global_size=size, local_size=size)
            )
        if invocations:
            found[unit.name] = invocations
    return found


def planned(
    assignment: Assignment,
    on_gpu: set[str],
    invocations: dict[str, list[Invocation]] | None = None,
    observe: tuple[str, ...] = (),
) -> Plan:
    """A plan with the units in topological order, those named on the GPU."""
    invocations = invocations or calls(assignment)
    order = [unit.name for unit in assignment.graph if unit.name in invocations]
    placed = Placed(
        {name: "gpu" if name in on_gpu else "cpu" for name in order},
        {name: 10 * index for index, name in enumerate(order)},
        dict.fromkeys(order, 10),
        10 * len(order),
    )
    return build_plan(assignment, placed, invocations, KINDS, "cpu", Weights(), observe)


def step_of(plan: Plan, unit: str) -> Step:
    return next(step for steps in plan.processors.values() for step in steps if step.unit == unit)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**12 - 1))
def test_any_placement_gives_a_valid_plan(mask: int) -> None:
    assignment = inception()
    names = list(calls(assignment))
    check_plan(planned(assignment, {name for index, name in enumerate(names) if mask >> index & 1}))


def test_one_processor_needs_no_waits() -> None:
    plan = planned(inception(), set())
    assert not plan.processors["gpu"]
    assert not any(step.waits or step.transfers for step in plan.processors["cpu"])
    assert all(step.kernel for step in plan.processors["cpu"])


def test_a_reader_on_another_processor_waits_and_brings_the_data_over_once() -> None:
    assignment = inception()
    maker = assignment.graph.producer["f"]
    plan = planned(assignment, {maker})
    reader = step_of(plan, assignment.graph.producer["y"])
    (wait,) = reader.waits
    assert (wait.processor, wait.count) == ("gpu", 1)
    moved = [plan.buffers[t.buffer].name for step in plan.processors["cpu"] for t in step.transfers]
    assert moved == ["f"]  # the pooling reads it as well and need not fetch it again


def test_every_piece_of_a_concat_crosses_on_its_own() -> None:
    assignment = inception()
    makers = {assignment.graph.producer[v] for v in ("b", "d")}
    plan = planned(assignment, makers)
    fetched = [t for step in plan.processors["cpu"] for t in step.transfers]
    assert {plan.buffers[t.buffer].name for t in fetched} >= {"b", "d"}
    assert "c" not in {plan.buffers[t.buffer].name for t in fetched}


def test_outputs_made_elsewhere_are_fetched_by_a_closing_step() -> None:
    assignment = inception()
    names = set(calls(assignment))
    plan = planned(assignment, names)
    (closing,) = plan.processors["cpu"]
    assert closing.kernel == ""
    assert {plan.buffers[t.buffer].name for t in closing.transfers} == set(assignment.ports.values())


def test_inputs_and_outputs_keep_their_bytes() -> None:
    plan = planned(inception(), set())
    ports = {port.buffer for port in (*plan.inputs, *plan.outputs)}
    for index in ports:
        a = plan.buffers[index]
        for other, b in enumerate(plan.buffers):
            if other != index and b.space == "arena":
                assert a.offset + a.size <= b.offset or b.offset + b.size <= a.offset


def test_the_arena_is_smaller_than_the_sum_of_its_buffers() -> None:
    plan = planned(inception(), set())
    total = sum(b.size for b in plan.buffers if b.space == "arena" and not b.root)
    assert plan.arena_bytes < total


def test_equal_constants_are_stored_once() -> None:
    weights = Weights()
    first = weights.add(np.ones(10, np.float32))
    assert weights.add(np.ones(10, np.float32)) == first
    assert weights.add(np.zeros(10, np.float32)) == 128
    assert weights.size_bytes == 256


def test_scratch_is_per_unit() -> None:
    assignment = inception()
    invocations = calls(assignment)
    a, b = list(invocations)[:2]
    for unit in (a, b):
        (call,) = invocations[unit]
        args = (*call.args, Scratch("s", Plain((64,))))
        invocations[unit] = [replace(call, args=args, writes=(*call.writes, len(call.args)))]
    plan = planned(assignment, set(), invocations)
    check_plan(plan)
    assert {buffer.name for buffer in plan.buffers} >= {f"{a}:s", f"{b}:s"}


@pytest.mark.parametrize("observed", ["b", "f", "abc"])
def test_observed_values_become_outputs(observed: str) -> None:
    assignment = inception()
    plan = planned(assignment, set(calls(assignment)), observe=(observed,))
    check_plan(plan)
    port = plan.outputs[-1]
    assert port.name == f"{observed}:stored"
    assert port.shape == assignment.layouts[observed].physical_shape
