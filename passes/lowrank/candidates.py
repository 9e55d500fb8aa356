"""What a layer could become: every scheme at every rank, and what that keeps and costs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hetpart.passes.edit import Array
from hetpart.passes.lowrank.decompose import SCHEMES, Decomposition, Factor, Ranks
from hetpart.passes.lowrank.layers import Layer
from hetpart.passes.lowrank.whiten import Metric, Whitened


@dataclass(frozen=True, eq=False)
class Candidate:
    """A layer split in one way.

    Attributes:
        layer: the layer.
        scheme: one of `hetpart.passes.lowrank.decompose.SCHEMES`.
        ranks: what the scheme keeps.
        factors: the shapes of the factors.
        kept: share of the weight's energy that is left or, where calibrated, of the output's variance.
        parameters: numbers in the factors.
        macs: multiply-adds of the factors.
        split: where the factors come from.
    """

    layer: Layer
    scheme: str
    ranks: Ranks
    factors: tuple[Factor, ...]
    kept: float
    parameters: int
    macs: int
    split: Decomposition | Whitened

    def weights(self) -> list[Array]:
        """The factors, in the dtype of the weight."""
        return self._rounded(self.split)

    def plain_weights(self) -> list[Array]:
        """Those that are nearest to the weight itself, whatever the layer reads."""
        return self._rounded(SCHEMES[self.scheme](self.layer.weight))

    def _rounded(self, split: Decomposition | Whitened) -> list[Array]:
        return [factor.astype(self.layer.weight.dtype) for factor in split.factors(self.ranks)]

    def __str__(self) -> str:
        return f"{self.scheme}, {rank_text(self.ranks, self.full)}"

    @property
    def full(self) -> tuple[int, ...]:
        """The ranks that would lose nothing."""
        return SCHEMES[self.scheme].full(self.layer.shape)


def rank_text(ranks: Ranks, full: tuple[int, ...]) -> str:
    """``rank 32 of 64``, and for several ``ranks 32 of 64 and all of 128``."""
    texts = [f"all of {most}" if rank is None else f"{rank} of {most}" for rank, most in zip(ranks, full, strict=True)]
    return f"rank{'s' if len(texts) > 1 else ''} {' and '.join(texts)}"


def schemes_of(layer: Layer, scheme: str) -> list[str]:
    """The schemes that apply to `layer` among those that the option allows; ``auto`` allows all."""
    allowed = list(SCHEMES) if scheme == "auto" else [scheme]
    return [name for name in allowed if SCHEMES[name].applies(layer.shape)]


def ranks_of(layer: Layer, scheme: str, multiple: int) -> Iterator[Ranks]:
    """All ranks below the full ones that are multiples of `multiple`."""
    full = SCHEMES[scheme].full(layer.shape)
    sides: list[list[int | None]] = [list(range(multiple, most, multiple)) for most in full]
    if len(sides) > 1:  # each side may stay whole, but not all of them
        for side in sides:
            side.append(None)
    return (ranks for ranks in itertools.product(*sides) if any(rank is not None for rank in ranks))


def candidates(layer: Layer, scheme: str, multiple: int, metric: Metric | None) -> list[Candidate]:
    """All of one scheme; with a `metric` they keep the output's variance, not the weight's energy."""
    every = list(ranks_of(layer, scheme, multiple))
    if not every:
        return []
    kind = SCHEMES[scheme]
    split = kind(layer.weight) if metric is None else Whitened(kind, layer.weight, metric)
    found = []
    for ranks in every:
        factors = kind.shapes(layer.shape, ranks)
        found.append(Candidate(layer, scheme, ranks, factors, split.kept(ranks), *work(layer, factors), split))
    return found


def work(layer: Layer, factors: Sequence[Factor]) -> tuple[int, int]:
    """Parameters and multiply-adds of `factors` in the place of `layer`."""
    parameters = macs = 0
    image, after = layer.image
    for factor in factors:
        if factor.axes:
            image = tuple(after[axis] if axis in factor.axes else size for axis, size in enumerate(image))
        count = math.prod(factor.shape)
        parameters += count
        macs += layer.rows * math.prod(image) * count
    return parameters, macs
