"""Fits laws of single convolutions on an Adreno 640 to 2,947 measured ones.

    python -m benchmarks.phones.convolutions

``rounds`` is hetpart's: a compute unit holds so many waves at once (registers decide how many), so that the waves come
in rounds. Per tap of the filter and block of 4 input channels, a round takes a latency that it cannot hide and
each wave its issue time:

    T = launch + taps * blocks * (ceil(waves / resident) * latency + waves * issue)

``codl`` is CoDL's (Jia et al., MobiSys 2022, section 5): ``waves * blocks * t``, t being linear in the shape, a fit per
size of filter. ``macs`` is a launch and multiply-adds, in whole tiles, at one speed. The shares within 10 % are of
shapes that the fit has not seen: five-fold, all convolutions of a shape in one fold.
"""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.phones.waves import codl_waves, row_block, waves

DATA = Path(__file__).parent / "data" / "conv2d_adreno640.csv"
PATH = Path(__file__).with_name("convolutions.json")
FOLDS = 5
RESIDENT = range(6, 25)
"""The numbers of resident waves that are tried."""

Parameters = dict[str, list[float]]
"""Per kernel or size of filter; `rounds`: resident waves, launch in us, latency and issue in ns."""


@dataclass(frozen=True)
class Convolution:
    """A measured convolution, stride unknown; blocks are of 4 channels, and of 4 or 5 pixels of a row.

    Attributes:
        size: blocks of output channels, blocks of pixels, rows.
        in_blocks: blocks of input channels.
        kernel: height and width of the filter.
        sure: whether the shape alone tells the kernel; else the time helped.
        latency_ms: measured.
    """

    size: tuple[int, int, int]
    in_blocks: int
    kernel: int
    sure: bool
    latency_ms: float

    @property
    def fold(self) -> int:
        return zlib.crc32(repr((self.size, self.in_blocks, self.kernel)).encode()) % FOLDS

    @property
    def chosen_by_codl(self) -> bool:
        """CoDL's selection (codl-lat-predict/ka_fit.py), but for the spread of the timings, which is not published."""
        if self.kernel == 3 and min(self.in_blocks, self.size[0]) <= 16:
            return False
        return self.latency_ms > (4 if self.kernel == 7 else 1)


