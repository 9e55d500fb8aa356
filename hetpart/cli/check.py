"""``hetpart check``: what would run where, and why not, without compiling; and which rewrites would help."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from hetpart.errors import HetpartError

if TYPE_CHECKING:
    from hetpart.fix import FixReport


def check(
    model: ModelArgument,
    target: TargetOption = "host",
    shape: ShapeOption = None,
    dim: DimOption = None,
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", metavar="NAME[,NAME]", help="What another engine would let fall back, instead."),
    ] = None,
    explain: Annotated[
        str | None, typer.Option("--explain", metavar="NODE", help="All there is to say of one node, instead.")
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Propose exact rewrites that remove fallbacks.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="With --fix: write the model with those worth it.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT.onnx", help="With --apply: the file to write.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="With --apply: replace the file.")] = False,
    json: JsonOption = False,
) -> int:
    """Say for every operator on which processors it can run and why not on others.

    With --profile, say so for other engines, as far as their support is published.

    Exit code 0: every operator is supported on an accelerator; 1: some fall back to the CPU; 2: bad input.
    """
    if apply != (output is not None) or (apply and not fix) or (overwrite and not apply):
        raise HetpartError("usage", "--fix, --apply and -o go together", hint="write --fix --apply -o OUT.onnx")
    if bool(fix) + bool(profile) + (explain is not None) > 1:
        raise HetpartError("usage", "--fix, --profile and --explain are three questions", hint="ask one at a time")
    shapes, dims = parse_shapes(shape), parse_dims(dim)
    if explain is not None:
        return _explain(model, target, explain, shapes, dims, json)
    if fix:
        return _fix(model, target, shapes, dims, output, overwrite, json)
    from hetpart.api import check as check_model
    from hetpart.api import check_profiles
    from hetpart.report.profiles_text import render_profiles
    from hetpart.report.text import render_check

    if profile:
        names = [name for text in profile for name in text.split(",")]
        compared = check_profiles(model, names, target, shapes=shapes, dims=dims)
        if json:
            print_json(compared.to_json())
        else:
            console().print(render_profiles(compared))
        return compared.exit_code
    report = check_model(model, target=target, shapes=shapes, dims=dims)
    if json:
        print_json(report.to_json())
    else:
        console().print(render_check(report))
    return report.exit_code


def _explain(
    model: Path, target: str, node: str, shapes: dict[str, tuple[int, ...]], dims: dict[str, int], json: bool
) -> int:
    from hetpart.explain import explain
    from hetpart.report.explain_text import render_explanation
    from hetpart.targets import load_target

    found = explain(model, load_target(target), node, shapes=shapes, dims=dims)
    if json:
        print_json(found.to_json())
    else:
        console().print(render_explanation(found))
    return found.exit_code


def _fix(
    model: Path,
    target: str,
    shapes: dict[str, tuple[int, ...]],
    dims: dict[str, int],
    output: Path | None,
    overwrite: bool,
    json: bool,
) -> int:
    """0: nothing is worth rewriting, or the model was written; 1: something is, or nothing was written on request."""
    from hetpart.fix import propose
    from hetpart.targets import load_target

    report, fixed = propose(model, load_target(target), shapes=shapes, dims=dims)
    if output is not None and report.worthwhile:
        from hetpart.rewritten import write_rewritten

        report.largest_error = write_rewritten(fixed, model, output, overwrite=overwrite)
        report.output = str(output)
    _show(report, output is not None, json)
    if output is not None:
        return int(not report.output)
    return int(bool(report.worthwhile))


def _show(report: FixReport, writing: bool, json: bool) -> None:
    from hetpart.report.fix_text import render_fixes

    if json:
        print_json(report.to_json())
        return
    console().print(render_fixes(report))
    if writing and not report.output:
        console().print("nothing was written")
    elif report.worthwhile and not writing:
        console().print("to write the model with these: --apply -o OUT.onnx")
