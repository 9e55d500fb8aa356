"""The command line. `main` is the entry point; it turns errors into exit codes and short messages.

Exit codes: 0 done; 1 done, but the answer is "no" (see each verb); 2 a problem the user can act on; 3 our own fault.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys

from hetpart.errors import HetpartError, InternalError


def main() -> None:
    """Runs the command line and exits."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after Ctrl-C
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Runs one command; returns its exit code. ``--debug`` anywhere lets tracebacks through."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime would report its use to its makers
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()  # here, where a failure can still be reported
        return code
    except (BrokenPipeError, SystemExit):
        # The reader of our output went away; rich turns that into SystemExit. Keep the interpreter from complaining
        # when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            raise
        return _report(_explained(error), as_json="--json" in arguments)


def _dispatch(arguments: list[str]) -> int:
    import typer

    from hetpart.cli.app import app

    try:
        command = typer.main.get_command(app)
        with command.make_context("hetpart", list(arguments)) as context:
            result = command.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code
    except typer.TyperException as error:
        verbs = {command.name for command in app.registered_commands}
        verb = next((f"{argument} " for argument in arguments if argument in verbs), "")
        raise HetpartError("usage", error.format_message(), hint=f"see hetpart {verb}--help") from error
    return result if isinstance(result, int) else 0


def _explained(error: BaseException) -> HetpartError:
    """Whatever ended a command, in terms that the user can act on."""
    if isinstance(error, HetpartError):
        return error
    if _is_interrupt(error):
        return HetpartError("interrupted", "stopped by the user", hint="nothing was written; run it again")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HetpartError(
            "disk-full", f"no space left: {error}", hint="free some; temporary files go to $TMPDIR, by default /tmp"
        )
    return InternalError(
        "internal-error",
        f"{type(error).__name__}: {error}",
        hint="this is a fault of hetpart: please report it, with the output of the same command and --debug",
    )


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind it: a library that is being loaded at that moment makes an ImportError of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _report(error: HetpartError, *, as_json: bool) -> int:
    try:
        if as_json:
            print(json.dumps({"schema": 1, "error": error.to_json()}), flush=True)
        print(f"error: {error}", file=sys.stderr)
    except OSError:
        pass  # nobody can be told; the exit code remains
    return error.exit_code
