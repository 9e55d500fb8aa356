"""Runs one test through `hetpart.backend` and says what came of it, in one word and one sentence.

Tolerances are ONNX's, with one addition: a float may differ by one unit in the last place of the largest number of its
tensor. The expected numbers were rounded too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

import hetpart.backend as backend
from hetpart.errors import HetpartError, InternalError
from tests.conformance.cases import Case


@dataclass(frozen=True)
class Outcome:
    """What came of a test.

    Attributes:
        word: ``pass``; ``constant``, right, but all of it was computed at compile time, for all inputs are parameters;
            ``refused:<code>``; ``wrong``; ``internal:<code>`` or ``crash``, faults of hetpart.
        reason: the error's message, or how the result differs.
    """

    word: str
    reason: str = ""

    @property
    def right(self) -> bool:
        return self.word in ("pass", "constant")

    @property
    def refused(self) -> bool:
        return self.word.startswith("refused:")


def run_case(case: Case) -> Outcome:
    """The outcome of `case`; ONNX's own tolerances decide what is wrong."""
    try:
        prepared = backend.prepare(case.model)
        for inputs, expected in case.data:
            found = prepared.run(inputs)
            if (difference := _difference(found, expected, case)) is not None:
                return Outcome("wrong", difference)
    except InternalError as error:
        return Outcome(f"internal:{error.code}", _one_line(str(error)))
    except HetpartError as error:
        return Outcome(f"refused:{_reason(error)}", _one_line(error.message))
    except Exception as error:
        return Outcome("crash", _one_line(f"{type(error).__name__}: {error}"))
    data = {value.name for value in case.model.graph.input} - set(prepared.parameters)
    return Outcome("pass" if data else "constant")


def _reason(error: HetpartError) -> str:
    """The code; where no processor takes a unit, the CPU's reason for it."""
    if error.code == "no-processor" and (found := re.search(r"cpu: .*?\(([a-z-]+)\)(?:;|$)", error.message)):
        return found[1]
    return error.code


def _difference(found: tuple[np.ndarray, ...], expected: list[object], case: Case) -> str | None:
    if len(found) != len(expected):
        return f"{len(found)} outputs instead of {len(expected)}"
    for index, (got, want) in enumerate(zip(found, expected, strict=True)):
        want = np.asarray(want)
        if got.shape != want.shape or got.dtype != want.dtype:
            return f"output {index} is {got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}"
        a, b = got.astype(np.float64), want.astype(np.float64)
        atol = case.atol
        if want.dtype.kind == "f":  # one unit in the last place of the largest number: what cancels is rounding
            atol = max(atol, float(np.finfo(want.dtype).eps) * np.max(np.abs(b), initial=0.0, where=np.isfinite(b)))
        if not np.allclose(a, b, rtol=case.rtol, atol=atol, equal_nan=True):
            with np.errstate(invalid="ignore"):
                worst = np.nanmax(np.abs(a - b), initial=0.0)
            return f"output {index} differs by up to {worst:.3g}, or in what is infinite or NaN"
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
