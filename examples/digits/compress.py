"""Compress the digits network and repair it without labels, in memory: what it takes besides ``hetpart compress``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir

from examples.digits import INPUT, MODEL, Digits
from hetpart.calibration import calibration
from hetpart.frontend import import_model
from hetpart.passes.base import Context
from hetpart.passes.pipeline import optimisation_level, parse_pipeline, run_pipeline
from hetpart.reference import Run, prepare


@dataclass(frozen=True)
class Result:
    """The network in three states."""

    original: onnx.ModelProto
    one_shot: onnx.ModelProto
    repaired: onnx.ModelProto


def compress(passes: str, samples: Digits, repair: str = "repair") -> Result:
    """Runs `passes`, then `repair` on the images of `samples`; nobody looks at their labels."""
    model = import_model(str(MODEL))
    run_pipeline(model, optimisation_level("O1"))
    original = ir.to_proto(model)
    context = Context(calibration=calibration({INPUT: samples.images}, model))
    run_pipeline(model, parse_pipeline(passes), context)
    one_shot = ir.to_proto(model)
    run_pipeline(model, parse_pipeline(repair), context)
    return Result(original, one_shot, ir.to_proto(model))


def accuracy(run: Run, digits: Digits) -> float:
    """Share of images that `run`, from the input to the logits, recognises."""
    guesses = [run({INPUT: image[None]})["logits"].argmax() for image in digits.images]
    return float(np.mean(guesses == digits.labels))


def accuracy_of(model: onnx.ModelProto, digits: Digits) -> float:
    """The same by onnxruntime."""
    return accuracy(prepare(model), digits)
