"""Dense layers against float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.mca import innermost_loops, main_loop
from hetpart.errors import InternalError
from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Plain
from hetpart.kernels.cpu import dense
from hetpart.kernels.cpu.build import assembly, host_isa
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import DenseSpec
from tests.kernels.cpu import reference
from tests.kernels.cpu.conftest import RunKernel
from tests.numerics import relative_error


def spec_of(
    lead: tuple[int, ...], k: int, n: int, bias: bool = True, operands: tuple[tuple[int, ...], ...] = ()
) -> DenseSpec:
    """(lead..., k) times (k, n); adds the operands, then GELU."""
    steps = (*(Step("add", operand=i) for i in range(len(operands))), Step("gelu"))
    layouts = tuple(Plain(shape) for shape in operands)
    return DenseSpec(Plain((*lead, k)), Plain((*lead, n)), math.prod(lead), k, n, bias, steps, layouts)


def check(run_kernel: RunKernel, spec: DenseSpec) -> None:
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(p.shape).astype(np.float32) for p in (spec.x, *spec.operands)]
    constants = {"w": rng.standard_normal((spec.k, spec.n)).astype(np.float32)}
    if spec.bias:
        constants["b"] = rng.standard_normal(spec.n).astype(np.float32)
    (result,) = run_kernel(spec, inputs, constants)
    assert relative_error(result, reference.dense(spec, inputs, constants)) < reference.TOLERANCE


@pytest.mark.parametrize(
    "spec",
    [
        spec_of((1,), 512, 1000),
        spec_of((1,), 7, 10, bias=False),
        spec_of((197,), 192, 192),
        spec_of((2, 37), 64, 77, operands=((2, 1, 77), (37, 1))),
        spec_of((130,), 600, 300, operands=((300,),)),
        spec_of((3, 1, 4), 5, 1, operands=((4, 1), (1,))),
    ],
    ids=str,
)
def test_shapes(run_kernel: RunKernel, spec: DenseSpec) -> None:
    check(run_kernel, spec)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_dense_layer(run_kernel: RunKernel, data: st.DataObject) -> None:
    lead = tuple(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=3)))
    k, n = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 90))
    operands = tuple(
        tuple(data.draw(st.sampled_from([1, size])) for size in (*lead, n)[data.draw(st.integers(0, len(lead))) :])
        for _ in range(data.draw(st.integers(0, 2)))
    )
    check(run_kernel, spec_of(lead, k, n, data.draw(st.booleans()), operands))


def test_columns_must_be_the_last_dimension() -> None:
    spec = DenseSpec(Plain((6, 4)), Plain((3, 6)), 6, 4, 3)
    with pytest.raises(InternalError, match="columns"):
        dense.prim_func(spec, host_isa(), "kernel")


@pytest.mark.parametrize("rows", [1, 30])
def test_neon_loops_keep_their_sums_in_registers_and_ask_for_the_next_weights(rows: int) -> None:
    neon = Isa("aarch64-linux-android", "cortex-a76", ("+neon",), lanes=4, registers=32)
    spec = DenseSpec(Plain((rows, 512)), Plain((rows, 1000)), rows, 512, 1000)
    loop = main_loop(innermost_loops(assembly([dense.prim_func(spec, neon, "kernel")], neon)))
    assert loop is not None
    assert loop.multiply_adds >= 64
    assert loop.spills == 0
    assert any("pldl2keep" in line for line in loop.instructions) == (rows > 1)
