"""Operands that do not fit together, which neither ONNX's checker nor its type inference notices."""

from __future__ import annotations

import numpy as np
import pytest

from hetpart.frontend import import_model
from tests.frontend.support import model_of, refused


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


@pytest.mark.parametrize(
    ("operator", "constants", "says"),
    [
        ("Conv(x, w)", {"w": ones(4, 5, 1, 1)}, "5, which should be 6"),
        ("Conv<group=4>(x, w)", {"w": ones(4, 1, 1, 1)}, "4, which should be 6"),
        ("Conv<group=3>(x, w)", {"w": ones(4, 2, 1, 1)}, "(0, 1), which should be (0, 0)"),
        ("Conv<group=0>(x, w)", {"w": ones(4, 6, 1, 1)}, "groups 0, which should be 1"),
        ("Conv(x, w, b)", {"w": ones(4, 6, 1, 1), "b": ones(3)}, "a bias of shape (3,), which should be (4,)"),
        ("Conv<kernel_shape=[3,3]>(x, w)", {"w": ones(4, 6, 1, 1)}, "kernel_shape [3, 3], which should be [1, 1]"),
        ("ConvTranspose(x, w)", {"w": ones(4, 6, 1, 1)}, "4, which should be 6"),
        ("ConvTranspose<group=2>(x, w, b)", {"w": ones(6, 2, 1, 1), "b": ones(2)}, "(2,), which should be (4,)"),
        ("InstanceNormalization(x, s, s)", {"s": ones(5)}, "'s' of shape (5,), which should be (6,)"),
        ("Reshape(x, t)", {"t": np.array([5, 5])}, "25, which should be 96"),
    ],
)
def test_maps(operator: str, constants: dict[str, np.ndarray], says: str) -> None:
    model = model_of(f"(float[1,6,4,4] x) => (float[a,b,c,d] y) {{ [odd] y = {operator} }}", **constants)
    with refused("operand-mismatch", says, node="odd"):
        import_model(model)
