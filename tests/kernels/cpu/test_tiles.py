"""Cutting into tiles, and the choice of tile shapes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetpart.kernels.cpu.tiles import choose_tile, even_runs, piece_count, registers_needed
from hetpart.kernels.isa import Isa

AVX512 = Isa("x86_64-linux-gnu", "skylake-avx512", (), lanes=16, registers=32)
AVX2 = Isa("x86_64-linux-gnu", "haswell", (), lanes=8, registers=16)
NEON = Isa("aarch64-linux-android", "cortex-a76", (), lanes=4, registers=32)


@given(extent=st.integers(0, 400), limit=st.integers(1, 30))
def test_runs_cover_the_extent_once_in_the_fewest_even_pieces(extent: int, limit: int) -> None:
    runs = even_runs(extent, limit)
    pieces = [(run.start + i * run.size, run.size) for run in runs for i in range(run.count)]
    assert [i for start, size in pieces for i in range(start, start + size)] == list(range(extent))
    assert piece_count(runs) == len(pieces) == -(-extent // limit)
    sizes = [size for _, size in pieces]
    assert not sizes or (max(sizes) <= limit and max(sizes) - min(sizes) <= 1)
    assert all(run.stop == run.start + run.count * run.size for run in runs)


@pytest.mark.parametrize("isa", [AVX512, AVX2, NEON], ids=lambda isa: isa.mcpu)
@given(vectors=st.integers(1, 130), rows=st.integers(1, 3200), columns=st.integers(1, 230), wide=st.integers(1, 2))
def test_tiles_fit_into_the_registers(isa: Isa, vectors: int, rows: int, columns: int, wide: int) -> None:
    shape = choose_tile(vectors, rows, columns, isa, wide)
    assert 1 <= shape.vectors <= vectors
    assert 1 <= shape.rows <= rows
    assert 1 <= shape.columns <= columns
    assert registers_needed(shape.vectors, shape.rows * shape.columns, wide, isa) <= isa.registers


@pytest.mark.parametrize("isa", [AVX512, AVX2, NEON], ids=lambda isa: isa.mcpu)
def test_large_layers_fill_the_registers(isa: Isa) -> None:
    shape = choose_tile(256 // isa.lanes, 56, 56, isa)
    assert shape.vectors * shape.rows * shape.columns >= 0.6 * isa.registers
