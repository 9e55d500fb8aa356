"""Any other operator: a one-unit ONNX model through TVM's importer, as kernel calls without a virtual machine.

ONNX -> Relax -> one PrimFunc per Relax operator. The calls run in order on inputs, outputs, constants and scratch
buffers; none is split over threads. `build` runs them on this machine first and compares with onnxruntime.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import tvm
import tvm_ffi
from tvm import relax, tirx
from tvm.relax.backend import cpu_generic
from tvm.relax.frontend.onnx import from_onnx

from hetpart.errors import HetpartError, InternalError
from hetpart.graph.layout import Plain
from hetpart.kernels.cpu.build import Kernel, aligned, build_and_load, build_object, host_isa, load
from hetpart.kernels.cpu.onnx_feeds import random_feeds
from hetpart.kernels.cpu.onnx_repairs import define, repair, unbounded
from hetpart.kernels.cpu.onnx_trust import no_kernel, require_trusted
from hetpart.kernels.cpu.runs import copy_kernel
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import OnnxSpec
from hetpart.reference import evaluate

TOLERANCE = {"float16": 5e-3, "float32": 1e-4, "float64": 1e-4}
"""Largest relative L2 error of an output against onnxruntime; other types must be equal."""

Ref = tuple[str, int]
"""Where an argument lies: ``("input" | "output" | "scratch" | "constant", index)``."""


@dataclass(frozen=True)
class Call:
    """One kernel call.

    Attributes:
        symbol: the kernel.
        args: its buffers, in order.
        writes: positions in `args` that it writes.
        ranged: whether it ends with ``lo, hi`` (then its extent is 1).
    """

    symbol: str
    args: tuple[Ref, ...]
    writes: tuple[int, ...]
    ranged: bool = False


@dataclass(frozen=True)
class LoweredOp:
    """The kernels of one operator and the calls to make, in order."""

    prim_funcs: tuple[Any, ...]
    calls: tuple[Call, ...]
    scratch: tuple[Plain, ...]
    constants: tuple[np.ndarray, ...]


def build(spec: OnnxSpec, isa: Isa, symbol: str) -> tuple[LoweredOp, bytes]:
    """`lower`, and the relocatable object of the kernels for `isa`, if they are right on this machine.

    Raises:
        HetpartError: ``no-kernel``, ``wrong-kernel``, as `lower` and `compared`.
    """
    lowered = lower(spec, symbol)
    host = host_isa()
    if (isa.triple, isa.mcpu, isa.mattr) == (host.triple, host.mcpu, host.mattr):
        code, kernels = build_and_load(lowered.prim_funcs, isa)
        compared(spec, lowered, kernels)
    else:
        compared(spec, lowered, load(lowered.prim_funcs, host))
        code = build_object(lowered.prim_funcs, isa)
    return lowered, code


def lower(spec: OnnxSpec, symbol: str) -> LoweredOp:
    """The kernels of `spec`, named after `symbol`; the same for every instruction set.

    Raises:
        HetpartError: ``no-kernel`` if TVM cannot import the model, gets it wrong (`onnx_trust`), gives other types
            than `spec` says, or needs a library routine (sorting, non-maximum suppression).
    """
    model = onnx.load_from_string(spec.model)
    require_trusted(model)
    module = _legalise(model)
    walk = _Walk(model, module, spec, symbol)
    return walk.result()


def compared(spec: OnnxSpec, lowered: LoweredOp, kernels: Mapping[str, Kernel]) -> float:
    """Relative L2 error against onnxruntime of what `kernels`, `lowered` compiled for this machine, make of `spec`.

    Raises:
        HetpartError: ``wrong-kernel`` above `TOLERANCE` or if other types differ at all; ``no-kernel`` if onnxruntime
            cannot run the model.
    """
    model = onnx.load_from_string(spec.model)
    feeds = random_feeds(model)
    error = 0.0
    results = _run(lowered, kernels, list(feeds.values()), spec.outs)
    for output, got, want in zip(model.graph.output, results, _reference(model, feeds), strict=True):
        error = max(error, _difference(model, output.name, got, want))
    return error


def _legalise(model: onnx.ModelProto) -> tvm.IRModule:
    """Relax main of `model` in which every operator is a `R.call_tir`."""
    target = tvm.target.Target("llvm")
    passes = [
        repair,
        *cpu_generic.library_dispatch_passes(target),
        relax.transform.LegalizeOps(),
        define,
        relax.transform.FoldConstant(),
        relax.transform.DeadCodeElimination(),
        relax.transform.ToNonDataflow(),
        relax.transform.RemovePurityChecking(),
    ]
    try:
        module = from_onnx(model, keep_params_in_input=False)
        with target:
            return tvm.transform.Sequential(passes)(module)
    except Exception as error:  # the importer and TVM's passes raise every kind of error for what they cannot do
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise no_kernel(model, f"TVM does not take it ({reason.strip()[:200]})") from error


class _Walk:
    """Turns the bindings of a legalised main function into calls."""

    def __init__(self, model: onnx.ModelProto, module: tvm.IRModule, spec: OnnxSpec, symbol: str) -> None:
        self._model = model
        self._module = module
        self._spec = spec
        self._symbol = symbol
        self._functions: dict[str, Any] = {}
        self._calls: list[Call] = []
        self._scratch: list[Plain] = []
        self._constants: list[np.ndarray] = []
        self._values: dict[Any, Any] = {}

    def result(self) -> LoweredOp:
        main = self._module["main"]
        if len(main.params) != len(self._spec.xs):
            raise InternalError(
                "kernel-spec", f"the unit model has {len(main.params)} inputs, not {len(self._spec.xs)}"
            )
        for index, (param, layout) in enumerate(zip(main.params, self._spec.xs, strict=True)):
            self._require(self._layout(param.ty), layout, f"input {index}")
            self._values[param] = ("input", index)
        for block in main.body.blocks:
            for binding in block.bindings:
                self._values[binding.var] = self._value(binding.value)
        returned = self._value(main.body.body)
        outputs = list(returned) if isinstance(returned, list) else [returned]
        if len(outputs) != len(self._spec.outs):
            raise self._refuse(f"the importer returns {len(outputs)} outputs, not {len(self._spec.outs)}")
        self._place(outputs)
        return LoweredOp(
            tuple(self._functions.values()), tuple(self._calls), tuple(self._scratch), tuple(self._constants)
        )

    def _place(self, outputs: list[Ref]) -> None:
        """Lets the call that makes an output write it in place of its scratch; copies what no call of ours makes."""
        moved: dict[Ref, Ref] = {}
        copied: list[tuple[Ref, int]] = []
        for index, ref in enumerate(outputs):
            if ref[0] == "scratch" and ref not in moved:
                self._require(self._scratch[ref[1]], self._spec.outs[index], f"output {index}")
                moved[ref] = ("output", index)
            else:
                copied.append((moved.get(ref, ref), index))
        kept = [i for i in range(len(self._scratch)) if ("scratch", i) not in moved]
        moved |= {("scratch", old): ("scratch", new) for new, old in enumerate(kept)}
        self._scratch = [self._scratch[i] for i in kept]
        self._calls = [
            Call(call.symbol, tuple(moved.get(ref, ref) for ref in call.args), call.writes) for call in self._calls
        ]
        for ref, index in copied:
            self._copy(ref, index)

    def _copy(self, ref: Ref, index: int) -> None:
        source = {
            "input": lambda i: self._spec.xs[i],
            "output": lambda i: self._spec.outs[i],
            "constant": lambda i: Plain(self._constants[i].shape, str(self._constants[i].dtype)),
        }[ref[0]](ref[1])
        self._require(source, self._spec.outs[index], f"output {index}")
        symbol = f"{self._symbol}_copy{index}"
        self._functions[symbol] = copy_kernel(symbol, source)
        self._calls.append(Call(symbol, (ref, ("output", index)), (1,), ranged=True))

    def _value(self, expr: Any) -> Any:
        """Ref, or list of refs for a tuple, that `expr` stands for; a call is appended to the list of calls."""
        if expr in self._values:
            return self._values[expr]
        if isinstance(expr, tvm.ir.Tuple):
            return [self._value(field) for field in expr.fields]
        if isinstance(expr, tvm.ir.TupleGetItem):
            return self._value(expr.tuple_value)[expr.index]
        if isinstance(expr, tvm.ir.GenericConst):
            self._constants.append(expr.value.numpy())
            self._values[expr] = ("constant", len(self._constants) - 1)
            return self._values[expr]
        if isinstance(expr, tvm.ir.Call) and getattr(expr.op, "name", "") == "relax.call_tir" and len(expr.args) == 2:
            return self._call(expr)
        called = getattr(expr.op, "name", str(expr.op)) if isinstance(expr, tvm.ir.Call) else type(expr).__name__
        raise self._refuse(f"it needs {called}, which only TVM's own runtime has")

    def _call(self, expr: Any) -> Any:
        callee, arguments = expr.args
        inputs = [self._value(argument) for argument in arguments.fields]
        (out_type,) = expr.ty_args
        types = list(out_type.fields) if isinstance(out_type, tvm.ir.TupleType) else [out_type]
        results = []
        for type_ in types:
            results.append(("scratch", len(self._scratch)))
            self._scratch.append(self._layout(type_))
        args = (*inputs, *results)
        self._calls.append(Call(self._function(callee.name_hint), args, tuple(range(len(inputs), len(args)))))
        return results if isinstance(out_type, tvm.ir.TupleType) else results[0]

    def _function(self, name: str) -> str:
        symbol = f"{self._symbol}_{name}"
        if symbol not in self._functions:
            function = self._module[name]
            for routine in _library_calls(function):
                raise self._refuse(f"it needs the library routine {routine}")
            self._functions[symbol] = unbounded(function).with_attr("global_symbol", symbol)
        return symbol

    def _layout(self, type_: Any) -> Plain:
        shape = getattr(type_, "shape", None)
        if shape is None or not all(isinstance(extent, tirx.IntImm) for extent in shape):
            raise self._refuse("the importer does not find static shapes")
        return Plain(tuple(int(extent) for extent in shape), str(type_.dtype))

    def _require(self, found: Plain, wanted: Plain, what: str) -> None:
        if found != wanted:
            raise self._refuse(
                f"the importer gives {what} the type {found.dtype}{list(found.shape)}, "
                f"not {wanted.dtype}{list(wanted.shape)}"
            )

    def _refuse(self, why: str) -> HetpartError:
        return no_kernel(self._model, why)


_PACKED = ("tirx.tvm_call_packed", "tirx.tvm_call_cpacked", "tirx.call_extern", "tirx.tvm_call_packed_lowered")


def _library_calls(function: Any) -> Iterable[str]:
    """Names of the routines outside of the generated code (libm apart) that a PrimFunc calls."""
    found: list[str] = []

    def visit(call: Any, visitor: Any) -> None:
        if getattr(call.op, "name", "") in _PACKED:
            found.append(str(call.args[0].value))
        visitor.default_visit(call)

    tvm_ffi.structural_visit(function.body, [(tvm.ir.Call, visit)])
    return found


def _run(
    lowered: LoweredOp, kernels: Mapping[str, Kernel], inputs: list[np.ndarray], outs: tuple[Plain, ...]
) -> list[np.ndarray]:
    """The outputs of `lowered`, its kernels called in order."""
    buffers = {
        "input": [_aligned_copy(array) for array in inputs],
        "output": [aligned(out.shape, out.dtype) for out in outs],
        "scratch": [aligned(form.shape, form.dtype) for form in lowered.scratch],
        "constant": [_aligned_copy(array) for array in lowered.constants],
    }
    for call in lowered.calls:
        args = [buffers[role][index] for role, index in call.args]
        kernels[call.symbol](*args, *((0, 1) if call.ranged else ()))
    return buffers["output"]


def _aligned_copy(array: np.ndarray) -> np.ndarray:
    copy = aligned(array.shape, str(array.dtype))
    copy[...] = array
    return copy


def _reference(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs by onnxruntime, graph optimisations off (or by ONNX's definition, see `hetpart.reference`)."""
    try:
        return list(evaluate(model, feeds).values())
    except Exception as error:  # onnxruntime's binding raises one class per status code, without a common base
        raise no_kernel(model, f"onnxruntime cannot run it for comparison ({error})") from error


def _difference(model: onnx.ModelProto, name: str, got: np.ndarray, want: np.ndarray) -> float:
    """Relative L2 error where both are finite; infinities, NaN and integers must be equal."""
    if got.shape != want.shape or got.dtype != want.dtype:
        raise no_kernel(
            model, f"{name} is {got.dtype}{list(got.shape)}, onnxruntime's {want.dtype}{list(want.shape)}",
            code="wrong-kernel",
        )  # fmt: skip
    finite = np.isfinite(want) if np.issubdtype(want.dtype, np.inexact) else np.zeros(want.shape, np.bool_)
    equal = np.array_equal(got[~finite], want[~finite], equal_nan=np.issubdtype(want.dtype, np.inexact))
    delta = np.linalg.norm(got[finite].astype(np.float64) - want[finite].astype(np.float64))
    norm = np.linalg.norm(want[finite].astype(np.float64))
    error = float(delta / norm) if norm else float(delta)
    if not equal or not error <= TOLERANCE.get(str(want.dtype), 0.0):
        detail = f"relative error {error:.1e}" if equal else "some elements differ"
        raise no_kernel(model, f"TVM's code disagrees with onnxruntime in {name} ({detail})", code="wrong-kernel")
    return error
