"""Ways to split a weight [outputs, inputs, *kernel] into factors that follow each other.

``svd``      products and 1 x 1 convolutions: inputs -> rank -> outputs. The best there is at its rank.
``tucker``   k x k convolutions (Tucker-2, [Kim 2016]): 1 x 1 to fewer inputs, k x k to fewer outputs, 1 x 1 to all
             outputs; either 1 x 1 is left out where its side stays whole. Bases by HOSVD, bettered by HOOI.
``spatial``  k x k convolutions ([Jaderberg 2014]): k x 1 to rank maps, then 1 x k.

All arithmetic is in float64. Bases are eigenvectors of Gram matrices of the smaller side: their eigenvalues are the
squared singular values, that is the energy of each rank.

[Kim 2016] Y.-D. Kim et al., Compression of Deep Convolutional Neural Networks for Fast and Low Power Mobile
Applications, ICLR 2016. [Jaderberg 2014] M. Jaderberg et al., Speeding up Convolutional Neural Networks with Low Rank
Expansions, BMVC 2014.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hetpart.passes.edit import Array

HOOI_ROUNDS = 3
"""Rounds of higher-order orthogonal iteration. The third changes the error of a flat spectrum by a thousandth."""


@dataclass(frozen=True)
class Factor:
    """The shape of one factor: [outputs, inputs, *kernel], and the axes of the image along which it works.

    On these axes it has the stride, the padding and the dilation of the layer, on the others none.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...] = ()


Ranks = tuple[int | None, ...]
"""What a scheme keeps: one rank, or for tucker those of inputs and outputs, None where that side is not split."""


class Decomposition(Protocol):
    """A weight, ready to be split at any ranks."""

    @staticmethod
    def applies(shape: Sequence[int]) -> bool:
        """Whether weights of this shape can be split so."""

    @staticmethod
    def full(shape: Sequence[int]) -> tuple[int, ...]:
        """The ranks that lose nothing."""

    @staticmethod
    def shapes(shape: Sequence[int], ranks: Ranks) -> tuple[Factor, ...]:
        """The factors that a weight of this shape has at `ranks`, in the order of execution."""

    def __init__(self, weight: Array) -> None: ...

    def kept(self, ranks: Ranks) -> float:
        """Share of the weight's energy (its squared Frobenius norm) that is left at `ranks`, in [0, 1]; before HOOI."""

    def factors(self, ranks: Ranks) -> list[Array]:
        """The factors, shaped as `shapes` says."""


class Svd:
    """``weight = second @ first``."""

    def __init__(self, weight: Array) -> None:
        self._split = _Split(weight.reshape(weight.shape[:2]).T)
        self._kernel = (1,) * (weight.ndim - 2)

    @staticmethod
    def applies(shape: Sequence[int]) -> bool:
        return math.prod(shape[2:]) == 1

    @staticmethod
    def full(shape: Sequence[int]) -> tuple[int, ...]:
        return (min(shape[:2]),)

    @staticmethod
    def shapes(shape: Sequence[int], ranks: Ranks) -> tuple[Factor, ...]:
        (rank,), kernel = _numbers(ranks), (1,) * (len(shape) - 2)
        image = tuple(range(len(kernel)))
        return Factor((rank, shape[1], *kernel), image), Factor((shape[0], rank, *kernel))

    def kept(self, ranks: Ranks) -> float:
        return self._split.kept(_numbers(ranks)[0])

    def factors(self, ranks: Ranks) -> list[Array]:
        left, right = self._split.at(_numbers(ranks)[0])
        return [left.T.reshape(*left.T.shape, *self._kernel), right.T.reshape(*right.T.shape, *self._kernel)]


class Spatial:
    """``weight[o, i, y, x] = sum over r of second[o, r, 0, x] * first[r, i, y, 0]``."""

    def __init__(self, weight: Array) -> None:
        self._shape = weight.shape
        outputs, inputs, height, width = weight.shape
        self._split = _Split(weight.transpose(1, 2, 0, 3).reshape(inputs * height, outputs * width))

    @staticmethod
    def applies(shape: Sequence[int]) -> bool:
        return len(shape) == 4 and min(shape[2:]) > 1

    @staticmethod
    def full(shape: Sequence[int]) -> tuple[int, ...]:
        return (min(shape[1] * shape[2], shape[0] * shape[3]),)

    @staticmethod
    def shapes(shape: Sequence[int], ranks: Ranks) -> tuple[Factor, ...]:
        (rank,), (outputs, inputs, height, width) = _numbers(ranks), shape
        return Factor((rank, inputs, height, 1), (0,)), Factor((outputs, rank, 1, width), (1,))

    def kept(self, ranks: Ranks) -> float:
        return self._split.kept(_numbers(ranks)[0])

    def factors(self, ranks: Ranks) -> list[Array]:
        outputs, inputs, height, width = self._shape
        left, right = self._split.at(_numbers(ranks)[0])
        first = left.T.reshape(-1, inputs, height, 1)
        return [first, right.reshape(-1, outputs, 1, width).swapaxes(0, 1)]


