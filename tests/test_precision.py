"""``--precision fp16``: networks compute in float16 within a stated error, or are refused with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from examples.quantise import quantise
from hetpart import targets
from hetpart.build import build
from hetpart.bundle.read import read_bundle
from hetpart.codegen.isa import target_isa
from hetpart.compiler import Options, decide
from hetpart.errors import HetpartError
from hetpart.graph.layout import Blocked, Plain
from hetpart.phases import Phases
from hetpart.targets import load_target
from hetpart.targets.schema import OpenclCodegen
from hetpart.verify import tolerance

FP16 = Options(precision="fp16")


def network() -> onnx.ModelProto:
    """Every kind of unit that works on maps, with pieces of concatenations on and off the blocks of eight."""
    random = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        scale = np.sqrt(2 / np.prod(shape[1:]))
        return numpy_helper.from_array((random.standard_normal(shape) * scale).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["image", "stem"], ["a0"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a0"], ["a"]),
        helper.make_node("Conv", ["a", "deep", "bias"], ["b0"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["b0", "a"], ["b1"]),
        helper.make_node("Sigmoid", ["b1"], ["gate"]),
        helper.make_node("Mul", ["b1", "gate"], ["b"]),
        helper.make_node("Conv", ["b", "single"], ["c"], group=24, pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["b", "point"], ["d"]),
        helper.make_node("Concat", ["c", "d", "c"], ["e"], axis=1),
        helper.make_node("MaxPool", ["e"], ["f"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("AveragePool", ["f"], ["g"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Resize", ["g", "", "scales"], ["h"], mode="linear"),
        helper.make_node("InstanceNormalization", ["h", "ones", "shift"], ["i"]),
        helper.make_node("ConvTranspose", ["i", "up"], ["j"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Pad", ["j", "pads"], ["k"], mode="reflect"),
        helper.make_node("GlobalAveragePool", ["k"], ["l"]),
        helper.make_node("Flatten", ["l"], ["m"]),
        helper.make_node("Gemm", ["m", "head"], ["logits"]),
        helper.make_node("Transpose", ["f"], ["rows"], perm=[0, 2, 3, 1]),
    ]
    constants = [
        weight("stem", 24, 3, 3, 3), weight("deep", 24, 24, 3, 3), weight("bias", 24), weight("single", 24, 1, 3, 3),
        weight("point", 12, 24, 1, 1), weight("up", 60, 40, 2, 2), weight("head", 40, 10),
        numpy_helper.from_array(np.ones(60, np.float32), "ones"),
        numpy_helper.from_array(np.ones(60, np.float32), "shift"),
        numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "scales"),
        numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "pads"),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "network", [helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 32, 32))],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, (1, 10)),
            helper.make_tensor_value_info("rows", TensorProto.FLOAT, (1, 8, 8, 60)),
            helper.make_tensor_value_info("k", TensorProto.FLOAT, (1, 40, 34, 34)),
        ],
        constants,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def has_float16() -> bool:
    return target_isa(load_target("host")).half_arithmetic


needs_float16 = pytest.mark.skipif(not has_float16(), reason="this processor has no float16 arithmetic")


@pytest.mark.parametrize(
    ("target", "strategy", "level"),
    [
        ("sd855", "cpu", "O0"),
        ("sd855", "cpu", "O1"),
        ("sd855", "gpu", "O1"),
        pytest.param("host", "cpu", "O1", marks=needs_float16),
        pytest.param("host", "gpu", "O0", marks=needs_float16),
        pytest.param("host", "heft", "O1", marks=needs_float16),
    ],
)
def test_every_unit_is_right_in_float16(target: str, strategy: str, level: str, tmp_path: Path) -> None:
    """By a GPU, which computes in float32, within a tighter bound."""
    options = Options(precision="fp16", strategy=strategy, level=level)
    report = build(network(), target, tmp_path / "out", options, verify="segments")
    assert report.precision == "fp16"
    wanted = {"heft": {"cpu", "gpu"}}.get(strategy, {strategy})
    assert {row.processor for row in report.units} - {None} == wanted
    if (target, strategy) == ("sd855", "gpu"):
        assert {row.memory for row in report.units} == {"image", "buffer", ""}
    storage = "float16" if strategy == "gpu" else "float16-arithmetic"
    for found in report.verify["outputs"].values():
        assert 1e-5 < found["rel_l2"] <= tolerance(np.dtype(np.float32), storage)
    manifest = read_bundle(tmp_path / "out").manifest
    assert (manifest.decision["precision"], manifest.decision["storage"]) == ("fp16", storage)
    assert {tensor.dtype for tensor in (*manifest.inputs, *manifest.outputs)} == {"float32"}


def test_maps_cross_between_processors_as_they_are() -> None:
    """Without private memory no unit changes the form of a map that is float16 already."""
    decision = decide(network(), load_target("kirin990"), Options(precision="fp16", strategy="heft"), Phases())
    assert set(decision.shared["Conv_0"].values()) == {"no private memory"}
    assert not decision.problem.converters
    costs = [decision.costs[unit]["gpu"].kernel_class for unit in decision.costs if unit.startswith("Conv")]
    assert costs
    assert not any(name.startswith("fp16") for name in costs)


def test_maps_are_float16_in_blocks_of_eight_and_so_is_what_lies_row_major_between_kernels() -> None:
    decision = decide(network(), load_target("sd855"), FP16, Phases())
    maps = [form for form in decision.assignment.layouts.values() if isinstance(form, Blocked)]
    assert {form.dtype for form in maps} == {"float16"}
    assert {form.block for form in maps} == {4, 8}  # the image has three channels
    rows = {name: form.dtype for name, form in decision.assignment.layouts.items() if isinstance(form, Plain)}
    graph, ports = decision.assignment.graph, set(decision.assignment.ports.values())
    assert {rows[name] for name in {*graph.inputs, *ports}} == {"float32"}
    assert {name for name in rows.keys() & graph.producer.keys() if rows[name] == "float16"} == {"l:plain", "m"}
    assert rows.keys() & graph.producer.keys() == {"l:plain", "m", *ports}
    classes = {cost.kernel_class for costs in decision.costs.values() for cost in costs.values()}
    assert {"fp16_conv", "fp16_depthwise", "conv_transpose"} <= classes
    assert all(decision.verdicts[name]["gpu"].runs for name in decision.costs)
    gpu = decision.target.processor("gpu").codegen
    assert isinstance(gpu, OpenclCodegen)
    assert (gpu.memory, gpu.storage) == ("image", "float16")


@pytest.mark.parametrize("strategy", ["cpu", "gpu"])
def test_a_bundle_holds_the_weights_of_convolutions_in_half_the_bytes(strategy: str, tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.random.default_rng(0).standard_normal((256, 256, 3, 3), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 2])], "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 256, 9, 9))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 256, 4, 4))], [weights],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    sizes = {}
    for precision in ("fp32", "fp16"):
        options = Options(precision=precision, strategy=strategy)
        build(model, "sd855", tmp_path / precision, options, verify="none")
        sizes[precision] = (tmp_path / precision / "weights.bin").stat().st_size
    assert sizes["fp16"] == pytest.approx(sizes["fp32"] / 2, rel=0.01)


def refused(model: onnx.ModelProto, target: str, options: Options = FP16) -> HetpartError:
    with pytest.raises(HetpartError) as caught:
        decide(model, load_target(target), options, Phases())
    return caught.value


def test_a_processor_without_float16_arithmetic_is_named(tmp_path: Path) -> None:
    text = (Path(targets.__file__).parent / "sd855.toml").read_text().replace(', "+fullfp16"', "")
    (tmp_path / "old.toml").write_text(text)
    with pytest.raises(HetpartError) as caught:
        build(network(), str(tmp_path / "old.toml"), tmp_path / "out", FP16)
    assert caught.value.code == "no-float16"
    assert "+fullfp16" in str(caught.value.hint)


def test_a_quantised_model_is_refused() -> None:
    assert refused(quantise(network()), "sd855").code == "fp16-quantised"


def test_an_unknown_precision_is_refused() -> None:
    error = refused(network(), "sd855", Options(precision="bf16"))
    assert (error.code, error.hint) == ("bad-option", "choose from fp32, fp16")


@pytest.mark.parametrize("strategy", ["cpu", "gpu"])
def test_dense_layers_have_weights_of_half_the_bytes_and_multiply_in_float16(strategy: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weights = numpy_helper.from_array(random.standard_normal((300, 500), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (20, 300))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (20, 500))], [weights],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    report = build(model, "sd855", tmp_path / "bundle", Options(precision="fp16", strategy=strategy))
    assert (tmp_path / "bundle" / "weights.bin").stat().st_size == pytest.approx(2 * 300 * 500, rel=0.01)
    # weights and, on the CPU, inputs are rounded; each step of a run of 100 products by as much again
    rounding = 2.0**-11 / np.sqrt(3)
    low, high = (0.5, 1) if strategy == "gpu" else (1.1, np.sqrt(2 + 100 / 2))
    assert low * rounding < report.verify["outputs"]["y"]["rel_l2"] < high * rounding


@pytest.mark.parametrize("strategy", ["cpu", "gpu"])
def test_weights_beyond_float16_are_refused_before_anything_is_written(strategy: str, tmp_path: Path) -> None:
    model = network()
    point = next(tensor for tensor in model.graph.initializer if tensor.name == "point")
    point.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(point) * np.float32(1e6), "point"))
    with pytest.raises(HetpartError) as caught:
        build(model, "sd855", tmp_path / "out", Options(precision="fp16", strategy=strategy))
    assert caught.value.code == "float16-range"
    assert not list(tmp_path.iterdir())
