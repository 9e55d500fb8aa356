"""``hetpart check``: what would run where, and why not, without compiling."""

from __future__ import annotations

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
    json: JsonOption = False,
) -> int:
    """Say for every operator on which processors it can run and why not on others.

    Exit code 0: every operator is supported on an accelerator; 1: some fall back to the CPU; 2: bad input.
    """
    from hetpart.api import check as check_model
    from hetpart.report.text import render_check

    report = check_model(model, target=target, shapes=parse_shapes(shape), dims=parse_dims(dim))
    if json:
        print_json(report.to_json())
    else:
        console().print(render_check(report))
    return report.exit_code
