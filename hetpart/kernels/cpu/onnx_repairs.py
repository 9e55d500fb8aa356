"""What is put right of the code that TVM makes of an ONNX operator: out-of-range gathers, float Mod, maxima.

Maxima and minima of floats that are empty or meet a NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import relax, s_tir, te, tirx


@relax.expr_functor.mutator
class _Repair(relax.PyExprMutator):  # type: ignore[misc]  # tvm ships no types
    """Gathers clip their indices: TVM's default reads outside of the tensor where an index is out of bounds.

    Mod of floats with the sign of the dividend is C's fmod: TVM subtracts a rounded product.

    What the importer writes to count constant indices from the end is computed here: TVM would compile each step.
    """

    def visit_call_(self, call: Any) -> Any:
        call = super().visit_call_(call)
        name = getattr(call.op, "name", "")
        if name == "relax.shape_to_tensor" and (shape := self._shape(call.args[0])) is not None:
            return relax.const(shape, "int64")
        if name in _INDEX_ARITHMETIC and getattr(call.attrs, "mode", "wrap") == "wrap":
            arrays = [self._array(argument) for argument in call.args]
            if all(array is not None for array in arrays):
                return relax.const(_INDEX_ARITHMETIC[name](call, *arrays), str(call.ty.dtype))
        if name == "relax.take" and call.attrs.mode == "fast":
            return relax.op.take(call.args[0], call.args[1], call.attrs.axis, mode="clip")
        if name == "relax.mod" and str(call.ty.dtype).startswith("float"):
            return self.builder_.call_te(_fmod, *call.args, primfunc_name_hint="fmod")
        return call

    def _shape(self, value: Any) -> list[int] | None:
        """The static shape that `value` is, as it stands there or as the shape of a tensor."""
        value = self._bound(value)
        if getattr(getattr(value, "op", None), "name", "") == "relax.shape_of":
            value = value.args[0].ty.shape
        if not isinstance(value, relax.ShapeExpr) or not all(isinstance(e, tirx.IntImm) for e in value.values):
            return None
        return [int(extent) for extent in value.values]

    def _array(self, value: Any) -> np.ndarray | None:
        """The integers or booleans that `value` is known to be."""
        value = self._bound(value)
        array = value.value.numpy() if isinstance(value, tvm.ir.GenericConst) else None
        return array if array is not None and array.dtype.kind in "biu" else None

    def _bound(self, value: Any) -> Any:
        return self.lookup_binding(value) if isinstance(value, relax.Var) else value


_INDEX_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "relax.add": lambda call, a, b: a + b,
    "relax.astype": lambda call, a: a,
    "relax.less": lambda call, a, b: a < b,
    "relax.take": lambda call, a, i: np.take(a, i, call.attrs.axis, mode="wrap"),
    "relax.where": lambda call, condition, a, b: np.where(condition, a, b),
}
"""What integers that are known go through, on numpy's terms."""


@tvm.transform.module_pass(opt_level=0, name="Repair")  # type: ignore[untyped-decorator]  # tvm ships no types
def repair(module: Any, _: Any) -> Any:
    """The pass, to be run on what the importer returns."""
    mutator = _Repair(module)
    for name, function in module.functions_items():
        if isinstance(function, relax.Function):
            mutator.builder_.update_func(name, mutator.visit_expr(function))
    return mutator.builder_.get()


def _fmod(a: Any, b: Any) -> Any:
    """C's fmod, which is exact, of two tensors that broadcast; of float16 in float32, where it is exact as well."""
    shape = np.broadcast_shapes(*(tuple(int(extent) for extent in t.shape) for t in (a, b)))
    wide = "float32" if a.dtype == "float16" else a.dtype

    def element(tensor: Any, index: Sequence[Any]) -> Any:
        own = index[len(index) - len(tensor.shape) :]
        at = [0 if int(extent) == 1 else i for extent, i in zip(tensor.shape, own, strict=True)]
        return tensor(*at).astype(wide)

    function = "fmod" if wide == "float64" else "fmodf"

    def rest(*index: Any) -> Any:
        return tirx.call_pure_extern(wide, function, element(a, index), element(b, index)).astype(a.dtype)

    return te.compute(shape, rest, "fmod")


def unbounded(function: Any) -> Any:
    """`function` with maxima and minima that begin at the infinities: TVM begins at the largest finite numbers."""

    def begin(block: Any) -> Any:
        value = getattr(block.init, "value", None)
        if not isinstance(value, tirx.FloatImm) or value.ty.dtype not in _LARGEST:
            return block
        if abs(value.value) < _LARGEST[value.ty.dtype]:
            return block
        infinity = tirx.FloatImm(value.ty.dtype, math.copysign(math.inf, value.value))
        init = tirx.BufferStore(block.init.buffer, infinity, block.init.indices)
        return s_tir.SBlock(
            block.iter_vars, block.reads, block.writes, block.name_hint, block.body, init, block.alloc_buffers,
            block.match_buffers, block.annotations,
        )  # fmt: skip

    return tvm_ffi.structural_map(function, [(s_tir.SBlock, begin)])


@tvm.transform.module_pass(opt_level=0, name="Define")  # type: ignore[untyped-decorator]  # tvm ships no types
def define(module: Any, _: Any) -> Any:
    """A pass for kernels, which TVM also folds constants with: no maximum loses a NaN, no division ends the process.

    TVM's maximum and minimum are the second operand where one is NaN. A division of integers by zero gives what one by
    1 does: ONNX leaves it open, and x86 stops the program.
    """
    changed = {name: function for name, function in module.functions_items() if isinstance(function, tirx.PrimFunc)}
    for name, function in changed.items():
        rules = [(kind, _keep_nan) for kind in (tirx.Max, tirx.Min)]
        rules += [(kind, _divide) for kind in (tirx.Div, tirx.Mod, tirx.FloorDiv, tirx.FloorMod)]
        module.update_func(name, tvm_ffi.structural_map(function, rules))
    return module


def _keep_nan(call: Any) -> Any:
    a, b = call.a, call.b
    if not str(a.ty.dtype).startswith("float"):
        return call
    name = "llvm.maximum" if isinstance(call, tirx.Max) else "llvm.minimum"
    return tirx.call_llvm_pure_intrin(a.ty.dtype, name, a, b)


def _divide(call: Any) -> Any:
    a, b = call.a, call.b
    if (isinstance(b, tirx.IntImm) and b.value != 0) or str(b.ty.dtype).startswith("float"):
        return call
    one = tirx.const(1, b.ty.dtype)
    return type(call)(a, tirx.Select(tirx.EQ(b, tirx.const(0, b.ty.dtype)), one, b))


_LARGEST = {dtype: float(np.finfo(dtype).max) for dtype in ("float16", "float32", "float64")}
