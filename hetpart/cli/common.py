"""Options and output that several verbs share."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hetpart.errors import HetpartError

if TYPE_CHECKING:
    from rich.console import Console

    from hetpart.runtime.session import Session

ModelArgument = Annotated[Path, typer.Argument(metavar="MODEL", help="ONNX model file.", show_default=False)]
BundleArgument = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Bundle (folder or zip).", show_default=False)]
TargetOption = Annotated[
    str, typer.Option("--target", "-t", metavar="NAME|FILE.toml", help="Target, see hetpart targets.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")]
ShapeOption = Annotated[
    list[str] | None,
    typer.Option("--shape", metavar="NAME:D,D,...", help="Pin the shape of an input, e.g. input:1,3,224,224."),
]
DimOption = Annotated[
    list[str] | None, typer.Option("--dim", metavar="NAME=N", help="Pin a symbolic dimension, e.g. batch=1.")
]


def parse_shapes(texts: list[str] | None) -> dict[str, tuple[int, ...]]:
    """``name:1,3,224,224`` options as a dictionary."""
    shapes = {}
    for text in texts or []:
        name, colon, dims = text.rpartition(":")
        try:
            shapes[name] = tuple(int(d) for d in dims.split(",")) if dims else ()
        except ValueError:
            colon = ""
        if not colon or not name or any(d < 1 for d in shapes[name]):
            raise HetpartError("bad-option", f"--shape {text} is not a shape", hint="write --shape name:1,3,224,224")
    return shapes


def parse_dims(texts: list[str] | None) -> dict[str, int]:
    """``batch=1`` options as a dictionary."""
    dims = {}
    for text in texts or []:
        name, _, number = text.partition("=")
        if not name or not number.isdigit() or int(number) < 1:
            raise HetpartError("bad-option", f"--dim {text} is not a dimension", hint="write --dim batch=1")
        dims[name] = int(number)
    return dims


def print_json(value: dict[str, Any]) -> None:
    """The one object that ``--json`` promises; JSON has no infinities and no NaN, so they become null."""
    json.dump(_without_nan(value), sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def open_session(bundle: Path) -> Session:
    """The bundle, ready to run; without OpenCL its CPU-only plan if it has one (`plan_in_words` says so)."""
    from hetpart.runtime.session import Session

    return Session(bundle, cpu_fallback=True)


def plan_in_words(session: Session) -> str:
    """Name of the plan that runs, and why it is not ``main``."""
    return session.plan_used + (f" ({session.fallback_reason})" if session.fallback_reason else "")


def console(*, stderr: bool = False) -> Console:
    """A rich console; plain and 120 columns wide when the output is not a terminal."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else 120, highlight=False, soft_wrap=False)
