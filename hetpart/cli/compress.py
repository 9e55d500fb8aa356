"""``hetpart compress``: model -> smaller model, as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hetpart.cli.accuracy import CalibrationOption, EvalOption, MaxDropOption, SeedOption
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
from hetpart.errors import HetpartError


def compress(
    model: ModelArgument,
    target: TargetOption = "host",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT.onnx", help="Model to write; without it, only report.")
    ] = None,
    passes: Annotated[
        list[str] | None,
        typer.Option("--pass", metavar="NAME{OPTION=VALUE}", help="What to do, in order; may be repeated."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say all: every group of channels, what ties it, why it stays.")
    ] = False,
    calibration: CalibrationOption = None,
    evaluate: EvalOption = "",
    max_drop: MaxDropOption = None,
    seed: SeedOption = 0,
    shape: ShapeOption = None,
    dim: DimOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    json: JsonOption = False,
) -> int:
    """Make MODEL smaller with passes that cost accuracy, and say how much of what: parameters, time, accuracy.

    Exit code 0: the model was compressed, and with -o written; 1: there is nothing to do, or it costs more than
    --max-drop allows, and nothing was written; 2: bad input.
    """
    if overwrite and output is None:
        raise HetpartError("usage", "--overwrite goes with -o", hint="add -o OUT.onnx")
    from hetpart.compression import AccuracyOptions
    from hetpart.compression.compress import compress as compress_model
    from hetpart.targets import load_target

    options = AccuracyOptions(calibration, evaluate, max_drop, seed)
    report = compress_model(
        model, load_target(target), ",".join(passes or ()), options, output=output, overwrite=overwrite,
        shapes=parse_shapes(shape), dims=parse_dims(dim),
    )  # fmt: skip
    if json:
        print_json(report.to_json())
    else:
        from hetpart.report.compress_text import render_compression

        out = console()
        out.print(render_compression(report, explain=explain))
        if output is not None and report.refused:
            out.print("nothing was written")
        elif output is None and not report.refused:
            out.print("to write the model: -o OUT.onnx")
    return int(bool(report.refused))
