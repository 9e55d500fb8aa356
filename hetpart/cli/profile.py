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
    from_trace: Annotated[
        list[Path] | None,
        typer.Option(metavar="TRACE", help="Take times from a trace that a device recorded; may be repeated."),
    ] = None,
    runs: Annotated[int, typer.Option(metavar="N", min=1, help="Recorded runs of each plan.")] = 30,
    time_limit: Annotated[float, typer.Option(metavar="SECONDS", min=0.0, help="Begin no round after so long.")] = 30.0,
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

    Exit code 0: the profile was written; 2: bad input, or the target is not this machine; nothing was written.
    """
    from hetpart.cli.progress import TerminalDisplay
    from hetpart.compiler import Options
    from hetpart.errors import HetpartError
    from hetpart.phases import Phases
    from hetpart.profile import write_profile
    from hetpart.profiler import profile as profile_model
    from hetpart.profiler import profile_of_traces
    from hetpart.report.profile import print_profile

    path = output or Path(f"{model.stem}-{Path(target).stem}.profile.json")
    if not path.parent.is_dir():
        raise HetpartError("cannot-write", f"there is no folder {path.parent}")
    options = Options(
        level=f"O{level}", passes=",".join(passes or ()), shapes=parse_shapes(shape), dims=parse_dims(dim)
    )  # fmt: skip
    with TerminalDisplay() as display:
        phases = Phases(display)
        if from_trace:
            found = profile_of_traces(model, target, from_trace, options, phases)
        else:
            found = profile_model(
                model, target, options, runs=runs, time_limit_s=time_limit, phases=phases, progress=phases.advance
            )
    write_profile(found, path)
    if json:
        print_json({**found.to_json(), "output": str(path)})
        return
    out = console()
    print_profile(found, out)
    out.print(f"wrote {path}", markup=False)
