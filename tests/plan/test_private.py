"""Private memory: what is copied where, and that every plan with images holds before the checker."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hetpart.codegen.opencl import OpenclModule
from hetpart.errors import InternalError
from hetpart.graph.assign import Assignment, assign
from hetpart.graph.layout import Image
from hetpart.kernels.kernel import Device
from hetpart.kernels.select import select
from hetpart.oracle import why_shared
from hetpart.plan.build import build_plan
from hetpart.plan.check import check_plan
from hetpart.plan.placed import Placed
from hetpart.plan.plan import Plan
from hetpart.plan.private import Borders, find_borders
from hetpart.plan.weights import Weights
from hetpart.targets import load_target
from tests.plan.test_build import KINDS, calls, inception
from tests.unit_graphs import units_of

GPU = load_target("sd855").processor("gpu")
DEVICE = Device(False, 16, (8, 8, 1))

# b reads a, which is in place in ab, and is in place there, too
CONFLICT = """g (float[1, 8, 6, 6] x) => (float[1, 8, 6, 6] y) {
    a = Conv (x, w8)
    b = Conv <pads = [1, 1, 1, 1]> (a, w3)
    ab = Concat <axis = 1> (a, b)
    y = Conv (ab, w16)
}"""


def conflict() -> Assignment:
    return assign(units_of(CONFLICT, w8=(8, 8, 1, 1), w3=(8, 8, 3, 3), w16=(8, 16, 1, 1)), 4)


def planned(assignment: Assignment, on_gpu: set[str], memory: str, storage: str) -> tuple[Plan, Borders]:
    """A plan with the named units on the GPU, in private memory where they can be."""
    order = [unit.name for unit in assignment.graph if unit.name not in assignment.free]
    private = frozenset(n for n in on_gpu if not why_shared(assignment.graph.units[n], assignment, GPU))
    placed = Placed(
        {name: "gpu" if name in on_gpu else "cpu" for name in order},
        {name: 10 * index for index, name in enumerate(order)},
        dict.fromkeys(order, 10),
        10 * len(order),
        private,
    )
    borders = find_borders(assignment, placed, memory, storage)
    module = OpenclModule(DEVICE)
    invocations = calls(assignment)
    for name in private:
        unit = assignment.graph.units[name]
        invocations[name] = [i for call in select(unit, assignment) for i in module.lower(call, borders.layouts)]
    copies = {copy: ([module.copy(copy, assignment, borders.layouts)], 7) for copy in borders.copies}
    plan = build_plan(assignment, placed, invocations, KINDS, "cpu", Weights(), (), borders, copies)
    return replace(plan, weights_bytes=10**9), borders


def steps(plan: Plan) -> list[str]:
    return [step.unit for step in plan.processors.get("gpu", ())]


@pytest.mark.parametrize(("memory", "storage"), [("image", "float32"), ("image", "float16"), ("buffer", "float16")])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_placement_gives_a_correct_plan(memory: str, storage: str, data: st.DataObject) -> None:
    assignment = data.draw(st.sampled_from([inception(), conflict()]))
    movable = [u.name for u in assignment.graph if u.name not in assignment.free and u.kind != "other"]
    on_gpu = data.draw(st.sets(st.sampled_from(movable)))
    plan, borders = planned(assignment, on_gpu, memory, storage)
    check_plan(plan)
    for value, form in borders.layouts.items():
        assert isinstance(form, Image) == (memory == "image"), value
        assert form.dtype == storage


def test_one_copy_serves_all_readers() -> None:
    assignment = inception()
    everything = {u.name for u in assignment.graph if u.name not in assignment.free}
    plan, _ = planned(assignment, everything, "image", "float32")
    names = [name for name in steps(plan) if name.startswith("(")]
    # the model's input is copied by its repack unit; what leaves are the pooled map, for the dense layer, and nothing
    # for y, whose repack unit reads the image
    assert names == ["(p from private memory)"]
    assert plan.images


def test_parts_of_a_concatenation_share_an_image() -> None:
    plan, borders = planned(
        inception(), {"repack:x:blocked", "Conv_0", "Conv_1", "Conv_2", "MaxPool_3", "Conv_5"}, "image", "float32"
    )
    first = {value: form.first for value, form in borders.layouts.items() if isinstance(form, Image)}
    assert (first["b"], first["c"], first["d"]) == (0, 2, 4)
    assert {borders.roots[value] for value in "bcd"} == {"abc"}
    check_plan(plan)


def test_no_kernel_reads_and_writes_one_image() -> None:
    assignment = conflict()
    plan, borders = planned(assignment, {"Conv_0", "Conv_1", "Conv_3"}, "image", "float32")
    check_plan(plan)
    assert (borders.roots["a"], borders.roots["b"]) == ("a", "b")
    assert [name for name in steps(plan) if "into" in name] == ["(a into ab)", "(b into ab)"]


def test_the_checker_refuses_what_the_planner_avoids() -> None:
    plan, _ = planned(conflict(), {"Conv_0", "Conv_1", "Conv_3"}, "image", "float32")
    views = [index for index, buffer in enumerate(plan.buffers) if buffer.space == "image"]
    merged = tuple(replace(b, image=0) if b.space == "image" else b for b in plan.buffers)
    with pytest.raises(InternalError, match="reads and writes image 0"):
        check_plan(replace(plan, buffers=merged, images=(replace(plan.images[0], width=99, height=99),)))
    wide = tuple(replace(b, offset=10**6) if i == views[0] else b for i, b in enumerate(plan.buffers))
    with pytest.raises(InternalError, match="columns 1000000"):
        check_plan(replace(plan, buffers=wide))


def test_a_copy_that_is_missing_is_noticed() -> None:
    plan, _ = planned(inception(), {"Conv_0", "Conv_1"}, "image", "float32")
    gpu = plan.processors["gpu"]
    position = next(i for i, step in enumerate(gpu) if "to private memory" in step.unit)
    without = tuple(step for i, step in enumerate(gpu) if i != position)
    cpu = tuple(
        replace(step, waits=tuple(replace(wait, count=wait.count - 1) for wait in step.waits))
        for step in plan.processors["cpu"]
    )
    with pytest.raises(InternalError, match="nobody has written it"):
        check_plan(replace(plan, processors={"cpu": cpu, "gpu": without}))
