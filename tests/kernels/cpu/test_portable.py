"""Every memory-bound generator compiles for phones, to the same bytes each time, in enough pieces for threads."""

import pytest

from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Blocked, Halo, Plain
from hetpart.kernels.cpu import generator
from hetpart.kernels.cpu.build import build_object
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import (
    ConcatSpec,
    ConvTransposeSpec,
    EltwiseSpec,
    GlobalPoolSpec,
    InstanceNormSpec,
    LayerNormSpec,
    PadSpec,
    PoolSpec,
    RepackSpec,
    ResizeSpec,
    SoftmaxSpec,
    TransposeSpec,
)

PHONE = Isa("aarch64-linux-android", "cortex-a76", ("+neon",), lanes=4, registers=32)
AARCH64 = 183  # e_machine

BIG = Blocked(1, 64, 56, 56, 4, Halo(1, 1, 1, 1))
HALF = Blocked(1, 64, 28, 28, 4, Halo(1, 1, 1, 1))
ROWS = Plain((197, 768))
LINES = tuple((i // 2, min(i // 2 + 1, 27), 0.5 * (i % 2)) for i in range(56))

SPECS = [
    ConcatSpec((ROWS, ROWS), Plain((394, 768)), 0),
    ConvTransposeSpec(HALF, BIG, (2, 2), (2, 2)),
    EltwiseSpec(BIG, BIG, (Step("add", operand=0), Step("hardswish")), (BIG,)),
    EltwiseSpec(ROWS, ROWS, (Step("add", operand=0),), (Plain((768,)),)),
    GlobalPoolSpec(BIG, Blocked(1, 64, 1, 1, 4), "average"),
    InstanceNormSpec(BIG, BIG, 1e-5),
    LayerNormSpec(ROWS, ROWS, 197, 768, 1e-5),
    PadSpec(HALF, Blocked(1, 64, 30, 30, 4), "reflect", (1, 1, 1, 1)),
    PoolSpec(BIG, HALF, "max", (3, 3), (2, 2), (1, 1), (1, 1, 1, 1)),
    RepackSpec(Plain((1, 64, 56, 56)), BIG),
    ResizeSpec(HALF, BIG, "linear", LINES, LINES),
    SoftmaxSpec(ROWS, ROWS, 197, 768, 1),
    TransposeSpec(ROWS, Plain((768, 197)), (1, 0)),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: type(spec).__name__)
def test_builds_for_a_phone(spec):
    module = generator(spec)
    first, second = (build_object([module.prim_func(spec, PHONE, "kernel")], PHONE) for _ in range(2))
    assert first == second
    assert first[:4] == b"\x7fELF"
    assert int.from_bytes(first[18:20], "little") == AARCH64
    assert b"__tvm_ffi_kernel\0" in first
    assert module.extent(spec, PHONE) >= 16
