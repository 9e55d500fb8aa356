"""Top-1 accuracy on labelled samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from hetpart.calibration import Calibration, calibration, read_arrays
from hetpart.compression.accuracy import ORIGINAL, Accuracy, Score
from hetpart.compression.evaluation import outputs_of
from hetpart.compression.intervals import Interval, paired_difference, wilson
from hetpart.errors import HetpartError

CODE = "bad-eval"
"""Code of every error of evaluation data."""

LABELS = "labels"
"""The array of an evaluation file that is no input."""


class LabelledSamples:
    """Top-1 accuracy on samples for whose inputs the right class is known."""

    def __init__(self, samples: Calibration, labels: np.ndarray, output: str, data: str, seed: int) -> None:
        """`labels`: [samples * batch], positions along the second axis of `output`, [batch, classes]."""
        self._samples, self._labels, self._output = samples, labels, output
        self._data, self._seed = data, seed
        self._right: list[np.ndarray] = []
        self._scores: list[Score] = []

    def judge(self, name: str, path: Path) -> None:
        scores = outputs_of(path, [self._output], self._samples)[self._output].reshape(len(self._labels), -1)
        # among NaN nothing is the largest
        right = (scores.argmax(axis=1) == self._labels) & ~np.isnan(scores).any(axis=1)
        self._right.append(right)
        n, before = len(right), self._right[0]
        lost, won = int((before & ~right).sum()), int((~before & right).sum())
        interval = _percent(wilson(int(right.sum()), n))
        drop = None if name == ORIGINAL else _percent(paired_difference(lost, won, n))
        self._scores.append(Score(name, 100 * float(right.mean()), interval, 100 * (lost - won) / n, drop))

    def result(self) -> Accuracy:
        how = "Wilson's score; of drops Tango's score for paired samples"
        n = len(self._labels)
        return Accuracy("top-1 accuracy", self._data, n, self._seed, how, True, tuple(self._scores))


def read_labelled(path: Path, model: ir.Model, seed: int) -> LabelledSamples:
    """The samples of an .npz file: inputs by name, as calibration data have them, and ``labels``, one class per sample.

    Raises:
        HetpartError: ``bad-eval``, also where `model` has not exactly one output of shape [batch, classes].
    """
    try:
        arrays = read_arrays(path)
        labels = arrays.pop(LABELS, None)
        if labels is None:
            raise HetpartError(CODE, f"{path} has no '{LABELS}'", hint="one integer per sample, the right class")
        samples = calibration(arrays, model, str(path))
    except HetpartError as error:
        raise HetpartError(CODE, error.message, hint=error.hint) from error
    output, batch, classes = _classifying_output(model)
    found = labels.reshape(-1)
    if found.dtype.kind not in "iu":
        raise HetpartError(CODE, f"{path}: '{LABELS}' is {labels.dtype}", hint="give integers, the right classes")
    if len(found) != len(samples) * batch:
        raise HetpartError(CODE, f"{path} has {len(found)} labels for {len(samples) * batch} samples")
    if found.min() < 0 or found.max() >= classes:
        raise HetpartError(
            CODE, f"{path}: '{LABELS}' goes from {found.min()} to {found.max()}, '{output}' has {classes} classes",
            hint="labels are positions along the output, from 0",
        )  # fmt: skip
    return LabelledSamples(samples, found, output, path.name, seed)


def _classifying_output(model: ir.Model) -> tuple[str, int, int]:
    """Name, batch and classes of the one output of shape [batch, classes], axes of length 1 behind them not counted."""
    found = []
    for value in model.graph.outputs:
        shape = value.shape.numpy() if value.shape is not None else ()
        if len(shape) >= 2 and set(shape[2:]) <= {1} and shape[1] > 1:
            found.append((value.name or "", shape[0], shape[1]))
    if len(found) != 1:
        raise HetpartError(
            CODE, f"the model has {len(found) or 'no'} outputs of shape [batch, classes]; top-1 accuracy needs one",
            hint="--eval module:function evaluates other models",
        )  # fmt: skip
    return found[0]


def _percent(interval: Interval) -> Interval:
    return 100 * interval[0], 100 * interval[1]
