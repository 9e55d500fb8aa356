"""Replays a plan on the clock: each processor's steps in order, waits as they are, predicted times.

With a slowdown per processor it shows what happens to the schedule when other programs compete for it, and with
jitter how well it stands uneven times.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hetpart.errors import HetpartError
from hetpart.plan.order import execution_order
from hetpart.plan.plan import Plan, Step


@dataclass(frozen=True)
class SimulatedRun:
    """What happened.

    Attributes:
        makespan_us: when the last step finished.
        busy_us: per processor, the time in transfers and kernels.
        start_us: per processor, when each step had waited enough; in the order of its steps.
        finish_us: likewise, when it was done.
    """

    makespan_us: float
    busy_us: dict[str, float]
    start_us: dict[str, tuple[float, ...]]
    finish_us: dict[str, tuple[float, ...]]


def simulate(
    plan: Plan,
    *,
    slowdown: Mapping[str, float] | None = None,
    jitter: float = 0.0,
    seed: int = 0,
    transfer_us: Callable[[str, str, int], float] | None = None,
) -> SimulatedRun:
    """One run of `plan`.

    Args:
        plan: a plan without deadlock.
        slowdown: processor -> factor on the time of its steps; 1 for those not named.
        jitter: every step takes a random factor between 1 and ``1 + jitter`` longer.
        seed: of the jitter; same seed, same run.
        transfer_us: (source, target, bytes) -> time that a transfer takes from the target's processor before the
            kernel. Without it transfers take no time, as if `Step.predicted_us` held them.

    Raises:
        HetpartError: ``unknown-processor`` or ``bad-slowdown`` or ``bad-jitter``.
        InternalError: ``plan-deadlock``.
    """
    factors = dict.fromkeys(plan.processors, 1.0) | dict(slowdown or {})
    for processor, factor in factors.items():
        if processor not in plan.processors:
            have = ", ".join(plan.processors)
            raise HetpartError("unknown-processor", f"the plan has no processor {processor}", hint=f"it has {have}")
        if not factor > 0:
            raise HetpartError("bad-slowdown", f"a slowdown is a positive factor, not {factor}", node=processor)
    if not jitter >= 0:
        raise HetpartError("bad-jitter", f"jitter is a share of a step's time, not {jitter}")
    chance = random.Random(seed)
    starts: dict[str, list[float]] = {processor: [] for processor in plan.processors}
    finishes: dict[str, list[float]] = {processor: [] for processor in plan.processors}
    for turn in execution_order(plan):
        own = finishes[turn.processor]
        over = [finishes[wait.processor][wait.count - 1] for wait in turn.step.waits]
        start = max([0.0, *own[-1:], *over])
        work = turn.step.predicted_us * factors[turn.processor] * (1 + jitter * chance.random())
        starts[turn.processor].append(start)
        own.append(start + _crossing_us(plan, turn.processor, turn.step, transfer_us) + work)
    return SimulatedRun(
        makespan_us=max((times[-1] for times in finishes.values() if times), default=0.0),
        busy_us={p: sum(f - s for s, f in zip(starts[p], finishes[p], strict=True)) for p in plan.processors},
        start_us={processor: tuple(times) for processor, times in starts.items()},
        finish_us={processor: tuple(times) for processor, times in finishes.items()},
    )


def _crossing_us(plan: Plan, processor: str, step: Step, transfer_us: Callable[[str, str, int], float] | None) -> float:
    if transfer_us is None:
        return 0.0
    return sum(transfer_us(t.source, processor, plan.buffers[t.buffer].size) for t in step.transfers)
