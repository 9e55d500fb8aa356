"""A small network, samples for it, and labels that it mostly gets right."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hetpart.verify import reference
from tests.cli.support import write_tiny

PASS = "prune-channels{multiple=4}"
"""Removes four of the sixteen channels that the residual addition ties."""


def images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 4, 16, 16)).astype(np.float32)


def classes(model: Path, samples: np.ndarray) -> np.ndarray:
    """What the network says, one sample at a time."""
    return np.array([int(reference(model, {"image": sample[None]})["logits"].argmax()) for sample in samples])


def write_labelled(folder: Path, count: int = 120) -> tuple[Path, Path]:
    """A model, and samples of which about one in ten has another label than the model says."""
    model, random = write_tiny(folder / "tiny.onnx"), np.random.default_rng(1)
    samples = images(count)
    labels = classes(model, samples)
    wrong = random.random(count) < 0.1
    labels[wrong] = (labels[wrong] + 1) % 10
    np.savez(folder / "heldout.npz", image=samples, labels=labels)
    return model, folder / "heldout.npz"
