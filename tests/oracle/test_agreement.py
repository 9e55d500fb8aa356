"""What the oracle lets through to TVM's importer, the code generator makes right: a test per operator and type."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.backend.test.case.node import collect_testcases

from hetpart.errors import HetpartError
from hetpart.graph.layout import Plain
from hetpart.graph.units import TensorType, Unit, UnitGraph
from hetpart.kernels.spec import OnnxSpec
from hetpart.oracle import judge
from hetpart.oracle.tvm_ops import CONSTANT_INPUTS, VERIFIED
from hetpart.targets import load_target

_PARAMETERS = frozenset({"Clip", "DequantizeLinear", "GroupNormalization", "LayerNormalization", "QuantizeLinear"}) | {
    "Slice", "Split", "Squeeze", "Trilu", "Unsqueeze",
}  # fmt: skip
"""Operators whose further inputs are parameters: constants in any model that the frontend lets through."""


def smallest_tests() -> Iterator[onnx.ModelProto]:
    """The operator test with the fewest input elements for every (operator, element type) that the oracle lets through.

    The type is that of the first input; parameters are constant.
    """
    best: dict[tuple[str, str], tuple[int, onnx.ModelProto, list[np.ndarray]]] = {}
    for case in collect_testcases(None):
        if case.model is None or len(case.model.graph.node) != 1 or not case.data_sets:
            continue
        inputs, outputs = case.data_sets[0]
        op = case.model.graph.node[0].op_type
        if op not in VERIFIED or not all(isinstance(a, np.ndarray) and a.size for a in [*inputs, *outputs]):
            continue
        size = sum(array.size for array in inputs)
        model = constant_parameters(case.model, inputs)
        key = (op, str(inputs[0].dtype))
        if model.graph.input and judge_alone(model) and (key not in best or size < best[key][0]):
            best[key] = (size, model, inputs)
    for key in sorted(best):
        yield best[key][1]


def constant_parameters(source: onnx.ModelProto, inputs: list[np.ndarray]) -> onnx.ModelProto:
    model = onnx.ModelProto.FromString(source.SerializeToString())
    model.ir_version = 10  # newer ones, and newer opsets, are beyond onnxruntime's
    model.opset_import[0].version = min(model.opset_import[0].version, 21)
    node = model.graph.node[0]
    node.name = "node"
    kept = []
    for value, data in zip(model.graph.input, inputs, strict=True):
        position = list(node.input).index(value.name)
        if position in CONSTANT_INPUTS.get(node.op_type, ()) or (position > 0 and node.op_type in _PARAMETERS):
            model.graph.initializer.append(onnx.numpy_helper.from_array(data, value.name))
        else:
            kept.append(onnx.ValueInfoProto.FromString(value.SerializeToString()))
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return model


def judge_alone(model: onnx.ModelProto) -> bool:
    """Whether the oracle lets the model's one node, as a unit of kind ``other``, run on the CPU."""
    made = ir.from_proto(model)
    (node,) = made.graph
    values = [v for v in [*made.graph.inputs, *made.graph.outputs] if v.shape is not None and v.dtype is not None]
    types = {v.name or "": TensorType(tuple(map(int, v.shape or ())), str(v.dtype.numpy())) for v in values if v.dtype}
    reads = tuple(dict.fromkeys(v.name or "" for v in node.inputs if v is not None and v.name in types))
    unit = Unit("node", "other", (node,), reads, tuple(v.name or "" for v in node.outputs if v.name))
    return judge(unit, UnitGraph(made, {"node": unit}, types), load_target("host").host).runs


def spec_of(model: onnx.ModelProto) -> OnnxSpec:
    def plain(value: onnx.ValueInfoProto) -> Plain:
        tensor = value.type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
        return Plain(tuple(d.dim_value for d in tensor.shape.dim), dtype)

    xs, outs = tuple(map(plain, model.graph.input)), tuple(map(plain, model.graph.output))
    return OnnxSpec(model.SerializeToString(), xs, outs)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the operator tests compute infinities on purpose
def test_every_operator_that_the_oracle_lets_through_compiles_and_is_right() -> None:
    from hetpart.kernels.cpu.build import host_isa
    from hetpart.kernels.cpu.onnx_op import build

    checked, failed = set(), []
    for model in smallest_tests():
        try:
            build(spec_of(model), host_isa(), "k")
        except HetpartError as error:
            if error.code == "wrong-kernel":
                failed.append(str(error))  # refused in time when it is compiled, but the oracle should have known
        checked.add(model.graph.node[0].op_type)
    assert not failed
    assert len(checked) >= 110
