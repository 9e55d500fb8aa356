"""Dot products of four bytes: what int8 matrix products are made of, on each instruction set.

Activations are 8-bit, signed or not, weights are int8, sums are int32. One step takes a vector of ``4 * lanes``
activations and as many weights and adds to each of ``lanes`` sums its four products; no instruction used here
saturates in between, so all ways give the same bits.
"""

from __future__ import annotations

from tvm import tirx
from tvm.tirx.script.builder import ir as T

from hetpart.kernels.cpu.emit import Expr
from hetpart.kernels.isa import Isa

GROUP = 4
"""Products per sum and step."""


def native_dtype(dtype: str, lanes: int, isa: Isa) -> str:
    """The type in which activations stored as `dtype` enter the dot product.

    Another signedness than the stored one means that the values are 128 higher or lower: see `offset`.
    """
    if _vnni(lanes, isa):
        return "uint8"
    return "int8" if _dotprod(lanes, isa) else dtype


def offset(dtype: str, lanes: int, isa: Isa) -> int:
    """Native value minus stored value of an activation stored as `dtype`."""
    native = native_dtype(dtype, lanes, isa)
    return 0 if native == dtype else 128 if native == "uint8" else -128


def activations(stored: Expr, dtype: str, lanes: int, isa: Isa) -> Expr:
    """int32 `stored`, scalar or vector, made of four activations each, with these in their native form."""
    if native_dtype(dtype, lanes, isa) == dtype:
        return stored
    return stored ^ tirx.const(-0x7F7F7F80, stored.ty.dtype)  # 0x80808080: the sign bit of every byte


def add_dot(total: Expr, inputs: Expr, weights: Expr, dtype: str, isa: Isa) -> Expr:
    """`total` (int32, `lanes`) plus the dot products of `inputs` (int32, the same lanes, native) and `weights` (int8).

    Args:
        total: int32 vector.
        inputs: four activations in each int32, in native form.
        weights: int8 vector of four times as many lanes.
        dtype: how the activations are stored.
        isa: picks the instruction.
    """
    lanes = total.ty.dtype.lanes
    if _vnni(lanes, isa):
        name = f"llvm.x86.avx512.vpdpbusd.{32 * lanes}"
        left = tirx.reinterpret(f"int8x{4 * lanes}", inputs)
        return T.call_llvm_pure_intrin(f"int32x{lanes}", name, total, left, weights)
    if _dotprod(lanes, isa):
        # the inputs last: there the instruction takes any lane of a register
        right = tirx.reinterpret(f"int8x{4 * lanes}", inputs)
        return T.call_llvm_pure_intrin(f"int32x{lanes}", "llvm.aarch64.neon.sdot.v4i32.v16i8", total, weights, right)
    left = tirx.reinterpret(f"{dtype}x{4 * lanes}", inputs)
    pairs = _pairs_intrinsic(lanes, isa)
    return _by_products(total, left, weights) if pairs is None else _by_pairs(total, left, weights, pairs)


def _vnni(lanes: int, isa: Isa) -> bool:
    if lanes == 16:
        return isa.has("avx512vnni")
    return lanes in (4, 8) and (isa.has("avxvnni") or (isa.has("avx512vnni") and isa.has("avx512vl")))


def _dotprod(lanes: int, isa: Isa) -> bool:
    return lanes == 4 and isa.triple.startswith("aarch64") and isa.has("dotprod")


def _pairs_intrinsic(lanes: int, isa: Isa) -> str | None:
    """x86's product of int16 vectors that adds neighbours: exact for bytes, other than its counterpart for bytes."""
    if not isa.triple.startswith("x86_64"):
        return None
    if lanes == 16 and isa.has("avx512bw"):
        return "llvm.x86.avx512.pmaddw.d.512"
    if lanes == 8 and isa.has("avx2"):
        return "llvm.x86.avx2.pmadd.wd"
    return "llvm.x86.sse2.pmadd.wd" if lanes == 4 else None


def _by_pairs(total: Expr, left: Expr, weights: Expr, name: str) -> Expr:
    lanes = total.ty.dtype.lanes
    halves = []
    for half in range(2):
        part = list(range(half * 2 * lanes, (half + 1) * 2 * lanes))
        wide = [tirx.Cast(f"int16x{2 * lanes}", tirx.Shuffle([v], part)) for v in (left, weights)]
        halves.append(T.call_llvm_pure_intrin(f"int32x{lanes}", name, *wide))
    even, odd = (tirx.Shuffle(halves, list(range(parity, 2 * lanes, 2))) for parity in range(2))
    return total + even + odd


def _by_products(total: Expr, left: Expr, weights: Expr) -> Expr:
    lanes = total.ty.dtype.lanes
    for i in range(GROUP):
        part = list(range(i, 4 * lanes, GROUP))
        a, b = (tirx.Cast(f"int32x{lanes}", tirx.Shuffle([v], part)) for v in (left, weights))
        total = total + a * b
    return total