def read_convolutions() -> list[Convolution]:
    with DATA.open(encoding="utf-8") as file:
        return [
            Convolution(
                (int(row["out_blocks"]), int(row["width_blocks"]), int(row["height"])), int(row["in_blocks"]),
                int(row["kernel"]), row["kernel_from"] == "shape", float(row["latency_ms"]),
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip


def _least(design: np.ndarray, ms: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients of the least sum of absolute relative errors, by reweighted least squares, and that sum."""
    design = design / ms[:, None]
    weight = np.ones(len(ms))
    for _ in range(20):
        found = np.linalg.lstsq(design * weight[:, None], weight, rcond=None)[0]
        error = np.abs(design @ found - 1)
        weight = 1 / np.sqrt(np.maximum(error, 0.02))
    return found, float(error.sum())


def _rounds_design(group: Sequence[Convolution], resident: float) -> np.ndarray:
    """In ms per microsecond of launch, nanosecond of latency, nanosecond of issue time."""
    count = np.array([waves(c.size, c.kernel) for c in group], float)
    steps = np.array([c.kernel**2 * c.in_blocks for c in group], float)
    return np.stack([np.full(len(group), 1e-3), 1e-6 * steps * np.ceil(count / resident), 1e-6 * steps * count], 1)


def _fit_rounds(group: Sequence[Convolution]) -> list[float]:
    ms = np.array([c.latency_ms for c in group])
    tried = [(_least(_rounds_design(group, n), ms), n) for n in RESIDENT]
    (found, _), resident = min(tried, key=lambda fit: fit[0][1])
    return [float(resident), *found.tolist()]


def _codl_design(group: Sequence[Convolution]) -> np.ndarray:
    count = np.array([codl_waves(c.size, c.kernel) * c.in_blocks for c in group], float)
    design: np.ndarray = np.array([(1, *c.size, c.in_blocks) for c in group], float) * count[:, None]
    return design


def _fit_codl_as_published(group: Sequence[Convolution]) -> list[float]:
    """Least squares on the time per wave and block, as CoDL fits it."""
    design, ms = _codl_design(group), np.array([c.latency_ms for c in group])
    per_wave = design[:, 0]
    found: list[float] = np.linalg.lstsq(design / per_wave[:, None], ms / per_wave, rcond=None)[0].tolist()
    return found


def _macs_design(group: Sequence[Convolution]) -> np.ndarray:
    macs = [np.prod(c.size) * row_block(c.kernel) * 16.0 * c.kernel**2 * c.in_blocks for c in group]
    return np.stack([np.ones(len(group)), np.array(macs) / 1e9], 1)


@dataclass(frozen=True)
class Law:
    """A form: which convolutions share parameters, how to fit those, how to predict milliseconds."""

    key: Callable[[Convolution], str]
    fit: Callable[[Sequence[Convolution]], list[float]]
    predict: Callable[[Sequence[Convolution], list[float]], np.ndarray]


def _kernel_name(c: Convolution) -> str:
    return f"{c.kernel}x{c.kernel}" if c.kernel in (1, 3) else "general"


def _linear(design: Callable[[Sequence[Convolution]], np.ndarray]) -> Callable[..., np.ndarray]:
    return lambda group, parameters: design(group) @ np.array(parameters)


def _fit_linear(design: Callable[[Sequence[Convolution]], np.ndarray]) -> Callable[..., list[float]]:
    return lambda group: _least(design(group), np.array([c.latency_ms for c in group]))[0].tolist()


LAWS = {
    "macs": Law(_kernel_name, _fit_linear(_macs_design), _linear(_macs_design)),
    "codl as published": Law(lambda c: str(c.kernel), _fit_codl_as_published, _linear(_codl_design)),
    "codl": Law(lambda c: str(c.kernel), _fit_linear(_codl_design), _linear(_codl_design)),
    "rounds": Law(_kernel_name, _fit_rounds, lambda group, p: _rounds_design(group, p[0]) @ np.array(p[1:])),
}


def fit(law: Law, convolutions: Sequence[Convolution]) -> Parameters:
    groups: dict[str, list[Convolution]] = {}
    for c in convolutions:
        groups.setdefault(law.key(c), []).append(c)
    return {name: law.fit(group) for name, group in sorted(groups.items())}


def predict(law: Law, convolutions: Sequence[Convolution], parameters: Parameters) -> np.ndarray:
    """Milliseconds."""
    keys = np.array([law.key(c) for c in convolutions])
    found = np.empty(len(keys))
    for name in np.unique(keys):
        at = np.flatnonzero(keys == name).tolist()
        found[at] = law.predict([convolutions[i] for i in at], parameters[str(name)])
    return found


def held_out(law: Law, convolutions: Sequence[Convolution]) -> np.ndarray:
    """Milliseconds of every convolution, predicted from the other folds."""
    found = np.empty(len(convolutions))
    for fold in range(FOLDS):
        rest = [c for c in convolutions if c.fold != fold]
        at = [i for i, c in enumerate(convolutions) if c.fold == fold]
        found[at] = predict(law, [convolutions[i] for i in at], fit(law, rest))
    return found


def within(convolutions: Sequence[Convolution], predicted: np.ndarray) -> float:
    """The share of predictions within 10 % of what was measured."""
    measured = np.array([c.latency_ms for c in convolutions])
    return float(np.mean(np.abs(predicted / measured - 1) <= 0.1))


def agreement(convolutions: Sequence[Convolution]) -> float:
    """The share of repeated convolutions within 10 % of the median of their shape: about what a law could reach."""
    repeated: dict[object, list[Convolution]] = {}
    for c in convolutions:
        repeated.setdefault((c.size, c.in_blocks, c.kernel), []).append(c)
    found = [group for group in repeated.values() if len(group) > 1]
    median = [np.full(len(group), np.median([c.latency_ms for c in group])) for group in found]
    return within([c for group in found for c in group], np.concatenate(median))


def shares(law: Law, everything: Sequence[Convolution]) -> dict[str, float]:
    """Shares within 10 %, held out and not, of all, of those with a sure kernel, of the sizes, and of CoDL's choice."""
    predicted = held_out(law, everything)
    chosen = [c for c in everything if c.chosen_by_codl]
    found = {"all": within(everything, predicted)}
    found["all, in the fit"] = within(everything, predict(law, everything, fit(law, everything)))
    parts: dict[str, Callable[[Convolution], bool]] = {
        "sure": lambda c: c.sure,
        "over 1 ms": lambda c: c.latency_ms > 1,
    }
    parts |= {f"{k} x {k}": lambda c, k=k: c.kernel == k for k in (1, 3, 7, 9)}  # type: ignore[misc]  # a default binds
    for name, part in parts.items():
        at = [i for i, c in enumerate(everything) if part(c)]
        found[name] = within([everything[i] for i in at], predicted[at])
    found["codl's choice"] = within(chosen, held_out(law, chosen))
    return {name: round(share, 4) for name, share in found.items()}


def main() -> None:
    everything = read_convolutions()
    found = {}
    for name, law in LAWS.items():
        rounded = {key: [float(f"{p:.6g}") for p in values] for key, values in fit(law, everything).items()}
        found[name] = {"parameters": rounded, "shares": shares(law, everything)}
        print(f"{name:18}", found[name]["shares"])
    PATH.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
