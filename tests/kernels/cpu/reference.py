"""float64 definitions of what the compute-bound kernels must produce."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hetpart.graph.evaluate import apply_steps
from hetpart.kernels.spec import ConvSpec, DenseSpec, MatmulSpec

TOLERANCE = 2e-6
"""Relative L2 error of a float32 kernel: sums of up to some thousand products."""


def convolution(spec: ConvSpec, inputs: Sequence[np.ndarray], constants: Mapping[str, np.ndarray]) -> np.ndarray:
    """The result of `spec` on logical arrays, by one matrix product per group over all windows."""
    x, *operands = (array.astype(np.float64) for array in inputs)
    w = constants["w"].astype(np.float64)
    out = spec.out
    reach = [
        (s - 1) * t + (k - 1) * d + 1
        for s, t, k, d in zip((out.h, out.w), spec.strides, spec.kernel, spec.dilations, strict=True)
    ]
    margin = [max(0, r - p - size) for r, p, size in zip(reach, spec.pads[:2], (spec.x.h, spec.x.w), strict=True)]
    x = np.pad(x, ((0, 0), (0, 0), (spec.pads[0], margin[0]), (spec.pads[1], margin[1])))
    taps = np.stack(
        [
            x[:, :, kh * spec.dilations[0] :: spec.strides[0], kw * spec.dilations[1] :: spec.strides[1]][
                :, :, : out.h, : out.w
            ]
            for kh in range(spec.kernel[0])
            for kw in range(spec.kernel[1])
        ],
        axis=2,
    )  # n, c, taps, h, w
    taps = taps.reshape(out.n, spec.group, -1, out.h * out.w)
    result = (w.reshape(spec.group, out.c // spec.group, -1) @ taps).reshape(out.shape)
    if spec.bias:
        result = result + constants["b"].astype(np.float64)[:, None, None]
    return apply_steps(result, spec.steps, operands)


def dense(spec: DenseSpec, inputs: Sequence[np.ndarray], constants: Mapping[str, np.ndarray]) -> np.ndarray:
    x, *operands = (array.astype(np.float64) for array in inputs)
    result = x.reshape(spec.m, spec.k) @ constants["w"].astype(np.float64)
    if spec.bias:
        result = result + constants["b"].astype(np.float64)
    return apply_steps(result.reshape(spec.out.shape), spec.steps, operands)


def matmul(spec: MatmulSpec, inputs: Sequence[np.ndarray]) -> np.ndarray:
    a, b, *operands = (array.astype(np.float64) for array in inputs)
    return apply_steps(np.asarray(a @ b).reshape(spec.out.shape), spec.steps, operands)
