"""Runs one CPU kernel on hostile memory and checks the layout contract on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from hetpart.graph.layout import Blocked, Layout, Strided, pack, unpack
from hetpart.kernels.cpu import generator
from hetpart.kernels.cpu.build import ALIGNMENT, aligned, host_isa, load
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import Spec

GUARD = 2 * ALIGNMENT  # bytes
RunKernel = Callable[..., list[np.ndarray]]


@pytest.fixture(scope="session")
def isa() -> Isa:
    return host_isa()


@pytest.fixture(scope="session")
def run_kernel(isa: Isa) -> RunKernel:
    """``run_kernel(spec, inputs, constants={}, keep=None, dirty_halo=True)`` -> logical outputs.

    Spare lanes, what a strided input does not reach, and (unless the kernel may read it) the halo of the inputs hold
    NaN, or odd integers; the outputs are dirty and lie between guard bytes. The kernel runs once as a whole and once in
    three ranges, last first; both must give the same bytes, halos as their layouts say, and leave the guards alone.
    With `keep` the output holds that logical array before the call (for kernels that write a part of it).
    """

    def run(
        spec: Spec,
        inputs: Sequence[np.ndarray],
        constants: Mapping[str, np.ndarray] | None = None,
        keep: np.ndarray | None = None,
        dirty_halo: bool = True,
    ) -> list[np.ndarray]:
        module = generator(spec)
        kernel = load([module.prim_func(spec, isa, "kernel")], isa)["kernel"]
        layouts = [*spec.inputs, *getattr(spec, "operands", ())]
        sources = [_stored(array, layout, dirty_halo) for array, layout in zip(inputs, layouts, strict=True)]
        packed = [_copy(array) for array in module.pack(spec, isa, constants or {})]
        extent = module.extent(spec, isa)
        third = extent // 3
        results = []
        for ranges in ([(0, extent)], [(2 * third, extent), (third, 2 * third), (0, third)]):
            outs = [_dirty(layout, keep) for layout in spec.outputs]
            for lo, hi in ranges:
                kernel(*sources, *packed, *(inner for _, inner in outs), lo, hi)
            for layout, (raw, inner) in zip(spec.outputs, outs, strict=True):
                assert (raw[:GUARD] == 0xA5).all(), "written before out"
                assert (raw[-GUARD:] == 0xA5).all(), "written behind out"
                if isinstance(layout, Blocked) and keep is None:
                    assert_filled_halo(inner, layout)
            results.append([unpack(inner, layout) for layout, (_, inner) in zip(spec.outputs, outs, strict=True)])
        for whole, split in zip(*results, strict=True):
            np.testing.assert_array_equal(whole, split)
        return results[0]

    return run


def assert_filled_halo(stored: np.ndarray, layout: Blocked) -> None:
    assert (stored[:, :, _outside(layout)] == layout.fill).all(), "halo is not filled"


def _outside(layout: Blocked) -> np.ndarray:
    outside = np.ones((layout.rows, layout.columns), bool)
    outside[layout.halo.top : layout.halo.top + layout.h, layout.halo.left : layout.halo.left + layout.w] = False
    return outside


def _stored(array: np.ndarray, layout: Layout, dirty_halo: bool) -> np.ndarray:
    stored = _copy(pack(array, layout))
    if isinstance(layout, Blocked):
        dirt = np.nan if layout.dtype in ("float32", "float16") else 0x5D
        if layout.c % layout.block:
            stored[:, -1, ..., layout.c % layout.block :] = dirt
        if dirty_halo:
            stored[:, :, _outside(layout)] = dirt
    if isinstance(layout, Strided) and layout.dtype == "float32":
        stored[pack(np.ones(layout.shape), layout) == 0] = np.nan
    return stored


def _copy(array: np.ndarray) -> np.ndarray:
    copy = aligned(array.shape, str(array.dtype))
    copy[...] = array
    return copy


def _dirty(layout: Layout, keep: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    raw = aligned((layout.size_bytes + 2 * GUARD,), "uint8")
    raw[...] = 0xA5
    inner = raw[GUARD:-GUARD].view(layout.dtype).reshape(layout.physical_shape)
    if keep is not None:
        inner[...] = pack(keep, layout)
    elif np.issubdtype(inner.dtype, np.floating):
        inner[...] = np.nan
    return raw, inner
