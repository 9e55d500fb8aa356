"""``hetpart run``: run a bundle on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hetpart.cli.common import BundleArgument, JsonOption, console, open_session, plan_in_words, print_json

InputOption = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", metavar="NAME=FILE.npy", help="Input array, repeatable; the others are random."),
]
SeedOption = Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the random inputs.")]


def run(
    bundle: BundleArgument,
    input_: InputOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.npz", help="Where to save the outputs.")
    ] = None,
    trace: Annotated[Path | None, typer.Option(metavar="FILE.json", help="Save a Chrome trace of the run.")] = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
) -> None:
    """Run BUNDLE once on this machine and say what came out.

    Exit code 0: it ran; 2: bad input, or the bundle does not run here.
    """
    import numpy as np

    from hetpart.cli.inputs import load_or_random
    from hetpart.cli.saving import save_json, save_npz

    with open_session(bundle) as session:
        outputs = session.run(load_or_random(bundle, input_ or [], seed))
        if trace is not None:
            save_json(trace, session.trace())
        plan, reason, words = session.plan_used, session.fallback_reason, plan_in_words(session)
    if output is not None:
        save_npz(output, outputs)
    rows: dict[str, dict[str, Any]] = {}
    for name, array in outputs.items():
        rows[name] = {"shape": list(array.shape), "dtype": str(array.dtype)}
        if array.size:
            with np.errstate(all="ignore"):  # infinite outputs are the model's affair
                mean = float(np.mean(array, dtype=np.float64))
            rows[name] |= {"min": float(np.min(array)), "max": float(np.max(array)), "mean": mean}
    if json:
        saved = str(output) if output else None
        print_json({"schema": 1, "plan": plan, "fallback_reason": reason, "outputs": rows, "saved": saved})
        return
    out = console()
    out.print(f"plan: {words}", markup=False)
    for name, row in rows.items():
        spread = f"  min {row['min']:.4g}  max {row['max']:.4g}  mean {row['mean']:.4g}" if "min" in row else ""
        out.print(f"{name}: {row['dtype']}{row['shape']}{spread}", markup=False)
    for path in (output, trace):
        if path is not None:
            out.print(f"wrote {path}", markup=False)
