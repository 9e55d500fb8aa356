"""Row-major tensors in float16: what the kernels make of them in float32, rounded once."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Plain, Strided
from hetpart.kernels.kernel import Device
from hetpart.kernels.spec import (
    ConcatSpec,
    DenseSpec,
    EltwiseSpec,
    LayerNormSpec,
    MatmulSpec,
    SoftmaxSpec,
    TransposeSpec,
)

ROW, LONG = Plain((5, 37)), Plain((3, 600))  # a group of items shares a long row
STEPS = (Step("add", operand=0), Step("gelu"), Step("mul", operand=1))
CASES = {
    "softmax": SoftmaxSpec(ROW, ROW, 5, 37, 1),
    "softmax of a group": SoftmaxSpec(LONG, LONG, 3, 600, 1),
    "softmax of columns": SoftmaxSpec(Plain((3, 9, 37)), Plain((3, 9, 37)), 3, 9, 37),
    "log-softmax": SoftmaxSpec(ROW, ROW, 5, 37, 1, log=True),
    "log-softmax of a group": SoftmaxSpec(LONG, LONG, 3, 600, 1, log=True),
    "log-softmax of columns": SoftmaxSpec(Plain((3, 9, 37)), Plain((3, 9, 37)), 3, 9, 37, log=True),
    "layer norm": LayerNormSpec(ROW, ROW, 5, 37, 1e-5),
    "layer norm of a group": LayerNormSpec(LONG, LONG, 3, 600, 1e-5),
    "rms norm": LayerNormSpec(ROW, ROW, 5, 37, 1e-5, bias=False, rms=True),
    "elementwise": EltwiseSpec(Plain((4, 5, 37)), Plain((4, 5, 37)), STEPS, (Plain((5, 1)), Plain((4, 1, 37)))),
    "a scalar": EltwiseSpec(Plain((3, 3)), Plain((3, 3)), (Step("div", operand=0),), (Plain(()),)),
    "dense": DenseSpec(ROW, Plain((5, 41)), 5, 37, 41, steps=STEPS, operands=(Plain((41,)), Plain((5, 1)))),
    "product": MatmulSpec(Plain((2, 5, 37)), Plain((37, 20)), Plain((2, 5, 20)), (Step("add", operand=0),),
                          (Plain((5, 20)),)),
    "product of a view": MatmulSpec(Strided((2, 5, 8), "float32", 240, 3, (8, 24, 1)), Plain((2, 8, 5)),
                                    Plain((2, 5, 5))),
    "transposition": TransposeSpec(Plain((5, 3, 7)), Plain((7, 3, 5)), (2, 1, 0)),
    "concatenation": ConcatSpec((ROW, Plain((5, 4))), Plain((5, 41)), 1),
}  # fmt: skip


def halved(spec: Any) -> Any:
    """`spec` with all its tensors in float16."""

    def form(value: Any) -> Any:
        if isinstance(value, tuple) and value and all(isinstance(each, Plain) for each in value):
            return tuple(map(form, value))
        return replace(value, dtype="float16") if isinstance(value, Plain) else value

    return replace(spec, **{field.name: form(getattr(spec, field.name)) for field in fields(spec)})


@pytest.mark.parametrize("case", CASES)
def test_rows(rig: Any, rng: np.random.Generator, style: tuple[Device, int], case: str) -> None:
    """Softmax rounds twice: its exponentials wait for their sum where the results go."""
    device, _ = style
    spec = CASES[case]
    forms = (*spec.inputs, *getattr(spec, "operands", ()))
    inputs = [rng.standard_normal(form.shape).astype(np.float16).astype(np.float32) for form in forms]
    shapes = {"dense": {"w": (37, 41), "b": (41,)}}.get(case, dict.fromkeys(("scale", "b"), (forms[0].shape[-1],)))
    constants = {role: rng.standard_normal(shape).astype(np.float32) for role, shape in shapes.items()}
    whole = rig.stored(spec, device, inputs, constants)
    found = rig.stored(halved(spec), device, inputs, constants)
    assert found.dtype == np.float16
    np.testing.assert_array_max_ulp(found, whole.astype(np.float16), 3 if case.startswith("softmax") else 1)
