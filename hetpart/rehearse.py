"""Runs a placement here, for real, and compares it with onnxruntime before the bundle gets its name.

A host bundle is run as it is. A phone's plan is rehearsed: the same units on the same processors in the same layouts,
with the CPU's part compiled for this machine and the GPU's part from the same OpenCL source, one work-item per group
(which is what PoCL runs fast). ``emulate`` runs the phone's own code under qemu instead.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hetpart.bundle.contents import BundleContents, bundle_files, describe_plans
from hetpart.bundle.manifest import Manifest, ProcessorInfo, TensorInfo
from hetpart.bundle.toolchain import link_module
from hetpart.bundle.write import write_bundle
from hetpart.codegen.cache import KernelCache
from hetpart.codegen.emit import Emission, emit
from hetpart.compiler import Decision, Model, storage_of
from hetpart.errors import HetpartError, InternalError
from hetpart.frontend import import_model
from hetpart.graph.layout import unpack
from hetpart.graph.units import TensorType, UnitGraph
from hetpart.plan.placed import Placed
from hetpart.targets import load_target
from hetpart.targets.schema import CpuCodegen
from hetpart.undefined import expose, first_undefined, tame_inputs
from hetpart.verify import (
    Difference,
    compare,
    difference,
    in_operator_form,
    is_quantised,
    random_inputs,
    reference,
    require_equal,
    spread,
    too_far,
)

MODES = ("outputs", "segments", "emulate", "none")
"""What may be compared: the outputs, every unit too, the outputs under emulation, nothing."""


@dataclass(frozen=True)
class Rehearsal:
    """How a bundle was checked, and how far each output of its main plan is from onnxruntime's."""

    how: str
    outputs: dict[str, Difference]


def rehearse(
    verify: str,
    source: Model,
    decision: Decision,
    plans: Mapping[str, Placed],
    bundle: Path,
    cache: KernelCache,
) -> Rehearsal:
    """Checks every plan of the bundle at `bundle` (its temporary name) as `verify` asks.

    Raises:
        InternalError: ``wrong-result``, naming the output or, with ``segments``, the first unit that differs.
        HetpartError: ``undefined-result`` if the two differ on all inputs that were tried and ONNX does not say what is
            right there.
    """
    if verify == "none":
        return Rehearsal("not verified (--verify none)", {})
    graph = decision.assignment.graph
    types = {name: graph.types[name] for name in graph.inputs}
    inputs, expected = _compared(source, types)
    attempt = partial(_attempt, verify, source, decision, plans, bundle, cache)
    try:
        return attempt(inputs, expected)
    except InternalError as error:
        if error.code != "wrong-result" or is_quantised(source):
            raise
        exact = reference(source, inputs, exact=True)
        if too_far(compare(exact, expected), expected):
            with suppress(InternalError):
                return attempt(inputs, exact)
        found = first_undefined(graph.model, inputs)
        if found is None:
            raise
        if (tame := tame_inputs(graph.model, types)) is not None:
            return attempt(tame, reference(source, tame, exact=True))
        node, why = found
        raise HetpartError(
            "undefined-result",
            f"{why}: ONNX does not define what becomes of that, and onnxruntime makes something else of it",
            node=node,
            hint="no bundle was written; look for infinite or NaN constants, or compile with --verify none and compare "
            "with inputs of your own (hetpart verify)",
        ) from error


def _attempt(
    verify: str,
    source: Model,
    decision: Decision,
    plans: Mapping[str, Placed],
    bundle: Path,
    cache: KernelCache,
    inputs: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
) -> Rehearsal:
    """As `rehearse`, on these inputs, for which the reference computes `expected`."""
    graph = decision.assignment.graph
    spreads = _spreads(source, inputs, expected) if _rounds(graph) else None
    found: dict[str, dict[str, Difference]] = {}
    for variant, plan in plans.items():
        if verify == "emulate":
            from hetpart.runtime.emulate import emulate

            outputs = emulate(bundle, inputs, plan=variant)
            how = "the bundle itself under emulation (qemu, PoCL)"
        elif verify == "segments":
            outputs = _by_segment(decision, plan, inputs, cache)
            how = "every unit and every output, on this machine"
        elif _native(decision):
            outputs = _run(bundle, inputs, plan=variant)
            how = "the bundle itself, on this machine"
        else:
            outputs = _rehearsed(decision, plan, inputs, cache, ())
            how = "same placement rehearsed on this machine (x86 code, the target's OpenCL source on PoCL)"
        found[variant] = compare({name: outputs[name] for name in expected}, expected)
        require_equal(found[variant], expected, f"plan {variant}: {how}", spreads, storage_of(decision, plan))
    return Rehearsal(how, found["main"])


