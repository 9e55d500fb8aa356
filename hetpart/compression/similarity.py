"""How alike outputs stay, where nobody knows which are right."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx_ir as ir

from hetpart.calibration import Calibration
from hetpart.compression.accuracy import ORIGINAL, Likeness, Similarity
from hetpart.compression.evaluation import outputs_of
from hetpart.compression.intervals import bootstrap_mean
from hetpart.errors import HetpartError


class OutputSimilarity:
    """Compares the outputs of floating-point numbers with the original's."""

    def __init__(self, samples: Calibration, outputs: list[str], data: str, seed: int) -> None:
        self._samples, self._outputs, self._data, self._seed = samples, outputs, data, seed
        self._expected: dict[str, np.ndarray] = {}
        self._scores: list[Likeness] = []

    def judge(self, name: str, path: Path) -> None:
        found = outputs_of(path, self._outputs, self._samples)
        rows = {key: values.reshape(len(values), -1).astype(np.float64) for key, values in found.items()}
        for key, actual in rows.items():
            if not np.isfinite(actual).all():
                message = f"output '{key}' of {name} has NaN or infinities on {self._data}, so nothing can be compared"
                raise HetpartError("not-finite", message, node=key)
            if name != ORIGINAL:
                self._scores.append(likeness(name, key, self._expected[key], actual, self._seed))
        if name == ORIGINAL:
            self._expected = rows

    def result(self) -> Similarity:
        return Similarity(self._data, len(self._samples), self._seed, tuple(self._scores))


def likeness(name: str, output: str, expected: np.ndarray, actual: np.ndarray, seed: int) -> Likeness:
    """Of `actual` with `expected`, both [samples, numbers] of float64; two rows of zeros are alike."""
    norms = np.linalg.norm(expected, axis=1) * np.linalg.norm(actual, axis=1)
    same = (expected == actual).all(axis=1)
    cosines = np.divide((expected * actual).sum(axis=1), norms, out=np.zeros(len(norms)), where=norms > 0)
    cosines = np.where(same, 1.0, np.clip(cosines, -1.0, 1.0))
    signal, noise = float(np.square(expected).sum()), float(np.square(expected - actual).sum())
    return Likeness(name, output, float(cosines.mean()), bootstrap_mean(cosines, seed), _decibels(signal, noise))


def _decibels(signal: float, noise: float) -> float:
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf


def float_outputs(model: ir.Model) -> list[str]:
    """The names of what can be compared."""
    return [v.name or "" for v in model.graph.outputs if v.dtype is not None and v.dtype.is_floating_point()]
