"""``hetpart compile``: model -> bundle."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

if TYPE_CHECKING:
    import onnx_ir as ir

    from hetpart.passes.pipeline import PassRecord


class Verify(StrEnum):
    """How a compilation is checked."""

    OUTPUTS = "outputs"
    SEGMENTS = "segments"
    EMULATE = "emulate"
    NONE = "none"


class Precision(StrEnum):
    """What the CPU computes in."""

    FP32 = "fp32"
    FP16 = "fp16"


def compile_(
    model: ModelArgument,
    target: TargetOption = "host",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="BUNDLE", help="Bundle to write; default: MODEL's name + .hetpart."),
    ] = None,
    strategy: Annotated[str, typer.Option(metavar="NAME", help="How to place: cpu, gpu, heft or ilp.")] = "ilp",
    time_limit: Annotated[
        float, typer.Option(metavar="UNITS", min=0.0, help="Solver limit in deterministic units (about 0.75 s each).")
    ] = 10.0,
    competing: Annotated[
        int, typer.Option(metavar="N", min=0, help="Plan for N busy threads of other processes on the CPU's cores.")
    ] = 0,
    shape: ShapeOption = None,
    dim: DimOption = None,
    level: Annotated[str, typer.Option("-O", metavar="0|1", help="Optimisation level.")] = "1",
    passes: Annotated[
        list[str] | None,
        typer.Option("--pass", metavar="NAME{OPTION=VALUE}", help="Further pass, in order; may be repeated."),
    ] = None,
    calibration: CalibrationOption = None,
    evaluate: EvalOption = "",
    max_drop: MaxDropOption = None,
    seed: SeedOption = 0,
    print_after: Annotated[
        list[str] | None,
        typer.Option(metavar="PASS|all", help="Print the graph after this pass to standard error; may be repeated."),
    ] = None,
    time_passes: Annotated[bool, typer.Option("--time-passes", help="Say how long each pass took.")] = False,
    verify_each: Annotated[bool, typer.Option("--verify-each", help="Check the graph after every pass.")] = False,
    verify: Annotated[
        Verify, typer.Option(help="Compare with onnxruntime: outputs, every unit, under emulation, or not at all.")
    ] = Verify.OUTPUTS,
    profile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Measured times, see hetpart profile; estimates where it lacks.")
    ] = None,
    precision: Annotated[
        Precision, typer.Option(help="fp16: maps and weights are stored in float16; the CPU computes so, too.")
    ] = Precision.FP32,
    cpu_fallback: Annotated[
        bool, typer.Option("--cpu-fallback", help="Add a plan that runs where OpenCL is missing.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing bundle.")] = False,
    zip_: Annotated[bool, typer.Option("--zip", help="Write one .zip file instead of a folder.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Compile every kernel anew.")] = False,
    json: JsonOption = False,
) -> None:
    """Compile MODEL into a bundle for TARGET: kernels, constants and a static schedule across its processors.

    Exit code 0: the bundle was written; 2: bad input, nothing was written; 3: our own fault, nothing was written.
    """
    from hetpart.build import build
    from hetpart.cli.progress import TerminalDisplay
    from hetpart.compiler import Options
    from hetpart.compression import AccuracyOptions
    from hetpart.passes.registry import pass_class
    from hetpart.phases import Phases

    shown = {name: None if name == "all" else pass_class(name) for name in print_after or ()}

    def on_pass(record: PassRecord, graph: ir.Model) -> None:
        name, _, _ = record.name.partition("{")
        if name in shown or "all" in shown:
            from hetpart.passes.printer import print_model

            console(stderr=True).print(f"// after {record.name}\n{print_model(graph)}", markup=False, soft_wrap=True)

    suffix = ".hetpart.zip" if zip_ else ".hetpart"
    options = Options(
        strategy=strategy,
        limit=time_limit,
        competing=competing,
        level=f"O{level}",
        passes=",".join(passes or ()),
        shapes=parse_shapes(shape),
        dims=parse_dims(dim),
        verify_each=verify_each,
        on_pass=on_pass if shown else None,
        precision=precision.value,
        cpu_fallback=cpu_fallback,
        use_cache=not no_cache,
        accuracy=AccuracyOptions(calibration, evaluate, max_drop, seed),
    )
    with TerminalDisplay(hidden=bool(shown)) as display:
        report = build(
            model,
            target,
            output or Path(model.stem + suffix),
            options,
            verify=verify.value,
            overwrite=overwrite,
            as_zip=zip_,
            phases=Phases(display),
            profile=profile,
        )
    if json:
        print_json(report.to_json())
        return
    from hetpart.report.compile_text import print_compile, print_pass_times

    out = console()
    print_compile(report, out)
    if time_passes:
        print_pass_times(report, out)
