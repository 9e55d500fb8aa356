"""PrimFuncs to machine code: a relocatable object for the bundle, or callables in this process.

Functions without TVM blocks (all of our generators') go through a short list of passes: TVM's default pipeline costs
more time than LLVM on unrolled code, and its simplifier expands bound values (see `hetpart.kernels.cpu.steps`). What
comes out of TVM's own legalisation has blocks and takes the default pipeline. LLVM optimises both alike.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import s_tir, tirx

from hetpart.errors import HetpartError, InternalError
from hetpart.kernels.cpu.emit import UNROLLED
from hetpart.kernels.isa import Isa

ALIGNMENT = 64
"""Bytes. The generated code may use aligned vector accesses on every buffer; TVM does not check it."""

LLVM_OPTIONS = {
    "aarch64": (
        # constants of one loop are made there, and not kept in registers through the others
        "-sink-insts-to-avoid-spills",
        # half of LLVM's own limit (300)
        "-unroll-threshold-aggressive:uint=150",
    )
}
"""By architecture, for functions that are `UNROLLED`. LLVM hoists constants and unrolls without counting registers."""

Kernel = Callable[..., None]


def build_object(prim_funcs: Sequence[Any], isa: Isa) -> bytes:
    """A relocatable ELF object that exports ``__tvm_ffi_<symbol>`` for each function; same input, same bytes."""
    return _object(_compile(prim_funcs, isa))


def assembly(prim_funcs: Sequence[Any], isa: Isa) -> str:
    """The assembly text of what `build_object` makes, for people and for static analysis."""
    return str(_compile(prim_funcs, isa).inspect_source("asm"))


def load(prim_funcs: Sequence[Any], isa: Isa) -> Mapping[str, Kernel]:
    """The kernels by symbol, callable with 64-byte aligned numpy arrays (see `aligned`) and ints.

    Arguments are passed without a copy; the arrays must be C-contiguous.
    """
    return _kernels(_compile(prim_funcs, isa), prim_funcs)


def build_and_load(prim_funcs: Sequence[Any], isa: Isa) -> tuple[bytes, Mapping[str, Kernel]]:
    """`build_object` and `load` of one compilation."""
    module = _compile(prim_funcs, isa)
    return _object(module), _kernels(module, prim_funcs)  # in this order: loading changes the module


def aligned(shape: Sequence[int], dtype: str = "float32") -> np.ndarray:
    """A zeroed array whose data start on `ALIGNMENT` bytes."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return np.ndarray(tuple(shape), dtype, raw, start)


def host_isa() -> Isa:
    """The instruction set of this machine.

    Raises:
        HetpartError: ``host-cpu`` if it is neither x86-64 nor aarch64 Linux.
    """
    machine = platform.machine()
    if platform.system() != "Linux" or machine not in ("x86_64", "aarch64"):
        raise HetpartError(
            "host-cpu", f"no CPU kernels for {platform.system()} on {machine}", hint="use x86-64 or aarch64 Linux"
        )
    name = str(tvm.get_global_func("tvm.codegen.llvm.GetHostCPUName")())
    triple = f"{machine}-linux-gnu"
    host = tvm.get_global_func("tvm.codegen.llvm.GetHostCPUFeatures")()
    if machine == "aarch64":
        further = (f"+{feature}" for feature in ("dotprod", "fullfp16") if host.get(feature, False))
        return Isa(triple, name, ("+neon", *further), lanes=4, registers=32)
    has = {feature: bool(host.get(feature, False)) for feature in _X86_FEATURES}
    # Explicit both ways: under a hypervisor the processor's name promises other features than there are.
    mattr = tuple(f"{'+' if present else '-'}{feature}" for feature, present in has.items())
    if has["avx512f"] and has["avx512vl"] and has["avx512dq"]:
        return Isa(triple, name, mattr, lanes=16, registers=32)
    if has["avx2"] and has["fma"]:
        return Isa(triple, name, mattr, lanes=8, registers=16)
    return Isa(triple, name, mattr, lanes=4, registers=16)


