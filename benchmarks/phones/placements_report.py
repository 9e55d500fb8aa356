"""Writes docs/placements.md: ``python -m benchmarks.phones.placements_report``; its plans take minutes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.phones.networks import NETWORKS
from benchmarks.phones.placements import NETWORK, Case, Placement, cases, foretell, read_placements
from hetpart.compiler import Options, decide
from hetpart.phases import Phases
from hetpart.targets import load_target

PAGE = Path(__file__).parents[2] / "docs" / "placements.md"
TARGET = "sd865"
LIMIT = 2.0
"""Of the solver, in units of about 0.75 s: a quarter of what `hetpart compile` allows itself."""

TEXT = """# Placements that lose

Written by `make placements-report` from `benchmarks/phones/data/placements_sd865.csv`: how long quantised models took
on a phone of the Snapdragon 865's class, by the number of layers that ran on NPU, GPU and CPU (Qualcomm's
ai-hub-models, all releases from May 2024 to January 2026). It shows what hetpart's model makes of them. Measured are
the columns that say so, all others are estimates.

How it is counted: a model, or a part of one that runs by itself, counts if the table has a run of it on several
processors and one on a single processor, in whatever precision and engine. There are {cases} of these (one more if the
two parts of sam2, of which one was never mixed, are taken as one). Each counts once, with its fastest mixed run against
its fastest single one: {lost} lose. With the mixed run that most reports give instead, {usual_lost} lose.

hetpart can build {built} of the {cases}. The others are not built because their layers are not stated well enough to
write them down. Their mixed runs are emulated as `benchmarks/phones/placements.py` says: the table counts layers but
does not say which, so that many layers in random order, each processor at the speed that it would have on the whole
model, and the links of `targets/{target}.toml` between them. The single processor is the best of those that the table
shows running the whole model.

| of the {built} models | lost, measured | the model says so | won, measured | the model says so |
|---|---|---|---|---|
| fastest mixed run | {fast_losing} | {fast_said} ({fast_share:.0%}) | {fast_winning} | {fast_won} |
| most reported mixed run | {usual_losing} | {usual_said} ({usual_share:.0%}) | {usual_winning} | {usual_won} |
| all {runs} mixed runs | {all_losing} | {all_said} ({all_share:.0%}) | {all_winning} | {all_won} |

The fastest mixed run of each model: layers by processor, and milliseconds.

| model | on NPU, GPU, CPU | mixed, measured | best single, measured | mixed, model | best single, model | agree |
|---|---|---:|---:|---:|---:|---|
{rows}

All mixed runs on which the model is wrong:

| model | on NPU, GPU, CPU | reports | mixed, measured | best single, measured | mixed, model | best single, model |
|---|---|---:|---:|---:|---:|---:|
{misses}

Why it is wrong there: yolov8_det takes the NPU three times as long as the law has it, which rests on ten networks and
on no detector. sesr_m5 and posenet_mobilenet were converted otherwise for the NPU alone than for the mix (29 layers and
14, 75 and 42), so that the two runs are not of the same layers. The model's errors for whole networks are those of
[cost-model.md](cost-model.md): signs that rest on less than a fifth of the time are luck.
Layers that follow one another gain nothing from a second processor unless it is the faster one for them, and each
switch costs: the model says so of nearly every mix, and to say so of all would have scored as well here. What it adds
are the sizes.

## What hetpart does

The same networks in float32, compiled for `{target}` as `hetpart compile` does: predicted milliseconds of its plan and
of the better single processor, on a day with usual transfers and on one with slow ones. It plans for CPU and GPU; no
plan may be longer than the single processor on either day.

| model | units on CPU, GPU | plan | slow day | best single | slow day |
|---|---|---:|---:|---:|---:|
{plans}
"""


@dataclass(frozen=True)
class Plan:
    """What hetpart would do: units by processor, microseconds on a usual and on a bad day."""

    units: tuple[int, int]
    median_us: int
    p95_us: int
    single_median_us: int
    single_p95_us: int


def plan(model: str) -> Plan:
    options = Options(limit=LIMIT)
    decision = decide(NETWORKS[NETWORK[model]](), load_target(TARGET), options, Phases())
    used = [mode.processor for mode in decision.placement.modes.values() if mode.length_us]
    own, beside = decision.forecasts.plan, decision.forecasts.baselines
    single = min((beside[name] for name in ("cpu", "gpu") if name in beside), key=lambda forecast: forecast.median_us)
    return Plan((used.count("cpu"), used.count("gpu")), own.median_us, own.p95_us, single.median_us, single.p95_us)


def built() -> list[Case]:
    return [case for case in cases(read_placements()) if case.model in NETWORK]


def tally(runs: Sequence[tuple[Case, Placement]]) -> dict[str, int]:
    """Runs that lost and won, and of how many the model says so."""
    signs = [(case.loses(run), foretell(case, run).loses) for case, run in runs]
    return {
        "losing": sum(measured for measured, _ in signs), "said": signs.count((True, True)),
        "winning": sum(not measured for measured, _ in signs), "won": signs.count((False, False)),
    }  # fmt: skip


def page(planned: Callable[[str], Plan] = plan) -> str:
    """The page; `planned` finds hetpart's plan of a model."""
    everything, ours = cases(read_placements()), built()
    runs = [(case, run) for case in ours for run in sorted(case.mixed, key=lambda run: run.latency_ms)]
    tallies = {
        "fast": tally([(case, case.best_mixed) for case in ours]),
        "usual": tally([(case, case.usual_mixed) for case in ours]),
        "all": tally(runs),
    }
    numbers: dict[str, float] = {
        f"{kind}_{name}": n for kind, counted in tallies.items() for name, n in counted.items()
    }
    numbers |= {f"{kind}_share": counted["said"] / counted["losing"] for kind, counted in tallies.items()}
    return TEXT.format(
        target=TARGET, cases=len(everything), lost=sum(case.loses(case.best_mixed) for case in everything),
        usual_lost=sum(case.loses(case.usual_mixed) for case in everything), built=len(ours), runs=len(runs),
        rows="\n".join(_row(case) for case in ours),
        misses="\n".join(_miss(case, run) for case, run in runs if foretell(case, run).loses != case.loses(run)),
        plans="\n".join(_plan_row(case.model, planned(case.model)) for case in ours), **numbers,
    )  # fmt: skip


def _row(case: Case) -> str:
    run = case.best_mixed
    agree = "yes" if foretell(case, run).loses == case.loses(run) else "no"
    return f"| {case.model} | {_layers(run)} | {_times(case, run)} | {agree} |"


def _miss(case: Case, run: Placement) -> str:
    return f"| {case.model} | {_layers(run)} | {run.reports} | {_times(case, run)} |"


def _times(case: Case, run: Placement) -> str:
    said = foretell(case, run)
    return f"{run.latency_ms:.1f} | {case.best_single.latency_ms:.1f} | {said.mixed_ms:.1f} | {said.single_ms:.1f}"


def _layers(run: Placement) -> str:
    return ", ".join(map(str, run.layers))


def _plan_row(model: str, found: Plan) -> str:
    times = (found.median_us, found.p95_us, found.single_median_us, found.single_p95_us)
    return f"| {model} | {found.units[0]}, {found.units[1]} | " + " | ".join(f"{us / 1e3:.1f}" for us in times) + " |"


if __name__ == "__main__":
    PAGE.write_text(page())
