"""Finding inner loops in aarch64 assembly, and what llvm-mca says of them."""

from __future__ import annotations

import pytest

from benchmarks.aarch64 import Judged, report, weighted
from benchmarks.mca import PER_CYCLE, Loop, analyser, innermost_loops, main_loop, shares

FULL = tuple(f"fmla v{i}.4s, v30.4s, v31.s[0]" for i in range(16))
ASSEMBLY = f"""
kernel: // @kernel
.Lfunc_begin0:
	mov	x0, xzr
.LBB0_1:                                // =>This Loop Header
	add	x1, x1, #1
.LBB0_2:
	ldr	q0, [x2], #16  // a load
	fmla	v1.4s, v0.4s, v2.s[0]
	cbnz	x4, .LBB0_2
.LBB0_3:
{chr(10).join(FULL)}
	ldr	q9, [sp, #32]
	stp	q8, q9, [sp, #32]
	str	x9, [sp, #64]
	subs	x3, x3, #1
	b.ne	.LBB0_3
	b	.LBB0_1
	b.eq	.LBB0_4
.LBB0_4:
	ret
"""


def test_the_main_loop_is_the_innermost_one_with_most_multiply_adds() -> None:
    loops = innermost_loops(ASSEMBLY)
    assert [loop.multiply_adds for loop in loops] == [1, 16]
    loop = main_loop(loops)
    assert loop is not None
    assert loop.instructions[-1] == "b.ne .LBB0_3"
    assert loop.spills == 2  # the general register is none
    assert main_loop(innermost_loops("f:\n\tret\n")) is None


def test_a_reduction_is_the_main_loop_even_beside_a_longer_transform() -> None:
    begun = ("ldp q0, q1, [x2]", "ld1 { v2.4s, v3.4s }, [x3]", *(f"fmla v{i}.4s, v30.4s, v31.4s" for i in range(4)))
    transform, reduction = Loop(begun * 8), Loop(FULL)
    assert transform.multiply_adds == 2 * reduction.multiply_adds
    assert (transform.continued, reduction.continued) == (0, 16)
    assert main_loop([transform, reduction]) is reduction


def test_copies_count_as_arithmetic_only_where_they_start_a_sum() -> None:
    bias, moved = "mov v1.16b, v20.16b", "mov v3.16b, v1.16b"
    assert Loop((bias, "fmla v1.4s, v4.4s, v5.4s", moved, "fmax v1.4s, v1.4s, v6.4s", "b .L1")).arithmetic == 3


def test_shares() -> None:
    try:
        path = analyser()
    except RuntimeError as error:
        pytest.skip(str(error))
    chain = Loop(tuple("fmla v1.4s, v30.4s, v31.4s" for _ in range(16)))
    found = shares({"full": Loop(FULL), "chain": chain}, path)
    assert found["full"] == pytest.approx(1.0, abs=0.02)
    assert found["chain"] < 1.1 / PER_CYCLE  # one after the other


def test_the_report_weighs_by_multiply_adds_and_judges() -> None:
    good = Judged("conv", "net a", "1x1", 3_000, 1.0, 0, 80)
    bad = Judged("conv", "net b", "3x3", 1_000, 0.5, 4, 80)
    assert weighted([good, bad]) == pytest.approx(4 / 5)
    text, met = report([good, bad], worst=1)
    assert not met
    assert "| conv | 2 | 0.00 | 80.0% | 95% | 50.0% | 1 |" in text
    assert "net b" in text
    assert "net a" not in text
    assert report([good], worst=1)[1]
