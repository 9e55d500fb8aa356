"""Which ONNX operators TVM's importer gets right, as measured.

Source: the 1,404 direct operator tests of onnx 1.23 (onnx.backend.test.case.node), imported with apache-tvm 0.27,
compiled for LLVM and compared with the expected outputs; inputs other than the data were made constant where the
importer wants that. Left out of the verified ones on purpose: what the frontend folds away (Shape, Size, Range ...),
what has no static shape (NonZero, Compress), and what random inputs cannot verify against onnxruntime (RoiAlign,
MaxUnpool).
"""

from __future__ import annotations

_VERIFIED_NAMES = """
    Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift
    BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Clip Concat Conv ConvTranspose Cos Cosh CumSum
    DepthToSpace DequantizeLinear Div DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor Gather
    GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GridSample
    GroupNormalization HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LayerNormalization
    LeakyRelu Less LessOrEqual Log LogSoftmax LpPool MatMul MatMulInteger Max MaxPool Mean MeanVarianceNormalization Min
    Mish Mod Mul Neg Not OneHot Or PRelu Pad Pow QuantizeLinear Reciprocal ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round
    ScatterElements ScatterND Selu Shrink Sigmoid Sign Sin Sinh Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt
    Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile Transpose Trilu Unsqueeze Where Xor
"""
VERIFIED = frozenset(_VERIFIED_NAMES.split())
"""Right in every test that avoids hetpart.oracle.tvm_traps; any other operator is refused.

Failures by tensors without elements or by types that hetpart refuses anyway do not count.
"""

CONSTANT_INPUTS: dict[str, tuple[int, ...]] = {
    "AffineGrid": (1,),
    "CumSum": (1,),
    "Expand": (1,),
    "OneHot": (1, 2),
    "Pad": (1, 2, 3),
    "ReduceL1": (1,),
    "ReduceL2": (1,),
    "ReduceLogSum": (1,),
    "ReduceLogSumExp": (1,),
    "ReduceMax": (1,),
    "ReduceMean": (1,),
    "ReduceMin": (1,),
    "ReduceProd": (1,),
    "ReduceSum": (1,),
    "ReduceSumSquare": (1,),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Tile": (1,),
}
"""Inputs, by position, that the importer reads at compile time."""
