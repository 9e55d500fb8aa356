"""One engine in a process of its own, pinned to its cores, which runs when it is told to.

A process per engine keeps thread pools and crashes apart. The engines take turns: one of them is asked at a time, and
between requests a process is stopped, since the threads of some pools spin for 0.2 s after the last run. All threads of
a process are confined to its cores: affinity is set before the engine is imported, and checked thread by thread
afterwards.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from benchmarks.engines import Arrays, Run, engine

PRIORITY = 20
"""Of SCHED_FIFO, where the user may ask for it: other processes do not interrupt a run then."""

REPLY_LIMIT_S = 600


@dataclass(frozen=True)
class Turn:
    """One measured run. CPU time is the sum over all threads of the engine's process."""

    cpu_ms: float
    wall_ms: float


class Worker:
    """The other end of the process: every method waits for the answer.

    Raises (from all methods): RuntimeError with what the engine said, or how its process died.
    """

    def __init__(self, name: str, prepared: Path, cores: Sequence[int]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, name, prepared, tuple(cores)), daemon=True)
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores)  # inherited: libraries that start threads when imported are pinned too
        try:
            self._process.start()
        finally:
            os.sched_setaffinity(0, allowed)
        theirs.close()
        try:
            self._receive()
        except RuntimeError:
            self.close()
            raise
        self._signal(signal.SIGSTOP)

    def outputs(self, feeds: Arrays) -> dict[str, np.ndarray]:
        """The outputs for `feeds`, which are also those of every `turn` from now on."""
        result: dict[str, np.ndarray] = self._ask("outputs", dict(feeds))
        return result

    def turn(self, runs: int) -> list[Turn]:
        """`runs` measured runs after one that is not."""
        result: list[Turn] = self._ask("turn", runs)
        return result

    def threads(self) -> dict[int, str]:
        """Cores that each thread of the process may use, as Linux writes them ("0", "0-1")."""
        result: dict[int, str] = self._ask("threads", None)
        return result

    def close(self) -> None:
        """Ends the process. May be called twice."""
        self._pipe.close()
        self._signal(signal.SIGCONT)
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, request: str, argument: object) -> Any:
        self._signal(signal.SIGCONT)
        try:
            self._pipe.send((request, argument))
        except OSError as error:
            raise RuntimeError(self._death()) from error
        answer = self._receive()
        self._signal(signal.SIGSTOP)
        return answer

    def _signal(self, number: signal.Signals) -> None:
        if self._process.is_alive() and self._process.pid is not None:
            os.kill(self._process.pid, number)

    def _receive(self) -> Any:
        if not self._pipe.poll(REPLY_LIMIT_S):
            self._process.kill()
            raise RuntimeError(f"no answer within {REPLY_LIMIT_S} s")
        try:
            good, answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise RuntimeError(self._death()) from error
        if not good:
            raise RuntimeError(answer)
        return answer

    def _death(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        return f"its process died of signal {-code}" if code and code < 0 else f"its process ended with code {code}"


def thread_cores() -> dict[int, str]:
    """Cores that each thread of this process may use, by thread id."""
    cores = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            status = (task / "status").read_text()
        except OSError:
            continue  # ended meanwhile
        cores[int(task.name)] = next(
            line.split(":")[1].strip() for line in status.splitlines() if line.startswith("Cpus_allowed_list")
        )
    return cores


def _serve(pipe: Connection, name: str, prepared: Path, cores: Sequence[int]) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # some engines print what they found; stdout is for the table
    with contextlib.suppress(OSError):  # needs a privilege; the medians bear some interruptions
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))  # threads started later inherit it
    try:
        run = engine(name).load(prepared, cores)
        pipe.send((True, None))
    except Exception as error:  # whatever an engine raises is its own affair and is reported
        pipe.send((False, _words(error)))
        return
    feeds: Mapping[str, np.ndarray] = {}
    while True:
        try:
            request, argument = pipe.recv()
        except EOFError:
            os._exit(0)  # some engines hang or crash when they are taken down
        try:
            if request == "outputs":
                feeds = argument
                answer: object = {key: np.array(value) for key, value in run(feeds).items()}
            elif request == "turn":
                run(feeds)  # its own caches, after the other engines' turns
                answer = [_measured(run, feeds) for _ in range(argument)]
            else:
                answer = thread_cores()
            pipe.send((True, answer))
        except Exception as error:  # as above
            pipe.send((False, _words(error)))


def _measured(run: Run, feeds: Arrays) -> Turn:
    cpu, wall = time.process_time(), time.perf_counter()
    run(feeds)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Turn(1e3 * cpu, 1e3 * wall)


def _words(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
