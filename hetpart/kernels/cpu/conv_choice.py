"""How a convolution is computed: a choice that was measured for its shape, else one that is estimated.

Choices are written as JSON arrays: ``["direct", vectors, rows, columns, channels_outer, band, chunk, prefetch]`` or
``["winograd", rows, columns, band, group]``; see `Direct` and `Winograd`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hetpart.errors import HetpartError
from hetpart.kernels import winograd
from hetpart.kernels.cpu import conv_plan, tuned, winograd_plan
from hetpart.kernels.cpu.conv_plan import ConvPlan, Direct
from hetpart.kernels.cpu.tiles import TileShape
from hetpart.kernels.cpu.winograd_plan import Winograd, WinogradPlan
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ConvSpec

Choice = Direct | Winograd


def choose(spec: ConvSpec, isa: Isa) -> Choice:
    """The measured choice, else the estimated one.

    Raises:
        HetpartError: ``bad-table`` if the measured one is none for this shape.
    """
    if _forced:
        return _forced[-1]
    if (entry := tuned.lookup(shape_key(spec), isa)) is None:
        return estimate(spec, isa)
    try:
        choice = decode(entry)
    except (TypeError, ValueError):
        choice = None
    if choice is None or not _suits(choice, spec):
        raise HetpartError(
            "bad-table", f"{entry} is no way to compute {shape_key(spec)}", hint=f"delete {tuned.user_file(isa)}"
        )
    return choice


_forced: list[Choice] = []


@contextmanager
def forced(choice: Choice) -> Iterator[None]:
    """Inside, `choice` is taken whatever the shape: for tuning, which generates kernels in order to measure them."""
    _forced.append(choice)
    try:
        yield
    finally:
        _forced.pop()


def measured_tag(spec: ConvSpec, isa: Isa) -> str:
    """Tells kernels of one spec apart that were made by different measured choices; empty without one."""
    entry = tuned.lookup(shape_key(spec), isa)
    return "" if entry is None else "-" + hashlib.sha256(repr(entry).encode()).hexdigest()[:8]


def _suits(choice: Choice, spec: ConvSpec) -> bool:
    if isinstance(choice, Winograd):
        return (
            winograd.applies(spec)
            and choice.outputs in winograd.OUTPUTS
            and choice.band > 0
            and choice.group > 0
            and spec.out.blocks % choice.group == 0
        )
    return min(choice.tile.vectors, choice.tile.rows, choice.tile.columns, choice.band, choice.chunk) > 0


def estimate(spec: ConvSpec, isa: Isa) -> Choice:
    return winograd_plan.estimate(spec, isa) or conv_plan.estimate(spec, isa)


def plan(spec: ConvSpec, isa: Isa) -> ConvPlan | WinogradPlan:
    """What follows from the choice."""
    choice = choose(spec, isa)
    return WinogradPlan.of(spec, isa, choice) if isinstance(choice, Winograd) else ConvPlan.of(spec, choice)


def shape_key(spec: ConvSpec) -> str:
    """What measured choices are filed under: all that tiles and loop order depend on."""
    x, out = spec.x, spec.out
    padded = "flat" if conv_plan.flattened(spec) is not spec else "rows"
    window = "x".join(map(str, (*spec.kernel, *spec.strides, *spec.dilations)))
    halo = f"{x.columns}x{x.rows}" if padded == "rows" else "0"
    return (
        f"{x.n}x{x.c}x{x.h}x{x.w}/{x.block}+{halo} {out.c}x{out.h}x{out.w}/{out.block} {window} g{spec.group} "
        f"{padded} r{len(spec.operands)}{'' if x.dtype == 'float32' else ' ' + x.dtype}"
    )


def encode(choice: Choice) -> list[Any]:
    if isinstance(choice, Winograd):
        return ["winograd", *choice.outputs, choice.band, choice.group]
    tile = choice.tile
    return [
        "direct", tile.vectors, tile.rows, tile.columns, choice.channels_outer, choice.band, choice.chunk,
        choice.prefetch,
    ]  # fmt: skip


def decode(entry: Sequence[Any]) -> Choice:
    kind, *values = entry
    if kind == "winograd":
        rows, columns, band, group = values
        return Winograd((rows, columns), band, group)
    vectors, rows, columns, channels_outer, band, chunk, prefetch = values
    return Direct(TileShape(vectors, rows, columns), channels_outer, band, chunk, prefetch)
