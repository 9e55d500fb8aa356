"""The verbs. Each has its own file, which is imported when the verb runs, so that ``--help`` is quick."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hetpart.cli.bench import bench
from hetpart.cli.cache import cache
from hetpart.cli.check import check
from hetpart.cli.compile import compile_
from hetpart.cli.compress import compress
from hetpart.cli.inspect import inspect
from hetpart.cli.predict import predict
from hetpart.cli.profile import profile
from hetpart.cli.run import run
from hetpart.cli.targets import targets
from hetpart.cli.tune import tune
from hetpart.cli.verify import verify

app = typer.Typer(
    name="hetpart",
    help="Compile a neural network for all processors of a phone.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("compile")(compile_)
app.command("check")(check)
app.command("compress")(compress)
app.command("run")(run)
app.command("verify")(verify)
app.command("bench")(bench)
app.command("inspect")(inspect)
app.command("predict")(predict)
app.command("targets")(targets)
app.command("tune")(tune)
app.command("profile")(profile)
app.command("cache")(cache)


def _show_version(wanted: bool) -> None:
    if wanted:
        from hetpart import __version__

        print(f"hetpart {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (may stand after any verb).")] = False,
) -> None:
    """Compile a neural network for all processors of a phone."""
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)
