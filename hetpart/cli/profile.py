"""``hetpart profile``: measure what every unit of a model takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hetpart.cli.common import (
    DimOption,
    JsonOption,
    ModelArgument,
    ShapeOption,
    TargetOption,
    console,
    parse_dims,
    parse_shapes,
    print_json,
)


def profile(
    model: ModelArgument,
    target: TargetOption = "host",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Default: MODEL's and TARGET's names + .profile.json."),
    ] = None,
    emit_profiler: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Measure nothing: write a profiler for the target, to be run on a phone."),
    ] = None,
    from_trace: Annotated[
        Path | None, typer.Option(metavar="TRACES", help="Make the profile of what that profiler wrote on the phone.")
    ] = None,
    runs: Annotated[int, typer.Option(metavar="N", min=1, help="Recorded runs of each plan.")] = 30,
    time_limit: Annotated[int, typer.Option(metavar="SECONDS", min=0, help="Begin no round after so long.")] = 30,
    shape: ShapeOption = None,
    dim: DimOption = None,
    level: Annotated[str, typer.Option("-O", metavar="0|1", help="Optimisation level.")] = "1",
    passes: Annotated[
        list[str] | None,
        typer.Option("--pass", metavar="NAME{OPTION=VALUE}", help="Further pass, in order; may be repeated."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Measure every unit of MODEL on every processor, for compile --profile.

    Exit code 0: the profile (or the profiler) was written; 2: bad input, or the target is not this machine; nothing was
    written.
    """
    from hetpart.cli.progress import TerminalDisplay
    from hetpart.compiler import Options
    from hetpart.errors import HetpartError
    from hetpart.phases import Phases
    from hetpart.profile import write_profile
    from hetpart.profiler import emit_profiler as emit
    from hetpart.profiler import profile as profile_model
    from hetpart.profiler import profile_of_traces
    from hetpart.report.profile import print_profile, print_shares

    options = Options(
        level=f"O{level}", passes=",".join(passes or ()), shapes=parse_shapes(shape), dims=parse_dims(dim)
    )  # fmt: skip
    out = console()
    if emit_profiler is not None:
        if from_trace is not None or output is not None:
            raise HetpartError("bad-option", "--emit-profiler writes a folder and no profile: give no other output")
        with TerminalDisplay() as display:
            emit(model, target, emit_profiler, options, Phases(display))
        if json:
            print_json({"profiler": str(emit_profiler)})
        else:
            out.print(
                f"wrote {emit_profiler}; next: sh {emit_profiler}/profile.sh traces.json", markup=False, soft_wrap=True
            )
        return
    path = output or Path(f"{model.stem}-{Path(target).stem}.profile.json")
    if not path.parent.is_dir():
        raise HetpartError("cannot-write", f"there is no folder {path.parent}")
    with TerminalDisplay() as display:
        phases = Phases(display)
        if from_trace is not None:
            found = profile_of_traces(model, target, from_trace, options, phases)
        else:
            found = profile_model(
                model, target, options, runs=runs, time_limit_s=time_limit, phases=phases, progress=phases.advance
            )
    write_profile(found.profile, path)
    if json:
        further = {
            "shares": [share.to_json() for share in found.shares],
            "checks": [check.to_json() for check in found.checks],
        }
        print_json({**found.profile.to_json(), **further, "output": str(path)})
        return
    print_profile(found.profile, out)
    for check in found.checks:
        times = f"predicted {check.predicted_us / 1e3:.3f} ms, measured {check.measured_us / 1e3:.3f} ms"
        out.print(f"  plan {check.plan}: {times}, ratio {check.ratio:.2f}", markup=False)
    print_shares(found.shares, out)
    out.print(f"wrote {path}", markup=False)