_X86_FEATURES = (
    "sse4.1", "avx", "avx2", "fma", "avx512f", "avx512vl", "avx512dq",  # what float code is made of
    "avx512bw", "avx512vnni", "avx512vbmi", "avxvnni",  # and int8 code
    "f16c", "avx512fp16",  # and float16 code
)  # fmt: skip


def _object(module: Any) -> bytes:
    with tempfile.NamedTemporaryFile(prefix="hetpart-", suffix=".o") as file:
        module.write_to_file(file.name, "o")
        return Path(file.name).read_bytes()


def _kernels(module: Any, prim_funcs: Sequence[Any]) -> Mapping[str, Kernel]:
    def wrap(function: Any) -> Kernel:
        return lambda *arguments: function(*(_argument(a) for a in arguments))

    return MappingProxyType({name: wrap(module[name]) for name in map(_symbol, prim_funcs)})


def _compile(prim_funcs: Sequence[Any], isa: Isa) -> Any:
    symbols = [_symbol(f) for f in prim_funcs]
    if len(set(symbols)) < len(symbols):
        raise InternalError("duplicate-symbol", f"two kernels of one object share a name: {sorted(symbols)}")
    config = {"kind": "llvm", "mtriple": isa.triple, "mcpu": isa.mcpu, "mattr": list(isa.mattr), "num-cores": 1}
    if any(UNROLLED in f.attrs for f in prim_funcs):
        config["cl-opt"] = list(LLVM_OPTIONS.get(isa.triple.partition("-")[0], ()))
    target = tvm.target.Target(config)
    target = tvm.target.Target(target, host=target)
    own = {s: f for s, f in zip(symbols, prim_funcs, strict=True) if not isinstance(f.body, s_tir.SBlockRealize)}
    legalised = {s: f for s, f in zip(symbols, prim_funcs, strict=True) if s not in own}
    lowered = _OWN_PASSES(_module(own, target))
    if legalised:
        pipeline, finalize, _ = tirx.get_tir_pipeline("s_tir")
        lowered.update(finalize()(pipeline(_module(legalised, target))))
    for name, function in lowered.functions_items():
        lowered.update_func(name, _with_one_message(function))
    return tvm.get_global_func("target.build.llvm")(lowered, target)


_OWN_PASSES = tvm.transform.Sequential(
    [
        tirx.transform.FlattenBuffer(),
        tirx.transform.VectorizeLoop(),
        tirx.transform.UnrollLoop(),
        s_tir.transform.RewriteUnsafeSelect(),
        tirx.transform.SplitHostDevice(),
        tirx.transform.MakePackedAPI(),
        tirx.transform.LowerTVMBuiltin(),
        tirx.transform.LowerIntrin(),
    ]
)


def _with_one_message(function: Any) -> Any:
    """`function` with one message for whatever is wrong with its arguments.

    With TVM's, each of which says what was wrong with which argument, the checks are half of a small kernel's code.
    """
    kind = tvm.ir.StringImm("ValueError")
    message = [tvm.ir.StringImm(f"{_symbol(function)}: called with arguments that it was not made for")]

    def shortened(check: Any) -> Any:
        # condition first: AssertStmt's own names of its first two parameters are the wrong way round
        return tirx.AssertStmt(check.condition, kind, message, check.span)

    return tvm_ffi.structural_map(function, [(tirx.AssertStmt, shortened)])


def _module(functions: Mapping[str, Any], target: Any) -> Any:
    module = tvm.IRModule({tvm.ir.GlobalVar(name): function for name, function in functions.items()})
    return tirx.transform.BindTarget(target)(module)


def _symbol(prim_func: Any) -> str:
    return str(prim_func.attrs["global_symbol"])


def _argument(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    if (value.size and value.ctypes.data % ALIGNMENT) or not value.flags.c_contiguous:
        raise InternalError("kernel-argument", f"a kernel needs {ALIGNMENT}-byte aligned, contiguous arrays")
    return tvm.runtime.from_dlpack(value)
