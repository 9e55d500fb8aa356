"""One model on several engines: prepare each, check what it computes, then let them run in turn."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from benchmarks import engines
from benchmarks.worker import Turn, Worker
from examples.zoo import inputs

TOLERANCE = 1e-3
"""Relative L2 distance to onnxruntime's outputs from which an engine counts as wrong. fp32 stays below 1e-5, with MNN's
approximation of the exponential 2e-4."""

COLD_ROUNDS = 2
"""First rounds, which are not counted."""

TURN_MS = 20.0
"""A turn takes about so long: fast models run several times before the next engine cools the caches down."""


@dataclass(frozen=True)
class Result:
    """What became of one engine on one model.

    Attributes:
        status: ``measured``; ``absent`` (not installed), ``failed`` (cannot convert, load or run the model), ``wrong``.
        reason: for people, unless measured.
        error: largest relative L2 distance of an output to onnxruntime's.
        cpu_ms: median CPU time of a run, all threads together.
        wall_ms: median wall time of a run.
        runs: measured runs.
        threads: threads of its process, each of which was seen to be confined to the cores.
    """

    status: str
    reason: str = ""
    error: float | None = None
    cpu_ms: float | None = None
    wall_ms: float | None = None
    runs: int = 0
    threads: int = 0


def measure(
    model: onnx.ModelProto, names: Sequence[str], cores: Sequence[int], rounds: int, kept: Path | None = None
) -> dict[str, Result]:
    """Results by engine; `names` must include the reference engine.

    Args:
        model: with static shapes.
        names: engines, see `benchmarks.engines.NAMES`.
        cores: what the engines may use: one thread each.
        rounds: how often every engine has its turn after the cold ones.
        kept: folder for what other engines' converters made, to be used again; hetpart's is always made anew.

    Raises:
        RuntimeError: the reference engine failed.
    """
    results: dict[str, Result] = {}
    workers: dict[str, Worker] = {}
    feeds = inputs(model, 0)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hetpart-bench-")))
        file = folder / "model.onnx"
        onnx.save(model, file)
        expected: Mapping[str, np.ndarray] = {}
        for name in sorted(names, key=lambda n: n != engines.REFERENCE):  # the reference first
            try:
                version = engines.version(name)
            except RuntimeError as error:
                results[name] = Result("absent", str(error))
                continue
            try:
                prepared = _prepared(name, version, file, folder if kept is None or name == "hetpart" else kept)
                worker = stack.enter_context(Worker(name, prepared, cores))
                outputs = worker.outputs(feeds)
                threads = _confined(worker, cores)
            except RuntimeError as error:
                if name == engines.REFERENCE:
                    raise
                results[name] = Result("failed", str(error))
                continue
            expected = expected or outputs
            distance = difference(outputs, expected)
            if distance > TOLERANCE:
                results[name] = Result("wrong", f"relative L2 error {distance:.1e}", distance)
                worker.close()
                continue
            workers[name] = worker
            results[name] = Result("measured", error=distance, threads=threads)
        for name, turns in _take_turns(workers, rounds).items():
            results[name] = _summary(results[name], turns)
    return {name: results[name] for name in names}


def difference(outputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> float:
    """Largest relative L2 distance of an output; infinite where shapes differ, an output lacks or is not finite."""
    worst = 0.0
    for name, wanted in expected.items():
        found = outputs.get(name)
        if found is None or found.shape != wanted.shape or not np.isfinite(found).all():
            return float("inf")
        scale = float(np.linalg.norm(wanted.astype(np.float64)))
        distance = float(np.linalg.norm(found.astype(np.float64) - wanted.astype(np.float64)))
        worst = max(worst, distance / scale if scale else distance)
    return worst


def _prepared(name: str, version: str, file: Path, folder: Path) -> Path:
    """What the engine's converter makes of `file`, or made of it before in the same `folder`."""
    adapter = Path(str(engines.engine(name).__file__))
    digest = hashlib.sha256(file.read_bytes() + adapter.read_bytes()).hexdigest()[:16]
    place = folder / f"{name}-{version}-{digest}"
    done, failed = place / "done", place / "failed"
    if done.exists():
        return Path(done.read_text())
    if failed.exists():
        raise RuntimeError(failed.read_text())
    shutil.rmtree(place, ignore_errors=True)  # an attempt that was interrupted
    work = place / "files"
    work.mkdir(parents=True)
    try:
        prepared = engines.engine(name).prepare(file, work)
    except RuntimeError as error:
        failed.write_text(str(error))
        raise
    if prepared.is_relative_to(work):
        done.write_text(str(prepared))
    return prepared


def _confined(worker: Worker, cores: Sequence[int]) -> int:
    """How many threads the worker has; raises RuntimeError where one may use other cores than `cores`."""
    allowed = worker.threads()
    for text in allowed.values():
        if not parse_cores(text) <= set(cores):
            raise RuntimeError(f"a thread of it may run on cores {text}, not only on {sorted(cores)}")
    return len(allowed)


def parse_cores(text: str) -> set[int]:
    """Linux's core list: "0-2,5" is {0, 1, 2, 5}."""
    cores: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        cores |= set(range(int(first), int(last or first) + 1))
    return cores


def _take_turns(workers: Mapping[str, Worker], rounds: int) -> dict[str, list[Turn]]:
    """Measured runs by engine. The order is turned by one every round, so that nobody always follows the same."""
    runs = dict.fromkeys(workers, 1)
    turns: dict[str, list[Turn]] = {name: [] for name in workers}
    order = list(workers)
    for index in range(COLD_ROUNDS + rounds):
        for name in order:
            measured = workers[name].turn(runs[name])
            if index < COLD_ROUNDS:
                runs[name] = max(1, int(TURN_MS / measured[-1].wall_ms))
            else:
                turns[name] += measured
        order = order[1:] + order[:1]
    return turns


def _summary(result: Result, turns: Sequence[Turn]) -> Result:
    return Result(
        "measured",
        error=result.error,
        cpu_ms=statistics.median(turn.cpu_ms for turn in turns),
        wall_ms=statistics.median(turn.wall_ms for turn in turns),
        runs=len(turns),
        threads=result.threads,
    )
