"""low-rank with calibration data: the output error on them is the least there is, and never above the plain one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import zoo
from hetpart.calibration import Calibration, calibration
from hetpart.errors import HetpartError
from hetpart.frontend import import_model
from hetpart.passes.base import Context
from hetpart.passes.edit import Array
from hetpart.passes.low_rank import MOST_SAMPLES
from hetpart.passes.pipeline import optimisation_level, parse_pipeline, run_pipeline
from tests.numerics import relative_error
from tests.passes.support import draw, evaluate, parse


def samples(model: ir.Model, count: int, seed: int = 0) -> Calibration:
    """Images whose channels and neighbours go together, as those of a camera do."""
    value = model.graph.inputs[0]
    assert value.shape is not None
    shape = value.shape.numpy()
    data = draw(count, *shape, seed=seed)
    data = data + 1.5  # what comes behind a Relu has a mean
    mixed = np.einsum("ck,nbk...->nbc...", draw(shape[1], shape[1], seed=7) ** 3, data)
    for axis in range(3, data.ndim):
        mixed = mixed + np.roll(mixed, 1, axis) + np.roll(mixed, 2, axis)
    return calibration({value.name or "": mixed.astype(np.float32)}, model)


def compressed(model: ir.Model, options: str, data: Calibration | None) -> tuple[ir.Model, list[dict[str, Any]]]:
    """A compressed copy, and the notes of its layers."""
    copy, context = model.clone(), Context(calibration=data)
    run_pipeline(copy, parse_pipeline(f"low-rank{{{options}}}"), context, verify_each=True)
    layers: list[dict[str, Any]] = context.notes[0].to_json()["layers"]
    return copy, layers


def outputs(model: ir.Model, data: Calibration) -> Array:
    return np.stack([evaluate(model, feeds)[0] for feeds in data])


def spread_error(actual: Array, expected: Array) -> float:
    """L2 error relative to that of the mean per channel, [samples, batch, channels, ...]."""
    mean = expected.mean(axis=(0, 1, 3, 4), keepdims=True, dtype=np.float64)
    return float(np.linalg.norm((actual - expected).ravel()) / np.linalg.norm((expected - mean).ravel()))


def one_convolution(kernel: int, stride: int = 1) -> ir.Model:
    text = f"(float[1,16,9,9] x) => (float[1,24,n,m] y) {{ y = Conv<strides=[{stride},{stride}]>(x, w) }}"
    return parse(text, w=draw(24, 16, kernel, kernel))


@pytest.mark.parametrize("stride", [1, 2])
def test_the_output_error_is_the_least_of_any_factors_of_that_rank(stride: int) -> None:
    """Eckart-Young on the outputs about their means: no matrix of rank r is nearer than their own truncated SVD."""
    model = one_convolution(1, stride)
    data = samples(model, 5)
    whole = outputs(model, data)
    centred = whole - whole.mean(axis=(0, 1, 3, 4), keepdims=True)
    values = np.linalg.svd(np.moveaxis(centred, 2, 0).reshape(24, -1).astype(np.float64), compute_uv=False)
    split, (layer,) = compressed(model, "ratio=0.5,multiple=1", data)
    (rank,) = layer["ranks"]
    least = np.sqrt(np.sum(values[rank:] ** 2) / np.sum(values**2))
    assert 0.001 < least < 0.5
    assert layer["whitened"]
    assert spread_error(outputs(split, data), whole) == pytest.approx(least, rel=1e-3)
    assert layer["output_error"] == pytest.approx(least, rel=1e-3)
    plain, _ = compressed(model, "ratio=0.5,multiple=1", None)
    assert spread_error(outputs(plain, data), whole) > 1.2 * least


@settings(max_examples=25, deadline=None)
@given(
    kernel=st.sampled_from([1, 2, 3]),
    stride=st.integers(1, 2),
    options=st.sampled_from(["ratio=0.5", "ratio=0.3", "ratio=0.5,scheme=tucker", "ratio=0.4,scheme=spatial"]),
    seed=st.integers(0, 999),
)
def test_never_worse_than_plain_on_the_data(kernel: int, stride: int, options: str, seed: int) -> None:
    model = one_convolution(kernel, stride)
    data = samples(model, 4, seed)
    whole = outputs(model, data)
    split, (layer,) = compressed(model, f"{options},multiple=1", data)
    plain, (other,) = compressed(model, f"{options},multiple=1", None)
    assert other["output_error"] is None
    error, other_error = (spread_error(outputs(m, data), whole) for m in (split, plain))
    if layer["scheme"] is None:
        assert layer["reason"] == other["reason"]
        return
    assert layer["output_error"] == pytest.approx(error, rel=1e-3)
    if (layer["scheme"], layer["ranks"]) == (other["scheme"], other["ranks"]):
        assert error <= other_error * (1 + 1e-4)


def test_every_layer_of_a_network_is_measured() -> None:
    proto = zoo.build("squeezenet")
    model = import_model(proto)
    run_pipeline(model, optimisation_level("O1"))
    data = calibration({name: array[None].repeat(2, 0) for name, array in zoo.inputs(proto, 0).items()}, model)
    _, layers = compressed(model, "ratio=0.5", data)
    split = [layer for layer in layers if layer["scheme"] is not None]
    assert len(split) >= 10
    assert all(0 < layer["output_error"] < 1 for layer in split)
    assert any(layer["whitened"] for layer in split)


def test_inputs_that_are_always_zero_do_no_harm() -> None:
    model = one_convolution(1)
    data = samples(model, 3)
    for array in data.inputs.values():
        array[:, :, 4:12] = 0
    whole = outputs(model, data)
    split, (layer,) = compressed(model, "ratio=0.9,multiple=8", data)
    assert layer["ranks"] == (8,)
    assert relative_error(outputs(split, data), whole) <= 1e-3
    assert layer["output_error"] <= 1e-3


def test_a_product_without_bias_gets_what_is_constant_in_its_error() -> None:
    model = parse("(float[2,3,24] x) => (float[2,3,20] y) { y = MatMul(x, w) }", w=draw(24, 20))
    data = calibration({"x": draw(40, 2, 3, 24) @ draw(24, 24, seed=2) + 5}, model)
    split, (layer,) = compressed(model, "ratio=0.5,multiple=1", data)
    assert [node.op_type for node in split.graph] == ["MatMul", "MatMul", "Add"]
    errors = outputs(split, data) - outputs(model, data)
    assert np.abs(errors.mean(axis=(0, 1, 2))).max() <= 1e-3
    assert 0 < layer["output_error"] < 0.5


@pytest.mark.parametrize("level", [0.0, 3.0])
def test_samples_without_any_variation_leave_the_weight_s_own_factors(level: float) -> None:
    model = one_convolution(1)
    data = calibration({"x": np.full((3, 16, 9, 9), level, np.float32)}, model)
    split, (layer,) = compressed(model, "ratio=0.5,multiple=1", data)
    _, (plain,) = compressed(model, "ratio=0.5,multiple=1", None)
    assert layer["weight_error"] == pytest.approx(plain["weight_error"])
    np.testing.assert_allclose(outputs(split, data), outputs(model, data), rtol=1e-4, atol=1e-4)


def test_a_network_that_overflows_on_the_samples_is_refused() -> None:
    model = parse("(float[1,16] x) => (float[1,20] y) { a = Exp(x) y = MatMul(a, w) }", w=draw(16, 20))
    data = calibration({"x": np.full((2, 16), 1000, np.float32)}, model)
    with pytest.raises(HetpartError, match="not finite on the calibration data") as caught:
        compressed(model, "ratio=0.5", data)
    assert (caught.value.code, caught.value.node) == ("bad-calibration", "MatMul_1")


def test_many_samples_are_thinned_evenly() -> None:
    model = one_convolution(1)
    few = samples(model, MOST_SAMPLES)
    many = Calibration({name: array.repeat(3, 0) for name, array in few.inputs.items()})
    _, (layer,) = compressed(model, "ratio=0.5,multiple=1", many)
    _, (other,) = compressed(model, "ratio=0.5,multiple=1", few)
    assert layer["output_error"] == pytest.approx(other["output_error"], rel=1e-6)
