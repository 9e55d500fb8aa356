"""Generators of OpenCL C 1.2 text, one module per kernel family (see hetpart.kernels.kernel.OpenclGenerator).

Text, not TVM's OpenCL code generator: TIR register tiles come out of it as private arrays in 300 KB of unrolled
source and reach 7 GFLOP/s where named vector accumulators reach 95 on the same core (PoCL, one core of AVX-512).

Two styles of device. Where `Device.tile_items` is set, one work-item computes a whole register tile or row and runs
alone. Otherwise items are small and many, for a SIMT GPU; only there, and only for sums over long rows and planes, do
the items of a group work together, through local memory (hetpart.kernels.opencl.groups). All other kernels run with any
local size. Pointer arguments are declared as pointers to the
vectors that they hold, so buffers must start on a whole vector: 64 bytes for blocks of 16. Maps may also lie in images
or in buffers of float16 (hetpart.kernels.opencl.blocked).
"""

from __future__ import annotations

from hetpart.errors import HetpartError
from hetpart.graph.layout import Layout
from hetpart.kernels.kernel import OpenclGenerator
from hetpart.kernels.opencl import (
    channels,
    concat,
    conv,
    conv_transpose,
    dense,
    eltwise,
    global_pool,
    instance_norm,
    layer_norm,
    matmul,
    pad,
    pool,
    repack,
    resize,
    softmax,
    transpose,
)
from hetpart.kernels.spec import (
    ChannelsSpec,
    ConcatSpec,
    ConvSpec,
    ConvTransposeSpec,
    DenseSpec,
    EltwiseSpec,
    GlobalPoolSpec,
    InstanceNormSpec,
    LayerNormSpec,
    MatmulSpec,
    PadSpec,
    PoolSpec,
    RepackSpec,
    ResizeSpec,
    SoftmaxSpec,
    Spec,
    TransposeSpec,
)

GENERATORS: dict[type[Spec], OpenclGenerator] = {
    ChannelsSpec: channels,
    ConcatSpec: concat,
    ConvSpec: conv,
    ConvTransposeSpec: conv_transpose,
    DenseSpec: dense,
    EltwiseSpec: eltwise,
    GlobalPoolSpec: global_pool,
    InstanceNormSpec: instance_norm,
    LayerNormSpec: layer_norm,
    MatmulSpec: matmul,
    PadSpec: pad,
    PoolSpec: pool,
    RepackSpec: repack,
    ResizeSpec: resize,
    SoftmaxSpec: softmax,
    TransposeSpec: transpose,
}
"""The generator of each kind of spec."""

_MOVES_DATA = (ConcatSpec, TransposeSpec)


def generator(spec: Spec) -> OpenclGenerator:
    """The generator for `spec`.

    Raises:
        HetpartError: ``no-kernel``, for an operator or an element type that only the CPU has kernels for.
    """
    module = GENERATORS.get(type(spec))
    if module is None:
        raise HetpartError(
            "no-kernel",
            f"there is no OpenCL kernel for {type(spec).__name__}",
            hint="place this operator on the CPU",
        )
    operands: tuple[Layout, ...] = getattr(spec, "operands", ())
    wrong = {form.dtype for form in (*spec.inputs, *operands, *spec.outputs)} - {"float32", "float16"}
    if wrong and not isinstance(spec, _MOVES_DATA):
        raise HetpartError(
            "no-kernel",
            f"the OpenCL kernel for {type(spec).__name__} takes real numbers, not {', '.join(sorted(wrong))}",
            hint="place this operator on the CPU",
        )
    return module


__all__ = ["GENERATORS", "generator"]
