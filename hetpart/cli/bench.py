"""``hetpart bench``: measure a bundle on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from hetpart.cli.common import BundleArgument, JsonOption, console, print_json
from hetpart.cli.run import SeedOption


def bench(
    bundle: BundleArgument,
    runs: Annotated[int, typer.Option(min=1, help="Measured runs.")] = 30,
    warmup: Annotated[int, typer.Option(min=0, help="Runs before, not measured.")] = 5,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Measure the latency of BUNDLE on this machine, beside what was predicted.

    Exit code 0: measured; 2: bad input, or the bundle does not run here.
    """
    import statistics
    import time

    from hetpart.cli.inputs import load_or_random
    from hetpart.report.trace import busy_us
    from hetpart.runtime.session import Session

    inputs = load_or_random(bundle, [], seed)
    with Session(bundle) as session:
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
        predicted_us = session.manifest.predicted_us
    latencies.sort()
    latency = {
        "median": statistics.median(latencies),
        "p10": latencies[int(0.1 * (runs - 1))],
        "p90": latencies[int(0.9 * (runs - 1))],
    }
    processors = {name: {"busy_us": statistics.median(values)} for name, values in busy.items()}
    if json:
        print_json(
            {"schema": 1, "latency_us": latency, "predicted_us": predicted_us, "processors": processors, "runs": runs}
        )
        return
    out = console()
    out.print(f"measured on this machine, {runs} runs after {warmup} for warming up")
    out.print(
        f"latency: median [bold]{latency['median'] / 1e3:.2f} ms[/], "
        f"p10 {latency['p10'] / 1e3:.2f}, p90 {latency['p90'] / 1e3:.2f}; predicted {predicted_us / 1e3:.2f} ms"
    )
    for name, row in processors.items():
        share = row["busy_us"] / latency["median"]
        out.print(f"  {name}: busy {row['busy_us'] / 1e3:.2f} ms ({share:.0%})")
