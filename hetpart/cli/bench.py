"""``hetpart bench``: measure a bundle on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from hetpart.cli.common import BundleArgument, JsonOption, console, open_session, plan_in_words, print_json
from hetpart.cli.run import SeedOption


def bench(
    bundle: BundleArgument,
    runs: Annotated[int, typer.Option(metavar="N", min=1, help="Measured runs.")] = 30,
    warmup: Annotated[int, typer.Option(metavar="N", min=0, help="Runs before, not measured.")] = 5,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Measure the latency of BUNDLE on this machine, beside what was predicted.

    Exit code 0: measured; 2: bad input, or the bundle does not run here.
    """
    import statistics
    import time

    from hetpart.cli.inputs import load_or_random
    from hetpart.report.quantities import duration
    from hetpart.report.trace import busy_us

    inputs = load_or_random(bundle, [], seed)
    with open_session(bundle) as session:
        for _ in range(warmup):
            session.run(inputs)
        latencies = []
        busy: dict[str, list[float]] = {}
        for _ in range(runs):
            start = time.perf_counter()
            session.run(inputs)
            latencies.append(1e6 * (time.perf_counter() - start))
            for name, value in busy_us(session.trace()).items():
                busy.setdefault(name, []).append(value)
        plan, reason, words = session.plan_used, session.fallback_reason, plan_in_words(session)
        predicted_us = session.manifest.plans[plan].predicted_us
        measured = session.manifest.decision.get("measured") or {"units": 0, "here": 0}
    latencies.sort()
    latency = {
        "median": statistics.median(latencies),
        "p10": latencies[int(0.1 * (runs - 1))],
        "p90": latencies[int(0.9 * (runs - 1))],
    }
    processors = {name: {"busy_us": statistics.median(values)} for name, values in busy.items()}
    if json:
        values = {"plan": plan, "fallback_reason": reason, "runs": runs, "latency_us": latency}
        print_json(
            {
                "schema": 1,
                **values,
                "predicted_us": predicted_us,
                "measured_units": measured["here"],
                "units": measured["units"],
                "processors": processors,
            }
        )
        return
    out = console()
    out.print(f"plan {words}, measured on this machine: {runs} runs after {warmup} for warming up", markup=False)
    out.print(
        f"latency: median [bold]{duration(latency['median'])}[/], p10 {duration(latency['p10'])}, "
        f"p90 {duration(latency['p90'])}; predicted {duration(predicted_us)}"
        + (f" ({measured['here']} of {measured['units']} units from a profile)" if measured["here"] else "")
    )
    for name, row in processors.items():
        share = row["busy_us"] / latency["median"]
        out.print(f"  {name}: busy {duration(row['busy_us'])} ({share:.0%})", markup=False)
