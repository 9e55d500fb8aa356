"""Channels of maps in another order: each vector of the output picks lanes of the vectors that hold its channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hetpart.kernels.channels import Pattern, Run, check, runs
from hetpart.kernels.kernel import Device, Launch
from hetpart.kernels.opencl import maps
from hetpart.kernels.opencl.blocked import Position, argument, describe, load, store
from hetpart.kernels.opencl.text import indent, vector
from hetpart.kernels.spec import ChannelsSpec


def source(spec: ChannelsSpec, device: Device, symbol: str) -> str:
    check(spec)

    def compute(at: Position) -> list[str]:
        found = runs(spec)
        branches = [(f"{at.block} < {run.first + run.count}", _run(spec, run, at)) for run in found]
        return _choose(branches)

    names = [f"x{number}" for number in range(len(spec.xs))]
    comment = [
        f"{symbol}: channels of {', '.join(names)} in another order.",
        *(f"{name} {describe(x)}." for name, x in zip(names, spec.xs, strict=True)),
        f"out {describe(spec.out)}.",
    ]
    reads = [argument(name, x) for name, x in zip(names, spec.xs, strict=True)]
    return maps.source(symbol, comment, [*reads, argument("out", spec.out, written=True)], spec.out, device, compute)


def launch(spec: ChannelsSpec, device: Device) -> Launch:
    return maps.launch(spec.out, device)


def pack(spec: ChannelsSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    return ()


def _choose(branches: list[tuple[str, list[str]]]) -> list[str]:
    """The first branch whose condition holds; the last without asking."""
    if len(branches) == 1:
        return branches[0][1]
    lines = []
    for number, (condition, body) in enumerate(branches):
        head = f"if ({condition}) {{" if number == 0 else f"}} else if ({condition}) {{"
        lines += [head if number < len(branches) - 1 else "} else {", *indent(body)]
    return [*lines, "}"]


def _run(spec: ChannelsSpec, run: Run, at: Position) -> list[str]:
    """Statements for the blocks of `run`."""
    if run.count == 1:
        return _pattern(spec, run.patterns[0], at, "")
    period = len(run.patterns)
    number = f"({at.block} - {run.first})" if run.first else at.block
    turn = number if period == 1 else f"{number} / {period}"
    shift = turn if run.advance == 1 else f"{turn} * {run.advance}"
    branches = [
        (f"{number} % {period} == {index}", _pattern(spec, pattern, at, "shift"))
        for index, pattern in enumerate(run.patterns)
    ]
    return [f"const int shift = {shift};", *_choose(branches)]


def _pattern(spec: ChannelsSpec, pattern: Pattern, at: Position, shift: str) -> list[str]:
    """Statements that store one vector; its sources are `shift` blocks further on."""
    sources = list(dict.fromkeys(lane[:2] for lane in pattern if lane is not None))
    lines = []
    for index, (number, block) in enumerate(sources):
        x = spec.xs[number]
        place = f"({block} + {shift})" if shift and block else shift or str(block)
        value = load(f"x{number}", x, replace(at, block=place))
        lines.append(f"const {vector(x.block)} v{index} = {value};")
    lanes = []
    for lane in pattern:
        if lane is None:
            lanes.append("0.0f")
        else:
            name = f"v{sources.index(lane[:2])}"
            lanes.append(name if spec.xs[lane[0]].block == 1 else f"{name}.s{lane[2]:x}")
    width = spec.out.block
    return [*lines, store("out", spec.out, at, lanes[0] if width == 1 else f"({vector(width)})({', '.join(lanes)})")]
