"""Row-major concatenation: each work item copies its share of the runs of one outer index."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from tvm.tirx.script.builder import ir as T

from hetpart.errors import InternalError
from hetpart.kernels.cpu.emit import Buffer, Expr, decode, flat, range_kernel, storage_dtype
from hetpart.kernels.cpu.runs import copy_run
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ConcatSpec

PIECE_BYTES = 16 * 1024
"""Aim of one work item: large against its overhead, small enough to share."""


def extent(spec: ConcatSpec, isa: Isa) -> int:
    """Outer indices times the pieces that each is cut into."""
    outer, pieces = _items(spec)
    return outer * pieces


def pack(spec: ConcatSpec, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Concatenation has no constants."""
    return ()


def prim_func(spec: ConcatSpec, isa: Isa, symbol: str) -> Any:
    """``(x0, x1, ..., out, lo, hi)``, any dtype."""
    _check(spec)
    outer, pieces = _items(spec)
    dtype = storage_dtype(spec.out.dtype)
    runs = [math.prod(x.shape[spec.axis :]) for x in spec.xs]
    out_run = sum(runs)
    lanes = isa.lanes * 4 // np.dtype(dtype).itemsize

    def body(item: Expr, *buffers: Buffer) -> None:
        index, piece = decode(item, (outer, pieces))
        out = flat(buffers[-1], outer * out_run, dtype)
        offset = 0
        for buffer, run in zip(buffers[:-1], runs, strict=True):
            if run == 0:
                continue
            x = flat(buffer, outer * run, dtype)
            # a run too short to cut goes to the first piece; the last piece takes the remainder as well
            share = run // pieces if run >= pieces * lanes else 0
            begin = T.Bind(piece * share) if share else 0
            length = T.Bind(T.Select(piece < pieces - 1, share, run - begin)) if share and pieces > 1 else run
            source, target = T.Bind(index * run + begin), T.Bind(index * out_run + offset + begin)
            if share or pieces == 1:
                copy_run(out, target, x, source, length, share or run, lanes)
            else:
                with T.If(T.EQ(piece, 0)), T.Then():
                    copy_run(out, target, x, source, run, run, lanes)
            offset += run

    return range_kernel(symbol, (*spec.xs, spec.out), body)


def _items(spec: ConcatSpec) -> tuple[int, int]:
    outer = math.prod(spec.out.shape[: spec.axis])
    run_bytes = spec.out.size_bytes // max(1, outer)
    return outer, max(1, run_bytes // PIECE_BYTES)


def _check(spec: ConcatSpec) -> None:
    shape, axis = spec.out.shape, spec.axis
    fits = 0 <= axis < len(shape) and all(
        x.dtype == spec.out.dtype and len(x.shape) == len(shape)
        and x.shape[:axis] + x.shape[axis + 1 :] == shape[:axis] + shape[axis + 1 :]
        for x in spec.xs
    )  # fmt: skip
    if not fits or sum(x.shape[axis] for x in spec.xs) != shape[axis]:
        raise InternalError("kernel-layout", f"cannot concatenate {spec.xs} to {spec.out} along axis {axis}")
