"""`make conformance`: all of ONNX's backend tests through hetpart, in parallel, as a table by operator.

Writes the outcome of every test to ``outcomes.txt``, which the test suite and reviewers compare with, and the table to
docs/conformance.md.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from importlib import metadata
from multiprocessing.connection import Connection, wait
from pathlib import Path

from benchmarks.machine import facts
from benchmarks.paste import paste
from tests.conformance.cases import Case, load_cases
from tests.conformance.outcome import Outcome, run_case
from tests.conformance.table import markdown, outside, rows

OUTCOMES = Path(__file__).with_name("outcomes.txt")

_LIMIT_S = 120.0
"""Seconds after which a test counts as crashed."""


def read_outcomes() -> dict[str, str]:
    """Test name -> outcome, as last written."""
    lines = OUTCOMES.read_text().splitlines()
    return dict(line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("filters", nargs="*", help="run only tests whose names contain one of these; writes nothing")
    parser.add_argument("--update", action="store_true", help="write the outcomes of filtered tests too")
    parser.add_argument("-j", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--paste", type=Path, metavar="PAGE", help="page that gets the table (all tests)")
    parser.add_argument("-v", action="store_true", help="print every test that does not pass, with the reason")
    arguments = parser.parse_args()
    start = time.monotonic()
    chosen = arguments.filters or [""]
    cases = [case for case in load_cases() if any(text in case.name for text in chosen)]
    outcomes = _run_all(cases, arguments.j)
    seconds = time.monotonic() - start
    table = f"{markdown(rows(cases, outcomes))}\n\nOutside of it: {outside(cases) or 'none'}."
    print(table)
    if arguments.v:
        for case in cases:
            if not outcomes[case.name].right:
                print(f"{case.name}: {outcomes[case.name].word}: {outcomes[case.name].reason}")
    about = f"{len(cases)} tests in {seconds:.0f} s in {arguments.j} processes"
    print(about)
    words = {name: outcome.word for name, outcome in outcomes.items()}
    if arguments.filters and arguments.update:
        words = read_outcomes() | words
    if not arguments.filters or arguments.update:
        OUTCOMES.write_text("".join(f"{name} {word}\n" for name, word in sorted(words.items())))
    if not arguments.filters:
        _write_reasons(outcomes)
        if arguments.paste is not None:
            paste(arguments.paste, "conformance", f"{about}; {_circumstances()}.\n\n{table}")
    sys.exit(any(not (outcome.right or outcome.refused) for outcome in outcomes.values()))


def _write_reasons(outcomes: dict[str, Outcome]) -> None:
    folder = Path("out")
    folder.mkdir(exist_ok=True)
    lines = [f"{name}\t{o.word}\t{o.reason}\n" for name, o in sorted(outcomes.items()) if not o.right]
    (folder / "conformance.tsv").write_text("".join(lines))
    print(f"reasons: {folder / 'conformance.tsv'}")


def _circumstances() -> str:
    """Date, machine and versions."""
    here = facts((), sorted(os.sched_getaffinity(0)))
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in ("onnx", "apache-tvm", "onnxruntime"))
    machine = f"{here['processor']}, {here['cores_of_machine']} cores"
    return f"{here['date']}, {machine}; hetpart at {here['commit']}; {versions}"


def _run_all(cases: list[Case], processes: int) -> dict[str, Outcome]:
    """Every test in one of some worker processes; one that dies takes down only its test."""
    outcomes: dict[str, Outcome] = {}
    todo = sorted(range(len(cases)), key=lambda index: cases[index].shard)
    workers: dict[Connection, tuple[multiprocessing.Process, int, float]] = {}
    context = multiprocessing.get_context("fork")  # the workers inherit the cases

    def give(connection: Connection, process: multiprocessing.Process) -> None:
        if todo:
            index = todo.pop()
            connection.send(index)
            workers[connection] = (process, index, time.monotonic())
        else:
            connection.send(None)
            connection.close()
            process.join()

    def hire() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(cases, theirs), daemon=True)
        process.start()
        theirs.close()
        give(ours, process)

    for _ in range(min(processes, len(cases))):
        hire()
    while workers:
        ready = set(wait(list(workers), timeout=1.0))
        for connection, (process, index, since) in list(workers.items()):
            late = time.monotonic() - since > _LIMIT_S
            if connection not in ready and not late:
                continue
            del workers[connection]
            try:
                if late and connection not in ready:
                    process.kill()
                outcomes[cases[index].name] = connection.recv()
            except (EOFError, ConnectionResetError):
                outcomes[cases[index].name] = Outcome("crash", "too slow" if late else "the process died")
                connection.close()
                process.join()
                if todo:
                    hire()
                continue
            give(connection, process)
            if sys.stderr.isatty():
                print(f"\r{len(outcomes)} of {len(cases)}", end="", file=sys.stderr, flush=True)
    return outcomes


def _work(cases: list[Case], connection: Connection) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # TVM prints warnings of its own
    if not os.environ.get("CONFORMANCE_DEBUG"):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while (index := connection.recv()) is not None:
        connection.send(run_case(cases[index]))


if __name__ == "__main__":
    main()
