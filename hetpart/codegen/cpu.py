"""The CPU processor's module: kernel calls -> invocations and relocatable objects."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np

from hetpart.codegen.cache import KernelCache
from hetpart.codegen.names import symbol_of
from hetpart.graph.layout import Plain
from hetpart.kernels.call import KernelCall, Source
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import ConvSpec, OnnxSpec, Spec
from hetpart.plan.invocation import Argument, Constant, Invocation, Scratch, Value

_PARALLEL_FROM = 6
"""Missing kernels from which a pool of compiler processes pays for its start (each imports tvm: 1.6 s)."""


class CpuModule:
    """Collects the kernels of one instruction set.

    Raises (from `lower`): HetpartError for an operator that has no correct kernel.
    """

    def __init__(self, isa: Isa, cache: KernelCache, workers: int | None = None) -> None:
        self.isa = isa
        self._workers = workers
        self._cache = cache
        self._objects: dict[str, bytes] = {}
        self._wanted: dict[str, Spec] = {}
        self._symbols: list[str] = []

    def lower(self, call: KernelCall) -> tuple[Invocation, ...]:
        """The invocations of `call`; its kernels are noted for `objects`."""
        if isinstance(call.spec, OnnxSpec):
            return self._lower_imported(call, call.spec)
        from hetpart.kernels.cpu import generator

        module = generator(call.spec)
        symbol = symbol_of(call.spec)
        if symbol not in self._wanted:
            self._wanted[symbol] = call.spec
            self._symbols.append(symbol)
        args = arguments(call, module.pack(call.spec, self.isa, call.constants))
        return (
            Invocation(
                symbol,
                args,
                writes=tuple(range(len(args) - len(call.outputs), len(args))),
                extent=module.extent(call.spec, self.isa),
            ),
        )

    def _lower_imported(self, call: KernelCall, spec: OnnxSpec) -> tuple[Invocation, ...]:
        symbol = symbol_of(spec)
        key = self._key(symbol, spec)
        stored = self._cache.get(key)
        op = pickle.loads(stored) if stored is not None else _import_operator(spec, self.isa, symbol)
        if stored is None:
            self._cache.put(key, pickle.dumps(op))
        if symbol not in self._objects:
            self._objects[symbol] = op.code
            self._symbols.extend(op.symbols)
        invocations = []
        for kernel, args, written, ranged in op.calls:
            resolved: list[Argument] = []
            for role, index in args:
                if role == "input":
                    resolved.append(_argument(call.sources[index], f"{symbol}.x{index}"))
                elif role == "output":
                    resolved.append(Value(call.outputs[index]))
                elif role == "scratch":
                    resolved.append(Scratch(f"scratch{index}", op.scratch[index]))
                else:
                    resolved.append(Constant(f"{symbol}.c{index}", op.constants[index]))
            invocations.append(Invocation(kernel, tuple(resolved), written, ranged=ranged))
        return tuple(invocations)

    def _key(self, symbol: str, spec: Spec) -> str:
        isa = self.isa
        return (
            f"{symbol}{choice_tag(spec, isa)}-{isa.triple}-{isa.mcpu}-{'_'.join(isa.mattr)}-{isa.lanes}-{isa.l2_bytes}"
        )

    @property
    def symbols(self) -> list[str]:
        """All kernels, in the order of first use."""
        return self._symbols

    def objects(self, progress: Callable[[int, int], None] | None = None) -> list[bytes]:
        """One relocatable object per kernel, compiled or out of the cache.

        Args:
            progress: told (done, total) of the kernels that had to be compiled.
        """
        missing = []
        for symbol, spec in self._wanted.items():
            if symbol in self._objects:
                continue
            code = self._cache.get(self._key(symbol, spec))
            if code is None:
                missing.append((spec, self.isa, symbol))
            else:
                self._objects[symbol] = code
        for done, (symbol, code) in enumerate(_compile_all(missing, self._workers), 1):
            self._objects[symbol] = code
            self._cache.put(self._key(symbol, self._wanted[symbol]), code)
            if progress:
                progress(done, len(missing))
        return [self._objects[symbol] for symbol in sorted(self._objects)]


def choice_tag(spec: Spec, isa: Isa) -> str:
    """Tells kernels of one spec apart that `hetpart tune` made differ; empty for those it left alone."""
    if not isinstance(spec, ConvSpec):
        return ""
    from hetpart.kernels.cpu.conv_choice import measured_tag

    return measured_tag(spec, isa)


def arguments(call: KernelCall, packed: Sequence[np.ndarray]) -> tuple[Argument, ...]:
    """Sources, packed constants, outputs: the argument order of every kernel."""
    name = call.outputs[0]
    sources = [_argument(source, f"{name}.operand{i}") for i, source in enumerate(call.sources)]
    constants = [Constant(f"{name}.constant{i}", data) for i, data in enumerate(packed)]
    return (*sources, *constants, *(Value(value) for value in call.outputs))


def _argument(source: Source, name: str) -> Argument:
    return Value(source) if isinstance(source, str) else Constant(name, source)


@dataclass(frozen=True)
class _ImportedOperator:
    """What the TVM importer made of one operator, ready for the cache."""

    code: bytes
    symbols: tuple[str, ...]
    calls: tuple[tuple[str, tuple[tuple[str, int], ...], tuple[int, ...], bool], ...]
    scratch: tuple[Plain, ...]
    constants: tuple[np.ndarray, ...]


def _import_operator(spec: OnnxSpec, isa: Isa, symbol: str) -> _ImportedOperator:
    """Compiles through TVM's importer and refuses what differs from onnxruntime."""
    from hetpart.kernels.cpu import onnx_op

    op, code = onnx_op.build(spec, isa, symbol)
    names = tuple(dict.fromkeys(c.symbol for c in op.calls))
    calls = tuple((c.symbol, tuple(c.args), tuple(c.writes), c.ranged) for c in op.calls)
    return _ImportedOperator(code, names, calls, op.scratch, op.constants)


def _compile(job: tuple[Spec, Isa, str]) -> tuple[str, bytes]:
    from hetpart.kernels.cpu import generator
    from hetpart.kernels.cpu.build import build_object

    spec, isa, symbol = job
    return symbol, build_object([generator(spec).prim_func(spec, isa, symbol)], isa)


def _compile_all(jobs: Sequence[tuple[Spec, Isa, str]], workers: int | None) -> list[tuple[str, bytes]]:
    workers = min(workers or len(os.sched_getaffinity(0)), len(jobs))
    if len(jobs) < _PARALLEL_FROM or workers < 2:
        return [_compile(job) for job in jobs]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_compile, jobs))
