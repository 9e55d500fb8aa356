"""``hetpart check``: what would run where, and why not, without compiling."""

from __future__ import annotations

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


def check(
    model: ModelArgument,
    target: TargetOption = "host",
    shape: ShapeOption = None,
    dim: DimOption = None,
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", metavar="NAME[,NAME]", help="What another engine would let fall back, instead."),
    ] = None,
    json: JsonOption = False,
) -> int:
    """Say for every operator on which processors it can run and why not on others.

    With --profile, say so for other engines, as far as their support is published.

    Exit code 0: every operator is supported on an accelerator; 1: some fall back to the CPU; 2: bad input.
    """
    from hetpart.api import check as check_model
    from hetpart.api import check_profiles
    from hetpart.report.profiles_text import render_profiles
    from hetpart.report.text import render_check

    if profile:
        names = [name for text in profile for name in text.split(",")]
        compared = check_profiles(model, names, target, shapes=parse_shapes(shape), dims=parse_dims(dim))
        if json:
            print_json(compared.to_json())
        else:
            console().print(render_profiles(compared))
        return compared.exit_code
    report = check_model(model, target=target, shapes=parse_shapes(shape), dims=parse_dims(dim))
    if json:
        print_json(report.to_json())
    else:
        console().print(render_check(report))
    return report.exit_code
