"""A metric of the user's: a Python function that takes the path of an ONNX model and returns a number."""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import random
import sys
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

import numpy as np

from hetpart.compression.accuracy import Accuracy, Score
from hetpart.errors import HetpartError

CONTRACT = "it is called with the path of an ONNX model and returns one finite number, higher is better"


class UserFunction:
    """Judges by a function.

    Python's and numpy's global random numbers are seeded before every call, so that a function which draws samples
    draws the same for every model. What it prints goes to standard error.
    """

    def __init__(self, name: str, function: Callable[[str], object], seed: int) -> None:
        self._name, self._function, self._seed = name, function, seed
        self._scores: list[Score] = []

    def judge(self, name: str, path: Path) -> None:
        random.seed(self._seed)
        np.random.seed(self._seed % 2**32)  # what functions draw from that know nothing of ours
        try:
            with contextlib.redirect_stdout(sys.stderr):
                found = self._function(str(path))
        except (Exception, SystemExit) as error:  # whatever a user's function raises
            what = f"{type(error).__name__}: {error}"
            raise HetpartError("eval-failed", f"{self._name} failed on {name}: {what}", hint=CONTRACT) from error
        value = _number(found)
        if not math.isfinite(value):
            raise HetpartError("eval-failed", f"{self._name} returned {found!r} for {name}", hint=CONTRACT)
        before = self._scores[0].value if self._scores else value
        self._scores.append(Score(name, value, drop=before - value))

    def result(self) -> Accuracy:
        return Accuracy(self._name, "", None, self._seed, "", False, tuple(self._scores))


def find_function(text: str, seed: int) -> UserFunction:
    """The function that ``module:function`` names; modules in the current folder are found too.

    Raises:
        HetpartError: ``bad-eval``.
    """
    module, _, name = text.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        with contextlib.redirect_stdout(sys.stderr):
            function = attrgetter(name)(importlib.import_module(module))
    except (Exception, SystemExit) as error:  # a module runs when it is imported
        what = f"{type(error).__name__}: {error}"
        hint = "write FILE.npz or module:function"
        raise HetpartError("bad-eval", f"cannot import {text}: {what}", hint=hint) from error
    if not callable(function):
        raise HetpartError("bad-eval", f"{text} is no function but {function!r}", hint=CONTRACT)
    return UserFunction(text, function, seed)


def _number(found: object) -> float:
    """NaN if it is none."""
    if isinstance(found, bool | np.bool_ | str | bytes):
        return math.nan
    try:
        return float(found)  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError, OverflowError):
        return math.nan
