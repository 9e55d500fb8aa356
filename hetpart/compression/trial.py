"""One run of passes that compress: the data that they may use, and a judgement of the model after each of them."""

from __future__ import annotations

import math
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import onnx_ir as ir

from hetpart.calibration import load_calibration
from hetpart.compression.accuracy import ORIGINAL, Accuracy, Similarity
from hetpart.compression.context import Compression
from hetpart.compression.evaluation import Evaluation
from hetpart.compression.labelled import read_labelled
from hetpart.compression.similarity import OutputSimilarity, float_outputs
from hetpart.compression.user_function import find_function
from hetpart.errors import HetpartError
from hetpart.passes.base import Context
from hetpart.passes.pipeline import PassRecord
from hetpart.passes.registry import pass_class
from hetpart.rewritten import save_model


@dataclass(frozen=True)
class AccuracyOptions:
    """What the user gave to compress and to judge by.

    Attributes:
        calibration: .npz file of inputs, see `hetpart.calibration`; None: passes do without.
        evaluation: ``FILE.npz`` of inputs and labels, or ``module:function``; empty: outputs are compared on the
            calibration data, or nothing is evaluated.
        max_drop: what the metric may lose, in percentage points (of a function's: in its own unit); None: anything.
        seed: of whatever is random.
    """

    calibration: Path | None = None
    evaluation: str = ""
    max_drop: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_drop is None:
            return
        if not self.evaluation:
            hint = "add --eval FILE.npz or --eval module:function"
            raise HetpartError("usage", "--max-drop needs an accuracy to watch", hint=hint)
        if not (math.isfinite(self.max_drop) and self.max_drop >= 0):
            raise HetpartError("bad-option", f"--max-drop {self.max_drop:g}", hint="give a number of at least 0")


class Trial:
    """Watches a pipeline: give `after` to it, and to its passes the context that `start` returns."""

    def __init__(
        self, source: str | Path | onnx.ModelProto | ir.Model, context: Context, options: AccuracyOptions
    ) -> None:
        self._source, self._context, self._options = source, context, options
        self._evaluation: Evaluation | None = None
        self._judged = False

    def start(self, model: ir.Model) -> Context:
        """Reads the data that the options name, for the imported `model`.

        Raises:
            HetpartError: ``bad-calibration`` or ``bad-eval``.
        """
        options, samples = self._options, None
        if options.calibration is not None:
            samples = load_calibration(options.calibration, model)
        if options.evaluation:
            self._evaluation = _evaluation(options.evaluation, model, options.seed)
        elif samples is not None and options.calibration is not None and (outputs := float_outputs(model)):
            self._evaluation = OutputSimilarity(samples, outputs, options.calibration.name, options.seed)
        if not isinstance(self._source, str | Path):
            self._source = model.clone()
        self._context = replace(self._context, calibration=samples)
        return self._context

    def after(self, record: PassRecord, model: ir.Model) -> None:
        """Judge what a lossy pass made; the original before the first of them."""
        if self._evaluation is None or not record.modified or not _is_lossy(record):
            return
        with tempfile.TemporaryDirectory(prefix="hetpart-") as folder:
            path = Path(folder) / "model.onnx"
            if not self._judged:
                self._evaluation.judge(ORIGINAL, self._original(path))
                self._judged = True
                self._require_effect(self._evaluation.result())
            save_model(model, path)
            self._evaluation.judge(record.name, path)

    def finish(self, model: ir.Model) -> Compression:
        """What the passes made of it: `model`."""
        accuracy = self._evaluation.result() if self._evaluation is not None and self._judged else None
        return Compression(model, tuple(self._context.notes), accuracy, self._refusal(accuracy))

    def _original(self, path: Path) -> Path:
        if isinstance(self._source, str | Path):
            return Path(self._source)
        if isinstance(self._source, ir.Model):
            save_model(self._source, path)
        return path

    def _require_effect(self, accuracy: Accuracy | Similarity) -> None:
        """A limit that no model can miss is a mistake, most likely one of the unit."""
        allowed = self._options.max_drop
        if allowed is None or not isinstance(accuracy, Accuracy):
            return
        value = accuracy.scores[0].value
        if 0 <= value <= allowed:
            raise HetpartError(
                "bad-option",
                f"--max-drop {allowed:g} allows everything: the original's {accuracy.metric} is {value:g}",
                hint="it is in percentage points; of a function, in the unit of what that returns",
            )

    def _refusal(self, accuracy: Accuracy | Similarity | None) -> str:
        allowed = self._options.max_drop
        if allowed is None or not isinstance(accuracy, Accuracy) or accuracy.drop <= allowed:
            return ""
        lost = accuracy.amount(accuracy.drop)
        return f"the model loses {lost} of {accuracy.metric}, and --max-drop allows {allowed:g}"


def _evaluation(text: str, model: ir.Model, seed: int) -> Evaluation:
    if re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", text) and not Path(text).exists():
        return find_function(text, seed)
    return read_labelled(Path(text), model, seed)


def _is_lossy(record: PassRecord) -> bool:
    return pass_class(record.name.partition("{")[0]).lossy
