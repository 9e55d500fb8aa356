"""What quantised kernels must produce: sums in int64, requantised with onnxruntime's arithmetic in numpy's float32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from hetpart.kernels.cpu.build import host_isa
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ConvSpec, QConvSpec, QDenseSpec, Rounding
from tests.kernels.cpu.reference import convolution

HOST = host_isa()


def without(isa: Isa, *features: str) -> Isa:
    """`isa` on a processor that lacks some features."""
    kept = tuple(m for m in isa.mattr if m[1:] not in features)
    return replace(isa, mattr=(*kept, *(f"-{f}" for f in features)))


ISAS = {"host": HOST}
if HOST.triple.startswith("x86_64"):
    ISAS["without dot products"] = without(HOST, "avx512vnni", "avxvnni")
    # no triple that the kernels know: dot products by single products
    ISAS["plain"] = replace(ISAS["without dot products"], triple="amd64-linux-gnu")


def stored(real: np.ndarray, y: Rounding | None, dtype: str) -> np.ndarray:
    """float32 `real`, in units of the output's scale, as it is stored."""
    if y is None:
        return real
    bounded = np.clip(real, np.float32(y.low - y.zero_point), np.float32(y.high - y.zero_point))
    return (np.rint(bounded).astype(np.int64) + y.zero_point).astype(dtype)


def requantised(total: np.ndarray, scale: np.ndarray, y: Rounding | None, dtype: str) -> np.ndarray:
    """Exact sums, brought to int32, times float32 multipliers."""
    wrapped = np.asarray(total).astype(np.int64).astype(np.int32)
    return stored(wrapped.astype(np.float32) * scale.astype(np.float32), y, dtype)


def convolved(spec: QConvSpec, x: np.ndarray, constants: Mapping[str, np.ndarray]) -> np.ndarray:
    plain = ConvSpec(
        spec.x, spec.out, spec.kernel, spec.strides, spec.dilations, spec.pads, spec.group, bias=True
    )  # fmt: skip
    total = convolution(plain, [x.astype(np.float64) - int(constants["zero_point"])], constants)
    return requantised(total, constants["scale"][:, None, None], spec.y, spec.out.dtype)


def multiplied(spec: QDenseSpec, x: np.ndarray, constants: Mapping[str, np.ndarray]) -> np.ndarray:
    total = (x.astype(np.int64) - int(constants["zero_point"])) @ constants["w"].astype(np.int64) + constants["b"]
    return requantised(total, constants["scale"], spec.y, spec.out.dtype)


def by_onnxruntime(
    op_type: str, inputs: Mapping[str, np.ndarray], variable: int, domain: str = "", **attributes: object
) -> np.ndarray:
    """One operator: its first `variable` array-valued inputs are fed, the others are constants; in the given order."""
    fed = [name for name in inputs if inputs[name].ndim > 1][:variable]
    kinds = {name: (helper.np_dtype_to_tensor_dtype(inputs[name].dtype), inputs[name].shape) for name in fed}
    graph = helper.make_graph(
        [helper.make_node(op_type, list(inputs), ["y"], domain=domain, **attributes)],
        "one",
        [helper.make_tensor_value_info(name, *kind) for name, kind in kinds.items()],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in inputs.items() if n not in fed],
    )
    opsets = [helper.make_opsetid("", 19), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {name: inputs[name] for name in fed})[0]
    return result
