"""A small trained network and the data it was trained on: what compression costs can be seen here, not only predicted.

The images are scikit-learn's digits, 1797 of 8 x 8 pixels: the test set of "Optical Recognition of Handwritten Digits"
by E. Alpaydin and C. Kaynak (UCI Machine Learning Repository, 1998). ``digits.npz`` holds them in random order and
``digits.onnx`` the network; `examples.digits.train` made both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

MODEL = Path(__file__).with_name("digits.onnx")
DATA = Path(__file__).with_name("digits.npz")

HELD_OUT = 600
"""Images at the end of the file that nothing was trained on or chosen by."""

INPUT = "image"
"""The network's input: [1, 1, 8, 8] float32 in [0, 1]."""


@dataclass(frozen=True)
class Digits:
    """Images, [n, 1, 8, 8] float32 in [0, 1], and what they show, [n] of 0 to 9."""

    images: Array
    labels: Array


def load() -> tuple[Digits, Digits]:
    """What the network was trained on, and what it has never seen."""
    with np.load(DATA) as file:
        images, labels = file["images"], file["labels"]
    images = images[:, None].astype(np.float32) / np.float32(16)
    return Digits(images[:-HELD_OUT], labels[:-HELD_OUT]), Digits(images[-HELD_OUT:], labels[-HELD_OUT:])
