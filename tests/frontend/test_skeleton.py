"""Large weights are never copied, external data are found, mapped and checked, and nobody's model is changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from examples import zoo
from hetpart.errors import HetpartError
from hetpart.frontend import import_model
from hetpart.frontend.skeleton import LARGE_BYTES, Skeleton
from tests.frontend.support import model_of, refused, same_function
from tests.passes.support import evaluate


def external_model(directory: Path, **saving: object) -> Path:
    path = directory / "model.onnx"
    onnx.save(
        zoo.build("squeezenet"), path, save_as_external_data=True, location="weights.bin", size_threshold=0, **saving
    )
    return path


def test_large_weights_leave_and_come_back() -> None:
    model = zoo.build("squeezenet")
    skeleton = Skeleton.of_proto(model, base_dir="")
    large = {t.name for t in model.graph.initializer if len(t.raw_data) > LARGE_BYTES}
    assert large
    assert set(skeleton.weights) == large
    assert {value.name for value in skeleton.model.graph.input} == large | {"input"}
    assert skeleton.model.ByteSize() < model.ByteSize() / 4
    restored = ir.to_proto(skeleton.attach(skeleton.model))
    feeds = zoo.inputs(model)
    np.testing.assert_array_equal(evaluate(restored, feeds)[0], evaluate(model, feeds)[0])


def test_a_proto_passed_in_is_not_changed() -> None:
    model = zoo.build("mobilenetv3_small")
    before = model.SerializeToString(deterministic=True)
    imported = import_model(model)
    next(iter(imported.graph.initializers.values())).const_value = ir.tensor(np.zeros(1))
    assert model.SerializeToString(deterministic=True) == before


def test_an_ir_model_passed_in_is_not_changed_and_shares_its_weights() -> None:
    source = ir.from_proto(zoo.build("squeezenet"))
    before = ir.to_proto(source).SerializeToString(deterministic=True)
    imported = import_model(source)
    assert ir.to_proto(source).SerializeToString(deterministic=True) == before
    name = max(source.graph.initializers, key=lambda name: source.graph.initializers[name].const_value.nbytes)
    assert imported.graph.initializers[name].const_value is source.graph.initializers[name].const_value


def test_three_kinds_of_source_give_one_result(tmp_path: Path) -> None:
    proto = zoo.build("squeezenet")
    path = tmp_path / "model.onnx"
    onnx.save(proto, path)
    first, *others = (
        ir.to_proto(import_model(source)).SerializeToString(deterministic=True)
        for source in (path, proto, ir.from_proto(proto))
    )
    assert all(other == first for other in others)


def test_external_data_are_mapped(tmp_path: Path) -> None:
    imported = import_model(external_model(tmp_path))
    large = [v.const_value for v in imported.graph.initializers.values() if v.const_value.nbytes > LARGE_BYTES]
    assert large
    assert all(isinstance(tensor, ir.ExternalTensor) for tensor in large)
    feeds = zoo.inputs(zoo.build("squeezenet"))
    ir.external_data.load_to_model(imported)
    actual = evaluate(imported, feeds)[0]
    np.testing.assert_array_equal(actual, evaluate(zoo.build("squeezenet"), feeds)[0])


def test_external_data_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    external_model(tmp_path / "sub")
    monkeypatch.chdir(tmp_path)
    imported = import_model("sub/model.onnx")
    monkeypatch.chdir("/")  # the model stays valid when the working directory changes
    assert all(np.isfinite(value.const_value.numpy()).all() for value in imported.graph.initializers.values())


def test_missing_external_data(tmp_path: Path) -> None:
    path = external_model(tmp_path)
    (tmp_path / "weights.bin").unlink()
    with refused("external-data-missing", "weights.bin", "Conv_0.1", node="Conv_0.1"):
        import_model(path)


def test_external_data_of_a_model_in_memory_need_its_path(tmp_path: Path) -> None:
    model = onnx.load(external_model(tmp_path), load_external_data=False)
    with refused("external-data-missing", "import the model by its path"):
        import_model(model)


def test_truncated_external_data(tmp_path: Path) -> None:
    path = external_model(tmp_path)
    os.truncate(tmp_path / "weights.bin", 100_000)
    with refused("external-data-truncated", "weights.bin", "100000"):
        import_model(path)


def test_external_data_outside_the_directory(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    path = external_model(tmp_path / "inner")
    (tmp_path / "inner" / "weights.bin").rename(tmp_path / "weights.bin")
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = "../weights.bin"
    path.write_bytes(model.SerializeToString())
    with refused("external-data-unsafe", "outside"):
        import_model(path)


@pytest.mark.parametrize(("offset", "says"), [("-8", "non-negative"), ("far", "'far'"), (str(2**70), "weights.bin")])
def test_external_data_at_no_place(tmp_path: Path, offset: str, says: str) -> None:
    path = external_model(tmp_path)
    model = onnx.load(path, load_external_data=False)
    next(entry for entry in model.graph.initializer[0].external_data if entry.key == "offset").value = offset
    path.write_bytes(model.SerializeToString())
    with pytest.raises(HetpartError, match=says) as caught:
        import_model(path)
    assert caught.value.code in ("invalid-model", "external-data-truncated")
    assert caught.value.node == model.graph.initializer[0].name


def test_initialiser_without_data() -> None:
    source = ir.from_proto(zoo.build("squeezenet"))
    next(iter(source.graph.initializers.values())).const_value = None
    with refused("initialiser-without-data", node="Conv_0.1"):
        import_model(source)


def test_initialiser_in_the_field_of_another_type() -> None:
    model = model_of("(float[4] x) => (float[4] y) { y = Add(x, w) }", w=np.ones(4, np.float32))
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].int32_data.extend([1, 2, 3, 4])
    with refused("initialiser-without-data", "int32_data", node="w"):
        import_model(model)


def test_initialiser_without_any_data() -> None:
    model = model_of("(float[4] x) => (float[4] y) { y = Add(x, w) }", w=np.ones(4, np.float32))
    model.graph.initializer[0].ClearField("raw_data")
    with refused("initialiser-without-data", node="w"):
        import_model(model)


def test_initialiser_shorter_than_its_shape() -> None:
    model = model_of("(float[4] x) => (float[4] y) { y = Add(x, w) }", w=np.ones(4, np.float32))
    model.graph.initializer[0].raw_data = b"\0" * 8
    with refused("initialiser-without-data", "size 2", node="w"):
        import_model(model)


def test_large_constant_nodes_are_weights_too() -> None:
    weight = np.random.default_rng(0).standard_normal((256, 128), dtype=np.float32)
    model = model_of("(float[1,256] x) => (float[1,128] y) { y = MatMul(x, w) }")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(weight)))
    skeleton = Skeleton.of_proto(model, base_dir="")
    assert set(skeleton.weights) == {"w"}
    imported = same_function(model)
    assert [node.op_type for node in imported.graph] == ["MatMul"]


def test_weights_that_nothing_reads_are_dropped() -> None:
    model = model_of("(float[4] x) => (float[4] y) { y = Relu(x) }", w=np.ones((256, 256), np.float32))
    assert not import_model(model).graph.initializers


def test_scalars_keep_their_rank() -> None:
    model = model_of("(float[4] x) => (float[4] y) { y = Mul(x, w) }", w=np.float32(2))
    assert import_model(model).graph.initializers["w"].const_value.numpy().shape == ()


MEASURED_IMPORT = """
import sys
from pathlib import Path
import onnxruntime, onnxslim, onnx_ir  # what is resident before any model is imported

