"""Operators through TVM's importer: right where lowered, refused with a reason where not."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tvm.relax.frontend.onnx import from_onnx

from hetpart.errors import HetpartError
from hetpart.graph.layout import Plain
from hetpart.kernels.cpu import onnx_op
from hetpart.kernels.cpu.build import build_object, load
from hetpart.kernels.cpu.onnx_repairs import repair
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import OnnxSpec

F, F16, I64, I32, U8, B = (
    TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.INT32, TensorProto.UINT8, TensorProto.BOOL
)  # fmt: skip
RNG = np.random.default_rng(0)
MAP = (F, (2, 3, 4, 5))

Inputs = Mapping[str, tuple[int, tuple[int, ...]]]


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def unit(op, inputs: Inputs, constants=None, outputs=1, opset=17, order=None, **attributes) -> OnnxSpec:
    """A model of one node; `order` names its inputs if it is not activations first."""
    constants = constants or {}
    names = order or [*inputs, *constants]
    node = helper.make_node(op, names, [f"y{i}" for i in range(outputs)], name="the-node", **attributes)
    graph = helper.make_graph(
        [node], "unit",
        [helper.make_tensor_value_info(name, dtype, shape) for name, (dtype, shape) in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in node.output],
        [numpy_helper.from_array(data, name) for name, data in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    return OnnxSpec(
        model.SerializeToString(deterministic=True), _layouts(model.graph.input), _layouts(model.graph.output)
    )


def _layouts(values) -> tuple[Plain, ...]:
    return tuple(
        Plain(
            tuple(d.dim_value for d in v.type.tensor_type.shape.dim),
            str(helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type)),
        )
        for v in values
    )


DOUBLE = np.float32([1, 1, 2, 2])
X34 = {"x": (I64, (3, 4)), "y": (I64, (4,))}
F34 = {"x": (F, (3, 4)), "y": (F, (4,))}
B34 = {"x": (B, (3, 4)), "y": (B, (4,))}

RIGHT = {
    "embedding": unit("Gather", {"i": (I64, (2, 5))}, {"w": floats(10, 4)}, order=["w", "i"]),
    "Gather": unit("Gather", {"x": MAP}, {"i": ints(1, -1)}, axis=2),
    "Gather scalar": unit("Gather", {"x": MAP}, {"i": np.array(1)}, axis=1),
    "GatherElements": unit("GatherElements", {"x": (F, (3, 4)), "i": (I64, (3, 2))}, axis=1),
    "GatherND": unit("GatherND", {"x": (F, (3, 4, 5)), "i": (I64, (6, 2))}),
    "ScatterND": unit("ScatterND", {"x": (F, (5, 4)), "u": (F, (2, 4))}, {"i": ints(0, 3)[:, None]}, order=list("xiu")),
    "Cast f32 i64": unit("Cast", {"x": MAP}, to=I64),
    "Cast i64 f32": unit("Cast", {"x": (I64, (3, 4))}, to=F),
    "Cast bool f32": unit("Cast", {"x": (B, (3, 4))}, to=F),
    "Cast f32 bool": unit("Cast", {"x": MAP}, to=B),
    "Cast f32 f16": unit("Cast", {"x": MAP}, to=F16),
    "Cast to itself": unit("Cast", {"x": MAP}, to=F),
    "Where": unit("Where", {"c": (B, (3, 1, 5)), "x": (F, (3, 4, 5)), "y": (F, (1,))}),
    "Expand": unit("Expand", {"x": (F, (3, 1, 5))}, {"s": ints(2, 3, 4, 5)}),
    "Slice": unit("Slice", {"x": MAP}, {"a": ints(1, 0), "b": ints(3, -1), "c": ints(1, 3), "d": ints(1, 2)}),
    "Slice backwards": unit("Slice", {"x": MAP}, {"a": ints(-1), "b": ints(-100), "c": ints(3), "d": ints(-1)}),
    "Split": unit("Split", {"x": (F, (2, 6, 4))}, {"s": ints(1, 3, 2)}, outputs=3, axis=1),
    "ReduceMean": unit("ReduceMean", {"x": MAP}, axes=[0, 3], keepdims=0),
    "ReduceSum": unit("ReduceSum", {"x": MAP}, {"a": ints(1)}),
    "ReduceMax": unit("ReduceMax", {"x": MAP}, axes=[-1]),
    "ReduceMin": unit("ReduceMin", {"x": MAP}, axes=[2]),
    "ReduceProd": unit("ReduceProd", {"x": MAP}, axes=[1]),
    "ReduceL1": unit("ReduceL1", {"x": MAP}, axes=[1]),
    "ReduceL2": unit("ReduceL2", {"x": MAP}, axes=[1]),
    "ReduceLogSumExp": unit("ReduceLogSumExp", {"x": MAP}, axes=[1]),
    "Equal": unit("Equal", X34),
    "Greater": unit("Greater", F34),
    "LessOrEqual": unit("LessOrEqual", X34),
    "And": unit("And", B34),
    "Not": unit("Not", {"x": (B, (3, 4))}),
    "LRN": unit("LRN", {"x": (F, (2, 7, 4, 5))}, size=5, alpha=0.1),
    "ArgMax": unit("ArgMax", {"x": MAP}, axis=1),
    "Tile": unit("Tile", {"x": (F, (2, 3))}, {"r": ints(2, 3)}),
    "DepthToSpace": unit("DepthToSpace", {"x": (F, (1, 8, 3, 4))}, blocksize=2, mode="CRD"),
    "SpaceToDepth": unit("SpaceToDepth", {"x": (F, (1, 2, 4, 6))}, blocksize=2),
    "CumSum": unit("CumSum", {"x": (F, (3, 8))}, {"a": np.array(1)}),
    "Einsum": unit("Einsum", {"x": (F, (2, 3, 4)), "y": (F, (2, 4, 5))}, equation="bij,bjk->bik"),
    "Add of integers": unit("Add", X34),
    "Div of integers": unit("Div", X34),
    "Mod": unit("Mod", X34),
    "Mod of floats": unit("Mod", {"x": (F, (3, 4)), "y": (F, (2, 1, 4))}, fmod=1),
    "Neg": unit("Neg", {"x": (I32, (3, 4))}),
    "Max of integers": unit("Max", X34),
    "Sin": unit("Sin", {"x": MAP}),
    "Asin": unit("Asin", {"x": MAP}),
    "Round": unit("Round", {"x": MAP}),
    "Trilu": unit("Trilu", {"x": (F, (2, 4, 4))}),
    "Selu": unit("Selu", {"x": MAP}),
    "Concat of integers": unit("Concat", {"x": (I64, (3, 4)), "y": (I64, (3, 2))}, axis=1),
    "Identity": unit("Identity", {"x": (I64, (3, 4))}),
    "Conv 3-D": unit("Conv", {"x": (F, (1, 3, 5, 6, 7))}, {"w": floats(4, 3, 3, 3, 3)}),
    "MaxPool 1-D": unit("MaxPool", {"x": (F, (1, 3, 9))}, kernel_shape=[3]),
    "Resize cubic": unit("Resize", {"x": (F, (1, 2, 4, 5))}, {"r": floats(0), "s": DOUBLE}, mode="cubic"),
    "GridSample": unit("GridSample", {"x": (F, (1, 2, 4, 5)), "g": (F, (1, 3, 3, 2))}),
    "QuantizeLinear": unit("QuantizeLinear", {"x": MAP}, {"s": np.float32(0.02), "z": np.uint8(3)}),
    "DequantizeLinear": unit("DequantizeLinear", {"x": (U8, (3, 4))}, {"s": np.float32(0.02), "z": np.uint8(3)}),
    "Range": unit("Range", {}, {"a": np.array(1), "b": np.array(7), "c": np.array(2)}),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_agrees_with_onnxruntime(isa, name):
    lowered = onnx_op.lower(RIGHT[name], "k")
    assert onnx_op.compared(RIGHT[name], lowered, load(lowered.prim_funcs, isa)) < 1e-6


REFUSED = {
    "TopK": (unit("TopK", {"x": (F, (3, 8))}, {"k": ints(3)}, outputs=2), "library routine"),
    "NonZero": (unit("Compress", {"x": MAP}, {"c": np.array([True, False])}, axis=0), "TVM's own runtime"),
    "Celu": (unit("Celu", {"x": MAP}), "not supported"),
    "OneHot": (unit("OneHot", {"x": (I64, (3,))}, {"d": np.array(4), "v": np.float32([0, 1])}), "another type"),
    "random": (unit("RandomNormal", {}, shape=[2, 3]), "random"),
    "sign of infinity": (unit("IsInf", {"x": MAP}, detect_negative=0), "ignored"),
    "antialias": (
        unit("Resize", {"x": (F, (1, 2, 4, 4))}, {"r": floats(0), "s": np.float32([1, 1, 0.5, 0.5])},
             opset=18, mode="linear", antialias=1),
        "antialias",
    ),
    "output_shape": (
        unit("ConvTranspose", {"x": (F, (1, 3, 4, 4))}, {"w": floats(3, 2, 3, 3)}, output_shape=[7, 7]),
        "output_shape",
    ),
    "mean of LayerNormalization": (
        unit("LayerNormalization", {"x": MAP}, {"s": floats(5), "b": floats(5)}, outputs=2), "scalars",
    ),
    "empty reduction": (unit("ReduceSum", {"x": (F, (2, 0, 3))}, {"a": ints(1)}), "over nothing"),
    "resize to fractions": (
        unit("Resize", {"x": (F, (1, 2, 10, 10))}, {"r": floats(0), "s": np.float32([1, 1, 0.37, 0.37])}, mode="cubic"),
        "whole sizes",
    ),
    "another type than inferred": (replace(RIGHT["Sin"], outs=(Plain((2, 3, 4, 5), "float64"),)), "float64"),
    "strings": (unit("Identity", {"x": (TensorProto.STRING, (3,))}), "strings"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_with_a_reason(name):
    spec, reason = REFUSED[name]
    with pytest.raises(HetpartError) as caught:
        onnx_op.lower(spec, "k")
    assert caught.value.code == "no-kernel"
    assert reason in caught.value.message
    assert caught.value.node == "the-node"


PHONE = Isa("aarch64-linux-gnu", "cortex-a76", ("+neon",), lanes=4, registers=32)


@pytest.mark.parametrize("phone", [False, True])
def test_a_wrong_kernel_is_refused(isa, monkeypatch, phone):
    cosine = onnx_op.lower(unit("Cos", {"x": MAP}), "k")
    monkeypatch.setattr(onnx_op, "lower", lambda *_: cosine)
    with pytest.raises(HetpartError, match="disagrees") as caught:
        onnx_op.build(unit("Sin", {"x": MAP}), PHONE if phone else isa, "k")
    assert caught.value.code == "wrong-kernel"


def test_what_was_compared_is_what_is_built(isa):
    for wanted in (isa, PHONE):
        lowered, code = onnx_op.build(RIGHT["LRN"], wanted, "k")
        assert code == build_object(lowered.prim_funcs, wanted)


def test_lowering_names_and_places():
    lowered = onnx_op.lower(RIGHT["Split"], "unit")
    (call,) = lowered.calls
    assert call.args == (("input", 0), ("output", 0), ("output", 1), ("output", 2))
    assert call.writes == (1, 2, 3)
    assert call.symbol.startswith("unit_")
    assert not lowered.scratch


def test_scratch_is_numbered_without_gaps():
    lowered = onnx_op.lower(RIGHT["ReduceLogSumExp"], "unit")
    used = {index for call in lowered.calls for role, index in call.args if role == "scratch"}
    assert used == set(range(len(lowered.scratch)))
    assert len({f.attrs["global_symbol"] for f in lowered.prim_funcs}) == len(lowered.prim_funcs)


def test_an_output_that_is_an_input_is_copied():
    (call,) = onnx_op.lower(RIGHT["Identity"], "unit").calls
    assert call.ranged
    assert call.args == (("input", 0), ("output", 0))


def test_an_index_out_of_bounds_stays_in_the_tensor(isa):
    spec = RIGHT["embedding"]
    lowered = onnx_op.lower(spec, "unit")
    (got,) = onnx_op._run(lowered, load(lowered.prim_funcs, isa), [np.full((2, 5), 10**9)], spec.outs)
    weights = numpy_helper.to_array(onnx.load_from_string(spec.model).graph.initializer[0])
    np.testing.assert_array_equal(got, np.broadcast_to(weights[-1], got.shape))


def test_steps_on_constant_indices_are_not_left_to_tvm():
    model = onnx.load_from_string(RIGHT["Gather"].model)
    text = repair(from_onnx(model, keep_params_in_input=False)).script()
    assert "R.take(x" in text
    assert not any(step in text for step in ("R.shape_to_tensor", "R.less", "R.add", "R.where"))


def test_lowering_is_deterministic():
    first, second = (onnx_op.lower(RIGHT["LRN"], "unit") for _ in range(2))
    assert first.calls == second.calls
    assert [f.script() for f in first.prim_funcs] == [f.script() for f in second.prim_funcs]
