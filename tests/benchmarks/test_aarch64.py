"""Kernels that LLVM once gave spills, in code for a phone."""

from __future__ import annotations

import pytest

from benchmarks.mca import innermost_loops
from hetpart.graph.epilogue import Step
from hetpart.kernels.cpu import generator
from hetpart.kernels.cpu.build import assembly
from hetpart.kernels.isa import Isa
from tests.kernels.cpu.test_conv import spec_of

A76 = Isa("aarch64-linux-android", "cortex-a76", (), lanes=4, registers=32)
RELU = (Step("relu"),)
CASES = {
    "Winograd of few channels": spec_of(32, 64, (14, 14), (3, 3), pad=1, block=4, steps=RELU),
    "Winograd, rows of three patches": spec_of(16, 48, (14, 14), (3, 3), pad=1, block=4, steps=RELU),
    "first layer": spec_of(3, 32, (64, 64), (3, 3), pad=1, strides=(2, 2), block=4, steps=RELU),
    "strided": spec_of(64, 128, (56, 56), (3, 3), pad=1, strides=(2, 2), block=4, steps=RELU),
    "5x5 depthwise": spec_of(32, 32, (7, 7), (5, 5), pad=2, group=32, block=4, steps=(Step("hardswish"),)),
    "strided depthwise": spec_of(32, 32, (28, 28), (3, 3), pad=1, strides=(2, 2), group=32, block=4),
}


@pytest.mark.parametrize("name", CASES)
def test_no_innermost_loop_spills(name: str) -> None:
    text = assembly([generator(CASES[name]).prim_func(CASES[name], A76, "kernel")], A76)
    loops = [loop for loop in innermost_loops(text) if loop.multiply_adds]
    assert loops
    assert sum(loop.spills for loop in loops) == 0
