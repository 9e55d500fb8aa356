"""The command line. `main` is the entry point; it turns errors into exit codes and short messages.

Exit codes: 0 done; 1 done, but the answer is "no" (see each verb); 2 a problem the user can act on; 3 our own fault.
"""

from __future__ import annotations

import json
import os
import sys

from hetpart.errors import HetpartError

_INTERRUPTED = 130
"""What typer makes of Ctrl-C."""


def main() -> None:
    """Runs the command line and exits."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Runs one command; returns its exit code. ``--debug`` anywhere lets tracebacks through."""
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    try:
        return _dispatch(arguments)
    except HetpartError as error:
        if debug:
            raise
        return _report(error, as_json="--json" in arguments)
    except KeyboardInterrupt:
        if debug:
            raise
        stopped = HetpartError("interrupted", "stopped by the user", hint="nothing was written; run it again")
        return _report(stopped, as_json="--json" in arguments)
    except BrokenPipeError:
        # the reader of our output went away; keep the interpreter from complaining when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except Exception as error:
        if debug:
            raise
        fault = HetpartError(
            "internal-error",
            f"{type(error).__name__}: {error}",
            hint="this is a fault of hetpart: please report it, with the output of the same command and --debug",
        )
        _report(fault, as_json="--json" in arguments)
        return 3


def _dispatch(arguments: list[str]) -> int:
    import typer

    from hetpart.cli.app import app

    try:
        result = app(args=arguments, prog_name="hetpart", standalone_mode=False)
    except typer.TyperException as error:
        raise HetpartError("usage", error.format_message(), hint="see hetpart --help, or --help of the verb") from error
    if result == _INTERRUPTED:
        raise KeyboardInterrupt
    return result if isinstance(result, int) else 0


def _report(error: HetpartError, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"schema": 1, "error": error.to_json()}))
    print(f"error: {error}", file=sys.stderr)
    return error.exit_code