class Tucker:
    """``weight[o, i, ...] = sum over p, q of last[o, p] * core[p, q, ...] * first[q, i]``."""

    def __init__(self, weight: Array) -> None:
        self._weight = weight
        outputs, inputs = (_unfold(weight.astype(np.float64), axis) for axis in (0, 1))
        self._outputs, self._inputs = _principal(outputs @ outputs.T)[1], _principal(inputs @ inputs.T)[1]
        core = _project(_project(weight, 0, self._outputs), 1, self._inputs)
        energy = np.square(core).sum(axis=tuple(range(2, core.ndim))).cumsum(axis=0).cumsum(axis=1)
        self.energy: Array = energy / energy[-1, -1]
        """[p, q]: share of energy with p + 1 outputs and q + 1 inputs."""

    @staticmethod
    def applies(shape: Sequence[int]) -> bool:
        return math.prod(shape[2:]) > 1

    @staticmethod
    def full(shape: Sequence[int]) -> tuple[int, ...]:
        return shape[1], shape[0]

    @staticmethod
    def shapes(shape: Sequence[int], ranks: Ranks) -> tuple[Factor, ...]:
        (outputs, inputs, *kernel), (fewer_in, fewer_out) = shape, ranks
        image, point = tuple(range(len(kernel))), (1,) * len(kernel)
        core = (outputs if fewer_out is None else fewer_out, inputs if fewer_in is None else fewer_in, *kernel)
        first = [] if fewer_in is None else [Factor((fewer_in, inputs, *point))]
        last = [] if fewer_out is None else [Factor((outputs, fewer_out, *point))]
        return *first, Factor(core, image), *last

    def kept(self, ranks: Ranks) -> float:
        inputs, outputs = ranks
        return float(self.energy[-1 if outputs is None else outputs - 1, -1 if inputs is None else inputs - 1])

    def factors(self, ranks: Ranks) -> list[Array]:
        fewer_in, fewer_out = ranks
        weight = self._weight.astype(np.float64)
        first = None if fewer_in is None else self._inputs[:, :fewer_in]
        last = None if fewer_out is None else self._outputs[:, :fewer_out]
        # one whole side leaves nothing to better
        if first is not None and last is not None and last.shape[1] < len(last) and first.shape[1] < len(first):
            for _ in range(HOOI_ROUNDS):
                last = _leading(_project(weight, 1, first), 0, last.shape[1])
                first = _leading(_project(weight, 0, last), 1, first.shape[1])
        core = weight if first is None else _project(weight, 1, first)
        core = core if last is None else _project(core, 0, last)
        point = (1,) * (weight.ndim - 2)
        before = [] if first is None else [first.T.reshape(*first.T.shape, *point)]
        return [*before, core, *([] if last is None else [last.reshape(*last.shape, *point)])]


SCHEMES: dict[str, type[Decomposition]] = {"svd": Svd, "tucker": Tucker, "spatial": Spatial}


class _Split:
    """``matrix = left @ right`` [n, r] and [r, m], both with singular vectors scaled by the root of their value."""

    def __init__(self, matrix: Array) -> None:
        self._matrix = matrix
        self._wide = matrix.shape[0] <= matrix.shape[1]
        wide = (matrix if self._wide else matrix.T).astype(np.float64)
        self._energies, self._vectors = _principal(wide @ wide.T)
        self._kept = self._energies.cumsum() / self._energies.sum()

    def kept(self, rank: int) -> float:
        return float(self._kept[rank - 1])

    def at(self, rank: int) -> tuple[Array, Array]:
        wide = (self._matrix if self._wide else self._matrix.T).astype(np.float64)
        vectors = self._vectors[:, :rank]
        # a factor of few and one of large numbers would be worse in float16
        size = np.maximum(self._energies[:rank], 1e-12 * self._energies[0]) ** 0.25
        left, right = vectors * size, (vectors / size).T @ wide
        return (left, right) if self._wide else (right.T, left.T)


def _numbers(ranks: Ranks) -> tuple[int, ...]:
    return tuple(rank for rank in ranks if rank is not None)


def _unfold(tensor: Array, axis: int) -> Array:
    result: Array = np.moveaxis(tensor, axis, 0).reshape(tensor.shape[axis], -1)
    return result


def _project(tensor: Array, axis: int, basis: Array) -> Array:
    """`tensor` in the coordinates of `basis` [n, r] along `axis`."""
    result: Array = np.moveaxis(np.tensordot(basis, tensor, (0, axis)), 0, axis)
    return result


def _leading(tensor: Array, axis: int, rank: int) -> Array:
    """The `rank` leading left singular vectors of the unfolding along `axis`."""
    rows = _unfold(tensor, axis)
    return _principal(rows @ rows.T)[1][:, :rank]


def _principal(gram: Array) -> tuple[Array, Array]:
    """Eigenvalues, descending and never negative, and the eigenvectors as columns."""
    values, vectors = np.linalg.eigh(gram)
    return np.maximum(values[::-1], 0.0), vectors[:, ::-1]
