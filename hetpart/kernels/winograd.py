"""Winograd's minimal filtering F(m, 3) as both families of kernels use it: matrices, weights, and where it applies.

Points 0, 1, -1 and infinity, for m = 4 also 2 and -2 (Lavin and Gray, https://arxiv.org/abs/1509.09308, section 4).
With Y the outputs of an input patch d under filter g: Y = A' [(G g G') * (B' d B)] A.
"""

from __future__ import annotations

import numpy as np

from hetpart.kernels.spec import ConvSpec

TAPS = 3

OUTPUTS = ((4, 4), (4, 2), (2, 2))
"""m of rows and columns: what is considered."""

_G = {
    2: np.array([[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]]),
    4: np.array(
        [
            [1 / 4, 0, 0],
            [-1 / 6, -1 / 6, -1 / 6],
            [-1 / 6, 1 / 6, -1 / 6],
            [1 / 24, 1 / 12, 1 / 6],
            [1 / 24, -1 / 12, 1 / 6],
            [0, 0, 1],
        ]
    ),
}


def filter_matrix(m: int) -> np.ndarray:
    """G, (m + 2, 3): transforms a filter of three taps."""
    return _G[m]


def transform_weights(w: np.ndarray, outputs: tuple[int, int], channels: int) -> np.ndarray:
    """G g G' of weights (output, input, 3, 3) in float64: (positions, input, `channels`), padded with zeros."""
    rows, columns = (filter_matrix(m) for m in outputs)
    u = np.einsum("ik,ockl,jl->ijco", rows, np.asarray(w, np.float64), columns)
    u = u.reshape(len(rows) * len(columns), w.shape[1], w.shape[0])
    return np.pad(u, ((0, 0), (0, 0), (0, channels - w.shape[0])))


def applies(spec: ConvSpec) -> bool:
    """Whether the transform can do it at all."""
    return (
        spec.x.dtype == "float32"  # the transform multiplies rounding errors, in float16 beyond what is allowed
        and spec.kernel == (TAPS, TAPS)
        and spec.strides == (1, 1)
        and spec.dilations == (1, 1)
        and spec.group == 1
        and spec.x.block == spec.out.block
    )
