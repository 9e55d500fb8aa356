"""``hetpart tune``: measure how the convolutions of a model are computed fastest on this machine."""

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


def tune(
    model: ModelArgument,
    target: TargetOption = "host",
    shape: ShapeOption = None,
    dim: DimOption = None,
    again: Annotated[bool, typer.Option("--again", help="Measure known shapes once more.")] = False,
    json: JsonOption = False,
) -> None:
    """Measure how the convolutions of MODEL are computed fastest here; later compilations use what was found.

    Exit code 0: done; 2: bad input, or the target's CPU is not this machine's.
    """
    from dataclasses import asdict

    from hetpart.compiler import Options
    from hetpart.report.quantities import duration
    from hetpart.tune import Shape
    from hetpart.tune import tune as tune_model

    out = console()

    def progress(done: int, total: int, found: Shape) -> None:
        if not json:
            out.print(
                f"{done}/{total}  {found.shape}: {duration(found.time_us)}, "
                f"{found.estimated_us / found.time_us:.2f} x the estimated choice",
                markup=False,
                highlight=False,
            )

    options = Options(strategy="cpu", shapes=parse_shapes(shape), dims=parse_dims(dim))
    shapes, path = tune_model(model, target, options, again=again, progress=progress)
    if json:
        print_json({"schema": 1, "table": str(path), "shapes": [asdict(found) for found in shapes]})
    elif shapes:
        out.print(f"wrote {len(shapes)} choices to {path}", markup=False, highlight=False)
    else:
        out.print("nothing to tune: every convolution's shape is in the table", markup=False)
