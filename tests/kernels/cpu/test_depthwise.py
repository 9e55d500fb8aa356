"""Depthwise and narrow groups: every way in which output lanes find their inputs."""

from __future__ import annotations

import pytest

from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Halo
from hetpart.kernels.cpu import depthwise
from hetpart.kernels.cpu.build import assembly
from hetpart.kernels.isa import Isa
from tests.kernels.cpu.conftest import RunKernel
from tests.kernels.cpu.test_conv import check, spec_of

HALO = Halo(1, 2, 1, 1)
CASES = {
    "3x3": spec_of(40, 40, (19, 30), (3, 3), group=40, pad=1, out_halo=HALO, steps=(Step("clip", (0.0, 6.0)),)),
    "3x3 strided, batch": spec_of(24, 24, (15, 14), (3, 3), n=2, group=24, pad=1, strides=(2, 2), block=8),
    "5x5": spec_of(20, 20, (9, 9), (5, 5), group=20, pad=2, block=4, steps=(Step("hardswish"),)),
    "7x7 dilated": spec_of(16, 16, (16, 16), (7, 7), group=16, pad=6, dilations=(2, 2)),
    "1x9": spec_of(17, 17, (3, 20), (1, 9), group=17),
    "ResNeXt, 4 per group": spec_of(48, 48, (10, 9), (3, 3), group=12, pad=1),
    "ResNeXt, 8 per group": spec_of(32, 32, (9, 8), (3, 3), group=4, pad=1, strides=(2, 2), out_halo=HALO),
    "two per group in a tail": spec_of(22, 22, (7, 7), (3, 3), group=11, pad=1),
    "multiplier 2": spec_of(12, 24, (8, 8), (3, 3), group=12, pad=1),
    "many in, one out": spec_of(36, 9, (6, 6), (3, 3), group=9, pad=1),
    "groups across blocks": spec_of(30, 36, (6, 7), (3, 3), group=3, pad=1, block=8, out_halo=HALO),
    "wide groups across blocks": spec_of(200, 40, (5, 5), (1, 1), group=2, block=16),
}


@pytest.mark.parametrize("case", CASES)
def test_groups(run_kernel: RunKernel, case: str) -> None:
    assert depthwise.suits(CASES[case])
    check(run_kernel, CASES[case])


def test_bounds_take_one_instruction_each_on_a_phone() -> None:
    phone = Isa("aarch64-linux-android", "cortex-a76", (), lanes=4, registers=32)
    spec = spec_of(8, 8, (9, 8), (3, 3), group=8, pad=1, block=4, steps=(Step("relu"), Step("clip", (-1.0, 6.0))))
    text = assembly([depthwise.prim_func(spec, phone, "kernel")], phone)
    instructions = {line.split()[0] for line in text.splitlines() if line.startswith("\t")}
    assert {"fmla", "fmax", "fmin"} <= instructions
    assert not any(name.startswith("fcm") for name in instructions)
