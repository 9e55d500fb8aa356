"""In which order the steps of a plan can run, whatever the timing: list order per processor, and waits."""

from __future__ import annotations

from dataclasses import dataclass

from hetpart.errors import InternalError
from hetpart.plan.plan import Plan, Step


@dataclass(frozen=True)
class Turn:
    """A step and its place: the `index`-th of `processor`."""

    processor: str
    index: int
    step: Step


def execution_order(plan: Plan) -> list[Turn]:
    """All steps, each after those that it follows or waits for.

    Raises:
        InternalError: ``plan-deadlock``, at the first step that waits for ever.
    """
    done = dict.fromkeys(plan.processors, 0)
    turns: list[Turn] = []
    progress = True
    while progress:
        progress = False
        for processor, steps in plan.processors.items():
            while done[processor] < len(steps) and all(
                done[wait.processor] >= wait.count for wait in steps[done[processor]].waits
            ):
                turns.append(Turn(processor, done[processor], steps[done[processor]]))
                done[processor] += 1
                progress = True
    for processor, steps in plan.processors.items():
        if done[processor] < len(steps):
            stuck = steps[done[processor]]
            wait = next(wait for wait in stuck.waits if done[wait.processor] < wait.count)
            raise InternalError(
                "plan-deadlock",
                f"deadlock: step {done[processor]} of {processor} waits for {wait.count} steps of {wait.processor},"
                f" which stops after {done[wait.processor]}",
                node=stuck.unit,
            )
    return turns


def happens_before(turns: list[Turn]) -> list[int]:
    """For each turn the set (as a bit mask over `turns`) of those that are over when it starts."""
    place = {(turn.processor, turn.index): i for i, turn in enumerate(turns)}
    before: list[int] = []
    for turn in turns:
        direct = [(wait.processor, wait.count - 1) for wait in turn.step.waits]
        if turn.index:
            direct.append((turn.processor, turn.index - 1))
        mask = 0
        for key in direct:
            mask |= before[place[key]] | 1 << place[key]
        before.append(mask)
    return before
