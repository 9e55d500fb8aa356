"""From a trace to samples: who waited for whom, and copies into and out of private memory."""

from __future__ import annotations

from typing import Any

import pytest

from hetpart.partition import Link, Mode, Problem, Task, Tensor
from hetpart.partition.problem import Converter
from hetpart.profile.samples import Sample, samples
from hetpart.profile.summary import Run, summarise

PROBLEM = Problem(
    ("cpu", "gpu"),
    "cpu",
    (
        Task("(inputs)", (Mode("cpu", 0),)),
        Task("a", (Mode("cpu", 5), Mode("gpu", 5, 0, True))),
        Task("b", (Mode("cpu", 5), Mode("gpu", 5, 0, True))),
        Task("c", (Mode("cpu", 5), Mode("gpu", 5, 0, True))),
        Task("(outputs)", (Mode("cpu", 0),)),
    ),
    (
        Tensor("x", "(inputs)", ("a",), 4000),
        Tensor("y", "a", ("b",), 8000),
        Tensor("z", "b", ("c",), 8000),
        Tensor("r", "c", ("(outputs)",), 400),
    ),
    (Link("cpu", "gpu", 1, 1.0), Link("gpu", "cpu", 1, 1.0)),
    (Converter("gpu", 1, 1.0),),
)


def trace(**rows: list[tuple[str, float, float]]) -> dict[str, Any]:
    """What the runtime writes, of (name, start, end) by processor."""
    events: list[dict[str, Any]] = []
    for tid, (processor, steps) in enumerate(rows.items()):
        events.append({"ph": "M", "tid": tid, "name": "thread_name", "args": {"name": processor}})
        events += [
            {
                "ph": "X", "cat": "step", "tid": tid, "name": name, "ts": start, "dur": end - start,
                "args": {"kernel": "k"},
            }
            for name, start, end in steps
        ]  # fmt: skip
    return {"traceEvents": events}


THERE_AND_BACK = trace(
    cpu=[("a", 2, 10), ("c", 60, 65)],
    gpu=[("(y to private memory)", 22, 26), ("b", 27, 40), ("(z from private memory)", 41, 45)],
)


def test_copies_are_samples_of_their_own() -> None:
    found = {sample.unit: sample for sample in samples(THERE_AND_BACK, PROBLEM)}
    assert {name: sample.copied_bytes for name, sample in found.items()} == {
        "a": 0, "(y to private memory)": 8000, "b": 0, "(z from private memory)": 8000, "c": 0,
    }  # fmt: skip
    # it is the copy that waits for the other processor, and the unit behind it does not
    entering = found["(y to private memory)"]
    assert (entering.ready_us, entering.source, entering.crossing_bytes) == (10, "cpu", 8000)
    assert (found["b"].ready_us, found["b"].source, found["b"].undisturbed) == (26, "", True)
    # what the copy out takes is not the link's
    assert (found["c"].ready_us, found["c"].source) == (45, "gpu")


def copy_run(sizes: dict[str, int], us_per_byte: float) -> Run:
    """A run in which the GPU does nothing but copies, one after the other, 2 us apart."""
    found, at = [], 100.0
    for name, size in sizes.items():
        end = at + 2 + 3 + size * us_per_byte
        found.append(Sample(name, "gpu", ("k",), at, at + 2, end, False, "", 0, size))
        at = end
    return Run(at, found)


def test_copies_have_a_law_and_no_entries() -> None:
    sizes = {f"(v{i} to private memory)": 1000 * (i + 1) for i in range(8)}
    times = summarise({"gpu": [copy_run(sizes, 0.001)] * 4}, {})
    assert times.entries == ()
    (law,) = times.copies
    assert (law.processor, law.spread.n) == ("gpu", 16)  # of the middle half of four runs
    assert law.fixed_us == pytest.approx(5)
    assert law.gb_per_s == pytest.approx(1.0)


def test_a_copy_that_waits_tells_of_the_link() -> None:
    alone = copy_run({"(y to private memory)": 8000}, 0.0)
    waiting = Sample("(y to private memory)", "gpu", ("k",), 10, 40, 43, False, "cpu", 8000, 8000)
    times = summarise({"gpu": [alone], "mixed": [Run(50, [waiting])]}, {})
    (link,) = times.links
    assert (link.source, link.target, link.fixed_us) == ("cpu", "gpu", 28)  # 33 less the 5 of the copy alone
