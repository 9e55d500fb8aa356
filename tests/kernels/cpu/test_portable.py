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
    QConvSpec,
    QDenseSpec,
    QEltwiseSpec,
    QPoolSpec,
    RepackSpec,
    ResizeSpec,
    Rounding,
    SoftmaxSpec,
    TransposeSpec,
)

PHONE = Isa("aarch64-linux-android", "cortex-a76", ("+neon", "+dotprod"), lanes=4, registers=32)
AARCH64 = 183  # e_machine

BIG = Blocked(1, 64, 56, 56, 4, Halo(1, 1, 1, 1))
HALF = Blocked(1, 64, 28, 28, 4, Halo(1, 1, 1, 1))
ROWS = Plain((197, 768))
BYTES = Blocked(1, 64, 56, 56, 4, Halo(1, 1, 1, 2), "int8", 5)
ROUNDING = Rounding(5, -128, 127)
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
    QConvSpec(BYTES, BYTES, (3, 3), pads=(1, 1, 1, 1), y=ROUNDING),
    QConvSpec(BYTES, BYTES, (3, 3), pads=(1, 1, 1, 1), group=64, y=ROUNDING),
    QDenseSpec(Plain((16, 512), "uint8"), Plain((16, 1000)), 16, 512, 1000),
    QEltwiseSpec(BYTES, BYTES, (Step("add", operand=0),), (BYTES,), ((0.1, 5), (0.2, 5)), 0.3, ROUNDING),
    QPoolSpec(BYTES, BYTES, "average", (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), False, 5, (0.1, 0.1), ROUNDING),
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


def test_dot_products_are_used_where_there_are_some():
    spec = QConvSpec(BYTES, BYTES, (3, 3), pads=(1, 1, 1, 1), y=ROUNDING)
    code = build_object([generator(spec).prim_func(spec, PHONE, "kernel")], PHONE)
    words = [int.from_bytes(code[i : i + 4], "little") for i in range(0, len(code) - 3, 4)]
    by_lane = 0x4F80E000  # SDOT (by element), 4S
    assert sum(word & 0xFFC0F400 == by_lane for word in words) > 20
