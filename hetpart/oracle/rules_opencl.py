"""Rules for OpenCL devices: hetpart's own kernels, which compute in float32, whatever their maps are stored in."""

from __future__ import annotations

from hetpart.errors import InternalError
from hetpart.oracle.rules_common import SIZES
from hetpart.oracle.verdict import Rule, Subject
from hetpart.targets.schema import OpenclCodegen


def _no_kernel(at: Subject) -> str | None:
    if at.unit.kind != "other":
        return None
    return f"hetpart has no OpenCL kernel for {at.unit.op}"


def _not_float32(at: Subject) -> str | None:
    for value, kind in at.tensors():
        if kind.dtype != "float32":
            return f"{value} is {kind.dtype}; OpenCL kernels read and write float32"
    return None


def _buffer_too_large(at: Subject) -> str | None:
    codegen = at.processor.codegen
    if not isinstance(codegen, OpenclCodegen):
        raise InternalError("target-kind", f"processor {at.processor.name} is no OpenCL device")
    for value, kind in at.tensors():
        if kind.size_bytes > codegen.max_buffer_bytes:
            return f"{value} needs {kind.size_bytes} bytes; the device allows {codegen.max_buffer_bytes} in one buffer"
    for name in sorted({v.name for node in at.unit.nodes for v in node.inputs if v is not None and v.name}):
        tensor = at.graph.model.graph.initializers.get(name)
        if tensor is not None and tensor.const_value is not None:
            size_bytes = tensor.const_value.nbytes
            if size_bytes > codegen.max_buffer_bytes:
                return f"weight {name} needs {size_bytes} bytes; the device allows {codegen.max_buffer_bytes}"
    return None


_REWRITE = "express it as convolution, product, pooling or elementwise operators, or leave it to the CPU"

RULES = (
    *SIZES,
    Rule("no-opencl-kernel", "unsupported", _no_kernel, _REWRITE, "hetpart.kernels.opencl"),
    Rule("dtype", "unsupported", _not_float32, "only float32 units can go to the GPU", "hetpart.kernels.opencl"),
    Rule(
        "buffer-too-large",
        "unsupported",
        _buffer_too_large,
        "use a smaller batch or image, or split the layer",
        "OpenCL 1.2, clCreateBuffer: CL_INVALID_BUFFER_SIZE",
    ),
)
