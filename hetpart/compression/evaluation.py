"""What judges models: it sees the original first, then the model after each lossy pass, every one as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from hetpart.calibration import Calibration
from hetpart.compression.accuracy import Accuracy, Similarity
from hetpart.errors import HetpartError


class Evaluation(Protocol):
    """Judges models, the original first."""

    def judge(self, name: str, path: Path) -> None:
        """Take the model file `path` into account; HetpartError if it cannot be judged."""

    def result(self) -> Accuracy | Similarity:
        """What came of it, once two models were judged."""


def outputs_of(path: Path, names: Sequence[str], samples: Calibration) -> dict[str, np.ndarray]:
    """The outputs called `names` of a model file, [samples, ...shape of the output], by onnxruntime.

    Raises:
        HetpartError: ``reference-failed`` if it cannot run the model.
    """
    from hetpart.reference import prepare  # onnxruntime is slow to load

    try:
        run = prepare(str(path), names, fast=True)
        found = [run(feeds) for feeds in samples]
    except Exception as error:  # onnxruntime has no common base class for its errors
        raise HetpartError(
            "reference-failed", f"onnxruntime cannot run the model, so its accuracy cannot be evaluated: {error}",
            hint="--eval module:function evaluates it by other means",
        ) from error  # fmt: skip
    return {name: np.stack([outputs[name] for outputs in found]) for name in names}