def peak_bytes():  # not getrusage, whose maximum a child process inherits from its parent
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

before = peak_bytes()
from hetpart.frontend import import_model
model = import_model(sys.argv[1])
print(peak_bytes() - before)
assert sum(v.const_value.nbytes for v in model.graph.initializers.values()) > 2_500_000_000
"""


@pytest.mark.slow
def test_a_model_of_2_5_gb_is_never_resident(tmp_path: Path) -> None:
    """Twenty layers of 125 MB each in a sparse file; importing them costs less memory than one of them."""
    width, layers = 5600, 20
    layer_bytes = width * width * 4
    weights = []
    for index in range(layers):
        tensor = TensorProto(name=f"w{index}", data_type=TensorProto.FLOAT, dims=[width, width])
        tensor.data_location = TensorProto.EXTERNAL
        where = {"location": "weights.bin", "offset": index * layer_bytes, "length": layer_bytes}
        for key, value in where.items():
            tensor.external_data.add(key=key, value=str(value))
        weights.append(tensor)
    nodes = [helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"x{i + 1}"]) for i in range(layers)]
    ends = [helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, [1, width]) for i in (0, layers)]
    graph = helper.make_graph(nodes, "large", ends[:1], ends[1:], initializer=weights)
    path = tmp_path / "large.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString())
    with (tmp_path / "weights.bin").open("wb") as file:
        file.truncate(layers * layer_bytes)
    result = subprocess.run(
        [sys.executable, "-c", MEASURED_IMPORT, str(path)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < layer_bytes
