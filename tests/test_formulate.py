"""Costs -> modes: who pays for a launch."""

import pytest

from examples.zoo import build
from hetpart.compiler import Options, decide
from hetpart.phases import Phases
from hetpart.targets import load_target


@pytest.mark.parametrize(("target", "launches_on_host"), [("sd855", True), ("host", False)])
def test_a_launch_keeps_the_host_busy_unless_the_processor_has_a_core_of_its_own(
    target: str, launches_on_host: bool
) -> None:
    decision = decide(build("squeezenet"), load_target(target), Options(strategy="cpu"), Phases())
    modes = [(task.name, mode) for task in decision.problem.tasks if (mode := task.mode_on("gpu"))]
    assert modes
    for name, mode in modes:
        cost = decision.costs[name]["gpu"]
        assert (mode.launch_us > 0) == launches_on_host
        assert cost.latency_us <= mode.length_us < cost.latency_us + 2
