"""Decision -> bundle: code, constants, verification, and the file on disk, in this order."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from hetpart import __version__
from hetpart.bundle.contents import BundleContents, bundle_files, describe_plans
from hetpart.bundle.manifest import Manifest, NodePlacement, ProcessorInfo, TensorInfo
from hetpart.bundle.toolchain import link_module
from hetpart.bundle.write import require_free, write_bundle
from hetpart.codegen.cache import KernelCache
from hetpart.codegen.emit import Emission, emit
from hetpart.codegen.isa import target_isa, triples
from hetpart.compiler import Decision, Model, Options, decide, placed, storage_of, variants
from hetpart.errors import HetpartError
from hetpart.phases import Phases
from hetpart.profile import read_profile
from hetpart.rehearse import MODES, Rehearsal, rehearse
from hetpart.report.compile import CompileReport, compile_report, measured_units
from hetpart.runtime.emulate import default_sysroot, require_emulation
from hetpart.targets import Target, load_target

_TOOLS = ("apache-tvm", "numpy", "onnx", "onnx-ir", "onnxslim", "ortools")


def build(
    source: Model,
    target: str,
    output: Path,
    options: Options,
    *,
    verify: str = "outputs",
    overwrite: bool = False,
    as_zip: bool = False,
    phases: Phases | None = None,
    profile: Path | None = None,
) -> CompileReport:
    """Compiles `source` for `target` and writes the bundle `output`, all of it or nothing.

    Args:
        source: model file, or a model in memory (which is not changed).
        target: name of a target, or path of a target file.
        output: bundle to write.
        options: what the user chose.
        verify: one of `hetpart.rehearse.MODES`.
        overwrite: replace an older bundle.
        as_zip: write one zip file.
        phases: where to count seconds.
        profile: file of measured times (see hetpart.profile), to be taken where it has them.

    Raises:
        HetpartError: bad input, an output that cannot be written, no emulator.
        InternalError: ``wrong-result`` if the compiled network does not compute what onnxruntime computes.
    """
    phases = phases or Phases()
    require_free(output, overwrite=overwrite)
    if verify not in MODES:
        raise HetpartError("bad-option", f"there is no verification '{verify}'", hint=f"choose from {', '.join(MODES)}")
    if verify == "emulate":
        require_emulation(default_sysroot())
    chosen = load_target(target)
    if options.precision == "fp16":
        _require_half_arithmetic(chosen)
    measured = None if profile is None else read_profile(profile)
    decision = decide(source, chosen, options, phases, measured)
    cache = KernelCache(enabled=options.use_cache)
    with phases.phase("kernels"):
        plans = variants(decision, options)
        emission = emit(
            decision.assignment, plans, decision.target, target_isa(decision.target), cache,
            progress=phases.advance, workers=options.workers,
        )  # fmt: skip
    report = compile_report(decision, phases.seconds)
    report.long_us = {name: round(us, 1) for name, us in emission.long_us.items()}
    with tempfile.TemporaryDirectory(prefix="hetpart-") as folder:
        work = Path(folder)
        with phases.phase("link"):
            contents = _contents(source, decision, emission, decision.target, work)

        def approve(bundle: Path) -> None:
            with phases.phase("verify"):
                # what a lossy pass made is the truth for what comes after it
                meant = source if decision.compression is None else decision.compression.model
                rehearsal = rehearse(verify, meant, decision, plans, bundle, cache)
            report.verify = _verification(rehearsal)

        with phases.phase("write"):
            write_bundle(contents, output, overwrite=overwrite, zip=as_zip, approve=approve)
    phases.seconds["write"] -= phases.seconds.get("verify", 0.0)
    report.seconds = {name: round(seconds, 3) for name, seconds in phases.seconds.items()}
    report.output = str(output)
    parts = output.rglob("*") if output.is_dir() else [output]
    report.bundle_bytes = sum(part.stat().st_size for part in parts if part.is_file())
    return report


def _require_half_arithmetic(target: Target) -> None:
    if not target_isa(target).half_arithmetic:
        raise HetpartError(
            "no-float16",
            f"the CPU of target {target.name} has no arithmetic in float16",
            hint="compile without --precision fp16; a target whose CPU has it says so in mattr: +fullfp16 "
            "(Armv8.2-A FP16) or +avx512fp16",
        )


def _contents(source: Model, decision: Decision, emission: Emission, target: Target, work: Path) -> BundleContents:
    weights = work / "weights.bin"
    emission.weights.write(weights)
    modules = {}
    for triple in triples(target):
        folder = work / triple
        folder.mkdir()
        modules[triple] = link_module(emission.objects, emission.symbols, triple, folder)
    files = bundle_files(emission.plans, weights, modules, emission.kernels_cl)
    return BundleContents(manifest(source, decision, emission, target), files)


def manifest(source: Model, decision: Decision, emission: Emission, target: Target) -> Manifest:
    """The manifest of a bundle for `target`."""
    plan = emission.plans["main"]
    placement = decision.placement
    nodes = []
    for unit in decision.assignment.graph:
        mode = placement.modes.get(unit.name)
        if mode is not None:
            start_us = placement.start_us[unit.name]
            nodes += [
                NodePlacement(node.name or "", unit.name, mode.processor, start_us, mode.length_us)
                for node in unit.nodes
            ]
    named = Path(source).stem if isinstance(source, str | Path) else decision.assignment.graph.model.graph.name
    used = [p for p in target.processors if p.name in plan.kinds]
    return Manifest(
        model=named or "model",
        target=target.name,
        tools={"hetpart": __version__} | {tool: _version(tool) for tool in _TOOLS},
        inputs=tuple(TensorInfo(port.name, port.dtype, port.shape) for port in plan.inputs),
        outputs=tuple(TensorInfo(port.name, port.dtype, port.shape) for port in plan.outputs),
        processors={p.name: ProcessorInfo(p.kind, p.threads, p.core) for p in used},
        plans=describe_plans(emission.plans),
        placement=tuple(nodes),
        decision={
            "strategy": placement.strategy,
            "status": placement.status,
            "precision": decision.precision,
            "storage": storage_of(decision, placed(placement, decision.forecasts.plan)),
            "makespan_us": decision.forecasts.plan.median_us,
            "uncontended_us": placement.makespan_us,
            "lower_bound_us": placement.lower_bound_us,
            "baselines_us": {name: forecast.median_us for name, forecast in decision.forecasts.baselines.items()},
            "forecast": asdict(decision.forecasts.plan),
            "competing": decision.competing,
            "measured": asdict(measured_units(decision)),
            "origin": sorted({c.origin for costs in decision.costs.values() for c in costs.values()}),
        }
        | ({"compression": decision.compression.to_json()} if decision.compression is not None else {}),
    )


_version = cache(metadata.version)
"""Reads a file of the package's for every call."""


def _verification(rehearsal: Rehearsal) -> dict[str, Any]:
    outputs: Mapping[str, Any] = rehearsal.outputs
    return {"how": rehearsal.how, "outputs": {name: asdict(found) for name, found in outputs.items()}}
