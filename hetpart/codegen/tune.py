"""Finds the fastest choice for a convolution's shape by measuring it here, on one core.

The search starts from the estimated choice and varies one thing at a time: the transform, the register tile, the loop
order, the band, the chunk, the prefetch. The contestants of a round run in turn; before each run the L2 cache is filled
with other bytes and the input is read again, because in a network the weights are cold and the input was just made.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from hetpart.graph.layout import pack
from hetpart.kernels import winograd
from hetpart.kernels.cpu import conv_choice, conv_plan, winograd_plan
from hetpart.kernels.cpu.build import aligned, load
from hetpart.kernels.cpu.conv_choice import Choice
from hetpart.kernels.cpu.conv_plan import ConvPlan, Direct
from hetpart.kernels.cpu.winograd_plan import Winograd
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ConvSpec

GAIN = 0.97
"""A choice replaces another if it takes at most this share of its time: less is noise."""

SHARED_PARTS = 8
"""Parts that a layer is still cut into, if the estimated choice does so: four cores can share them."""

_TILES = 5
"""Register tiles that are tried: the best by estimate."""


@dataclass(frozen=True)
class Tuned:
    """What tuning one shape found: the choice, and its time beside the estimated choice's, measured in one round."""

    choice: Choice
    time_us: float
    estimated_us: float


def tune(spec: ConvSpec, isa: Isa, *, rounds: int = 9) -> Tuned:
    """Searches for the fastest choice for `spec` on the calling thread's core."""
    bench = _Bench(spec, isa, rounds)
    start = conv_choice.estimate(spec, isa)
    best = start
    least = min(SHARED_PARTS, bench.parts(start))
    for variants in _stages(spec, isa):
        best = bench.fastest(best, [rival for rival in variants(best) if bench.parts(rival) >= least])
    times = bench.times([start, best])
    if times[best] > GAIN * times[start]:
        best = start
    return Tuned(best, times[best], times[start])


def _stages(spec: ConvSpec, isa: Isa) -> list[Callable[[Choice], Iterable[Choice]]]:
    """The rounds, each a function from the best choice so far to its rivals."""

    def other_kinds(_: Choice) -> Iterator[Choice]:
        yield conv_plan.estimate(spec, isa)
        if winograd.applies(spec):
            yield from (winograd_plan.sized(spec, isa, outputs) for outputs in winograd.OUTPUTS)

    def tiles(best: Choice) -> Iterator[Choice]:
        if isinstance(best, Direct):
            for loads in (2, 4):
                for tile in conv_plan.ranked_tiles(spec, isa, loads)[:_TILES]:
                    yield conv_plan.estimate(spec, isa, tile)

    def orders(best: Choice) -> Iterator[Choice]:
        if isinstance(best, Direct):
            yield conv_plan.estimate(spec, isa, best.tile, not best.channels_outer)
            yield replace(best, prefetch=0 if best.prefetch else conv_plan.AHEAD)

    def sizes(best: Choice) -> Iterator[Choice]:
        for band in (best.band // 2, best.band * 2):
            if band:
                yield replace(best, band=band)
        if isinstance(best, Winograd):
            if best.group % 2 == 0:
                yield replace(best, group=best.group // 2)
        elif best.channels_outer:
            full = max(1, ConvPlan.of(spec, best).reduction.full)
            yield from (replace(best, chunk=chunk) for chunk in {best.chunk // 2, best.chunk * 2, full} if chunk)

    return [other_kinds, tiles, orders, sizes]


class _Bench:
    """Compiles and times choices for one spec on random data."""

    def __init__(self, spec: ConvSpec, isa: Isa, rounds: int) -> None:
        self.spec, self.isa, self.rounds = spec, isa, rounds
        random = np.random.default_rng(0)

        def data(*shape: int) -> np.ndarray:
            return random.standard_normal(shape, np.float32)

        self.inputs = [_aligned(pack(data(*layout.shape), layout)) for layout in (spec.x, *spec.operands)]
        self.constants = {"w": data(spec.out.c, spec.x.c // spec.group, *spec.kernel)}
        if spec.bias:
            self.constants["b"] = data(spec.out.c)
        self.output = aligned(spec.out.physical_shape)
        self.other = np.zeros(max(4 * isa.l2_bytes, 8 << 20) // 4, np.float32)
        self.runs: dict[Choice, Callable[[], None]] = {}

    def parts(self, choice: Choice) -> int:
        """Parts of the work that cores can take one by one."""
        from hetpart.kernels.cpu import conv

        with conv_choice.forced(choice):
            return conv.extent(self.spec, self.isa)

    def fastest(self, best: Choice, rivals: Iterable[Choice]) -> Choice:
        choices = list(dict.fromkeys([best, *rivals]))
        if len(choices) == 1:
            return best
        times = self.times(choices)
        winner = min(choices, key=lambda choice: times[choice])
        return winner if times[winner] <= GAIN * times[best] else best

    def times(self, choices: list[Choice]) -> dict[Choice, float]:
        """Median microseconds of each, measured in turn."""
        found: dict[Choice, list[float]] = {choice: [] for choice in choices}
        for _ in range(self.rounds):
            for choice in found:
                run = self._run(choice)
                self.other.sum()
                self.inputs[0].sum()
                start = time.perf_counter()
                run()
                found[choice].append(1e6 * (time.perf_counter() - start))
        return {choice: statistics.median(values) for choice, values in found.items()}

    def _run(self, choice: Choice) -> Callable[[], None]:
        if choice not in self.runs:
            from hetpart.kernels.cpu import conv

            spec, isa = self.spec, self.isa
            with conv_choice.forced(choice):
                kernel = load([conv.prim_func(spec, isa, "kernel")], isa)["kernel"]
                packed = [_aligned(array) for array in conv.pack(spec, isa, self.constants)]
                extent = conv.extent(spec, isa)
            self.runs[choice] = lambda: kernel(*self.inputs, *packed, self.output, 0, extent)
            self.runs[choice]()
        return self.runs[choice]


def _aligned(array: np.ndarray) -> np.ndarray:
    copy = aligned(array.shape)
    copy[...] = array
    return copy
