"""Convolutions: which way they are computed, and what the direct ways share, which is everything but the sum itself.

Where it is faster, 3x3 filters go through Winograd's transform (`winograd`). Everywhere else a work-item computes a
register tile: named vector sums start at the bias, a contraction adds to them, and the steps follow when they are
stored. The contractions are `direct` (whole channel blocks belong to one group), `depthwise`
(channel k of the output reads channel k of the input) and `grouped` (any other grouping); `direct_image` is `direct`
where the input is an image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from hetpart.errors import InternalError
from hetpart.graph.layout import Image
from hetpart.kernels.kernel import Device, Launch, Packed
from hetpart.kernels.opencl import depthwise, direct, direct_image, grouped, tiles, winograd, winograd_plan
from hetpart.kernels.opencl.blocked import Position, clear_halo
from hetpart.kernels.opencl.conv_parts import convolution_kernel, pack_bias, start_sums, store_sums
from hetpart.kernels.opencl.tiles import Tile
from hetpart.kernels.spec import ConvSpec


class Contraction(Protocol):
    """A module that adds up one kind of convolution."""

    def tile(self, spec: ConvSpec, device: Device) -> Tile:
        """The register tile of one work-item."""

    def x_argument(self, spec: ConvSpec, device: Device) -> str:
        """Declaration of x: vectors of a pixel's whole block, single lanes, or an image."""

    def w_argument(self, spec: ConvSpec, device: Device, tile: Tile) -> str:
        """Declaration of the weights."""

    def contract(self, spec: ConvSpec, device: Device, tile: Tile, at: Position) -> list[str]:
        """Statements that add the products to ``sum<block>_<pixel>``."""

    def pack(self, spec: ConvSpec, device: Device, tile: Tile, w: np.ndarray) -> Packed:
        """The weights in the order in which `contract` reads them."""


def source(spec: ConvSpec, device: Device, symbol: str) -> str:
    if plan := winograd_plan.choose(spec, device):
        return winograd.source(spec, plan, symbol)
    method = _contraction(spec)
    tile = method.tile(spec, device)
    lines, at = tiles.locate(spec.out, tile)
    body = [
        *tiles.grid(spec.out, tile).guard(device),
        *lines,
        "",
        *start_sums(spec, tile, at),
        "",
        *method.contract(spec, device, tile, at),
        "",
        *store_sums(spec, tile, at, symbol),
        *clear_halo(spec.out, at, tile.blocks, tile.rows, tile.columns),
    ]
    kind = "depthwise " if spec.depthwise else ""
    reads = method.x_argument(spec, device), method.w_argument(spec, device, tile)
    return convolution_kernel(spec, tile.describe, f"{kind}convolution", reads, body, symbol)


def launch(spec: ConvSpec, device: Device) -> Launch:
    if plan := winograd_plan.choose(spec, device):
        return winograd.launch(spec, plan)
    return tiles.grid(spec.out, _contraction(spec).tile(spec, device)).launch(device)


def pack(spec: ConvSpec, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[Packed, ...]:
    if plan := winograd_plan.choose(spec, device):
        return winograd.pack(spec, plan, constants)
    method = _contraction(spec)
    weights = method.pack(spec, device, method.tile(spec, device), constants["w"].astype(np.float32))
    return (weights, *pack_bias(spec, constants))


def _contraction(spec: ConvSpec) -> Contraction:
    if spec.x.c % spec.group or spec.out.c % spec.group or (spec.group > 1 and spec.x.block != spec.out.block):
        raise InternalError("kernel-layout", f"cannot convolve {spec.x} to {spec.out} in {spec.group} groups")
    if spec.depthwise:
        return depthwise
    block = spec.out.block
    if spec.group == 1 or not (spec.x.c // spec.group % block or spec.out.c // spec.group % block):
        return direct_image if isinstance(spec.x, Image) else direct
    if any(isinstance(form, Image) for form in (spec.x, spec.out)):
        raise InternalError("kernel-layout", f"groups within channel blocks are read from buffers, not from {spec.x}")
    return grouped