def _compared(source: Model, types: Mapping[str, TensorType]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Inputs that the model takes, and what onnxruntime makes of them."""
    for integers in (None, 1):  # it traps where integers are divided by zero, and refuses indices out of range
        inputs = random_inputs(types, integers=integers)
        try:
            return inputs, reference(source, inputs)
        except HetpartError:
            continue
    inputs = random_inputs(types, integers=0)
    return inputs, reference(source, inputs)


def _spreads(source: Model, inputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> dict[str, float]:
    """`spread`, of a model in QOperator form by its QDQ form: onnxruntime computes only the latter in real numbers.

    That counts if the two are the same by integer operators.
    """
    if in_operator_form(source):
        imported = import_model(source, shapes={name: array.shape for name, array in inputs.items()})
        if not too_far(compare(reference(imported, inputs, list(expected)), expected), expected):
            return spread(imported, inputs, expected)
    return spread(source, inputs, expected)


def _rounds(graph: UnitGraph) -> bool:
    """Whether a quantised network computes in real numbers too, which may round another way than the reference's."""
    return any(unit.quantised is not None for unit in graph) and not all(
        unit.kind in _EXACT or (unit.quantised is not None and [s.op for s in unit.steps] in ([], ["add"], ["mul"]))
        for unit in graph
    )


_EXACT = frozenset({"channels", "concat", "pool", "repack", "transpose", "view"})
"""Kinds that compute nothing that could be rounded."""


def _native(decision: Decision) -> bool:
    options = decision.target.host.codegen
    return isinstance(options, CpuCodegen) and options.native


def _run(
    bundle: Path, inputs: Mapping[str, np.ndarray], *, plan: str = "main", rehearsal: bool = False
) -> dict[str, np.ndarray]:
    from hetpart.runtime.session import Session

    with Session(bundle, plan=plan, local_size_one=rehearsal) as session:
        return session.run(dict(inputs))


def _rehearsed(
    decision: Decision,
    placed: Placed,
    inputs: Mapping[str, np.ndarray],
    cache: KernelCache,
    observe: tuple[str, ...],
) -> dict[str, np.ndarray]:
    """Outputs (and observed values, as stored) of the placement with the CPU's part compiled for this machine."""
    from hetpart.kernels.cpu.build import host_isa

    isa = host_isa()
    emission = emit(decision.assignment, {"main": placed}, decision.target, isa, cache, observe=observe)
    with tempfile.TemporaryDirectory(prefix="hetpart-") as folder:
        bundle = Path(folder) / "rehearsal"
        write_plans(emission, decision, (isa.triple,), bundle)
        return _run(bundle, inputs, rehearsal=not _native(decision))


def write_plans(
    emission: Emission,
    decision: Decision,
    triples: Sequence[str],
    bundle: Path,
    further: Mapping[str, bytes | Path] | None = None,
) -> None:
    """A bundle with the plans of `emission`, to be run and thrown away; `bundle` must not exist.

    Args:
        emission: of plans whose CPU part was compiled for the processor of all `triples`.
        decision: says for which target.
        triples: the systems that it is linked for.
        bundle: folder to write.
        further: files that it holds as well.
    """
    plan = emission.plans["main"]
    kinds = {name: kind for other in emission.plans.values() for name, kind in other.kinds.items()}
    cores = {p.kind: p.core for p in load_target("host").processors}
    described = Manifest(
        model="rehearsal",
        target=decision.target.name,
        tools={},
        inputs=tuple(TensorInfo(p.name, p.dtype, p.shape) for p in plan.inputs),
        outputs=tuple(TensorInfo(p.name, p.dtype, p.shape) for p in plan.outputs),
        processors={name: ProcessorInfo(kind, 1, cores.get(kind)) for name, kind in kinds.items()},
        plans=describe_plans(emission.plans),
    )
    with tempfile.TemporaryDirectory(prefix="hetpart-") as folder:
        work = Path(folder)
        emission.weights.write(work / "weights.bin")
        modules = {}
        for triple in triples:
            (work / triple).mkdir()
            modules[triple] = link_module(emission.objects, emission.symbols, triple, work / triple)
        files = bundle_files(emission.plans, work / "weights.bin", modules, emission.kernels_cl)
        write_bundle(BundleContents(described, files | dict(further or {})), bundle)


def _by_segment(
    decision: Decision, placed: Placed, inputs: Mapping[str, np.ndarray], cache: KernelCache
) -> dict[str, np.ndarray]:
    """As `_rehearsed`, after comparing the output of every unit in topological order."""
    assignment = decision.assignment
    observed = {
        value: unit.name
        for unit in assignment.graph
        if unit.nodes and unit.name not in assignment.free
        for value in unit.outputs
    }
    outputs = _rehearsed(decision, placed, inputs, cache, tuple(observed))
    exposed = expose(assignment.graph.model, list(observed))
    expected = reference(exposed, inputs, list(observed))
    spreads = spread(exposed, inputs, expected) if _rounds(assignment.graph) else None
    for value, unit in observed.items():
        stored = outputs.pop(f"{value}:stored")
        found = difference(unpack(stored, assignment.layouts[value]), expected[value])
        if too_far({value: found}, expected, spreads, storage_of(decision, placed)):
            processor = placed.processor[unit]
            raise InternalError(
                "wrong-result",
                f"unit {unit} on {processor} is the first that differs from onnxruntime: "
                f"relative L2 {found.rel_l2:.2e}",
                node=unit,
                hint="no bundle was written",
            )
    return outputs
