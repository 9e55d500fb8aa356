"""CPU kernels: which module generates the code of which spec.

The modules import tvm, so they are imported when first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

from hetpart.errors import InternalError
from hetpart.kernels.kernel import CpuGenerator
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
    QConvSpec,
    QDenseSpec,
    QEltwiseSpec,
    QPoolSpec,
    RepackSpec,
    ResizeSpec,
    SoftmaxSpec,
    Spec,
    TransposeSpec,
)

GENERATORS: dict[type[Spec], str] = {
    ChannelsSpec: "channels",
    ConcatSpec: "concat",
    ConvSpec: "conv",
    ConvTransposeSpec: "conv_transpose",
    DenseSpec: "dense",
    EltwiseSpec: "eltwise",
    GlobalPoolSpec: "global_pool",
    InstanceNormSpec: "instance_norm",
    LayerNormSpec: "layer_norm",
    MatmulSpec: "matmul",
    PadSpec: "pad",
    PoolSpec: "pool",
    QConvSpec: "qconv",
    QDenseSpec: "qdense",
    QEltwiseSpec: "qeltwise",
    QPoolSpec: "qpool",
    RepackSpec: "repack",
    ResizeSpec: "resize",
    SoftmaxSpec: "softmax",
    TransposeSpec: "transpose",
}
"""Spec type -> module of this package. `OnnxSpec` is not here: it lowers to several calls (see `onnx_op.lower`)."""


def generator(spec: Spec) -> CpuGenerator:
    """The module that generates the kernel of `spec`."""
    name = GENERATORS.get(type(spec))
    if name is None:
        raise InternalError("no-generator", f"no CPU generator for {type(spec).__name__}")
    return cast(CpuGenerator, import_module(f"{__name__}.{name}"))
