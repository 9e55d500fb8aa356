"""ONNX model -> smaller ONNX model: what `hetpart compress` does, and what it reports."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from hetpart.compression.accuracy import ORIGINAL
from hetpart.compression.context import Compression, compression_context, predict_us
from hetpart.compression.trial import AccuracyOptions, Trial
from hetpart.cost.size import Size, model_size
from hetpart.errors import HetpartError, InternalError
from hetpart.frontend import import_model
from hetpart.passes.dce import remove_dead_code
from hetpart.passes.fuse import fuse
from hetpart.passes.pipeline import PassRecord, optimisation_level, parse_pipeline, run_pipeline
from hetpart.rewritten import input_types, require_writable, save_model, write_model
from hetpart.targets import Target
from hetpart.verify import compare, is_quantised, random_inputs, reference, too_far


@dataclass(frozen=True)
class Stage:
    """The network before the passes (`ORIGINAL`), or after the one called `name`.

    Attributes:
        name: see there.
        size: of the network.
        predicted_us: estimated time of an inference, see `hetpart.compression.predict_us`.
        changed: whether the pass changed anything.
    """

    name: str
    size: Size
    predicted_us: float
    changed: bool = True

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "changed": self.changed,
            "parameters": self.size.parameters,
            "macs": self.size.macs,
            "flops": self.size.flops,
            "predicted_us": round(self.predicted_us, 1),
        }


@dataclass
class CompressReport:
    """What the passes did.

    Attributes:
        model: the file that was read; `target`: for what times are predicted.
        stages: before the passes, and after each.
        compression: the model, notes of the passes, and what is known of the accuracy.
        seconds: wall time of all of it.
        output: the file that was written; empty if none was. `output_bytes` with its weights.
    """

    model: str
    target: str
    stages: tuple[Stage, ...]
    compression: Compression
    seconds: float
    output: str = ""
    output_bytes: int = 0

    @property
    def changed(self) -> bool:
        return any(stage.changed for stage in self.stages[1:])

    @property
    def refused(self) -> str:
        """Why there is nothing to write; empty if there is."""
        if not self.changed:
            return "nothing to do: no pass changed the model"
        return self.compression.refused

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "model": self.model,
            "target": self.target,
            "stages": [stage.to_json() for stage in self.stages],
            **self.compression.to_json(),
            "refused": self.refused,
            "output": self.output,
            "output_bytes": self.output_bytes,
            "seconds": round(self.seconds, 3),
        }


def compress(
    source: Path,
    target: Target,
    passes: str,
    options: AccuracyOptions,
    *,
    output: Path | None = None,
    overwrite: bool = False,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
) -> CompressReport:
    """Run `passes` on the model file `source` and write what they make of it to `output`.

    Nothing is written if no pass changed anything or if they cost more accuracy than the options allow: see
    `CompressReport.refused`. `source` is never touched.

    Args:
        source: an ONNX model.
        target: for what times are predicted, and the vector width of its processors.
        passes: pipeline text, e.g. ``prune-channels{ratio=0.3}``; one of them at least has to be lossy.
        options: data for the passes, and how what they make is judged.
        output: file to write; None: only report.
        overwrite: replace an older file.
        shapes: pinned input shapes; `dims` pins symbolic dimensions.

    Raises:
        HetpartError: bad input, an output that cannot be written, a metric that fails.
    """
    start = time.perf_counter()
    steps = parse_pipeline(passes)
    if not any(step.lossy for step in steps):
        hint = "add --pass 'prune-channels{ratio=0.3}', for example"
        raise HetpartError("usage", "none of the passes compresses" if steps else "no pass is given", hint=hint)
    trial = Trial(source, compression_context(target), options)
    model = import_model(source, shapes=shapes, dims=dims)
    if output is not None:
        require_writable(model, source, output, overwrite=overwrite)
    context = trial.start(model)
    run_pipeline(model, optimisation_level("O1"))
    original = model.clone()
    stages = [_stage(ORIGINAL, model, target)]

    def on_pass(record: PassRecord) -> None:
        stages.append(_stage(record.name, model, target, record.modified))
        trial.after(record, model)

    run_pipeline(model, steps, context, on_pass=on_pass)
    report = CompressReport(str(source), target.name, tuple(stages), trial.finish(model), 0.0)
    if output is not None and not report.refused:
        _require_equal(source, original, options.seed)
        final = finished(report.compression, passes)
        write_model(final, source, output, lambda made: _approve(made, source, final), overwrite=overwrite)
        report.output = str(output)
        parts = (output, output.with_name(output.name + ".data"))
        report.output_bytes = sum(part.stat().st_size for part in parts if part.exists())
    report.seconds = time.perf_counter() - start
    return report


def _stage(name: str, model: ir.Model, target: Target, changed: bool = True) -> Stage:
    return Stage(name, model_size(fuse(model)), predict_us(model, target), changed)


def finished(compression: Compression, passes: str) -> ir.Model:
    """The model as it is written: without what nothing reads, tied weights once, with what is known of it."""
    model = compression.model.clone()
    remove_dead_code(model)
    first: dict[tuple[int, tuple[int, ...]], ir.Value] = {}
    for value in list(model.graph.initializers.values()):
        if value.const_value is None or value.is_graph_output() or value.is_graph_input():
            continue
        kept = first.setdefault((id(value.const_value), tuple(value.const_value.shape.numpy())), value)
        if kept is not value:
            ir.convenience.replace_all_uses_with(value, kept)
            del model.graph.initializers[value.name or ""]
    for key, text in (("hetpart.passes", passes), ("hetpart.accuracy", compression.verdict)):
        # what was compressed before keeps its history
        before = model.metadata_props.get(key)
        model.metadata_props[key] = f"{before}; then {text}" if before else text
    return model


def _require_equal(source: Path, original: ir.Model, seed: int) -> None:
    """What the passes were given must be what the file computes: on random inputs, up to rounding."""
    if is_quantised(source):
        return  # rounded differently in places, and no lossy pass follows quantised layers
    inputs = random_inputs(input_types(original), seed)
    expected = reference(source, inputs)
    with tempfile.TemporaryDirectory(prefix="hetpart-") as folder:
        path = Path(folder) / "model.onnx"
        save_model(original, path)
        differences = compare(reference(path, inputs, list(expected)), expected)
    for name, limit in too_far(differences, expected).items():
        raise InternalError(
            "wrong-result",
            f"before the passes output {name} differs from the file's by {differences[name].rel_l2:.1e} (relative L2, "
            f"allowed {limit:.0e})",
            node=name,
            hint="nothing was written; please report it with the model",
        )


def _approve(made: Path, source: Path, final: ir.Model) -> None:
    """The file is valid ONNX with the inputs and outputs of `source`, and onnxruntime runs it."""
    try:
        onnx.checker.check_model(str(made), full_check=True)
    except Exception as error:  # the checker and shape inference have no common base class for their errors
        raise InternalError("invalid-model", f"the compressed model is not valid ONNX: {error}") from error
    before, after = (_ports(onnx.load(path, load_external_data=False)) for path in (source, made))
    if before != after:
        raise InternalError("ports-changed", f"inputs and outputs were {before} and are {after}")
    reference(made, random_inputs(input_types(final)))


def _ports(model: onnx.ModelProto) -> tuple[list[str], list[str]]:
    weights = {tensor.name for tensor in model.graph.initializer}
    return [v.name for v in model.graph.input if v.name not in weights], [v.name for v in model.graph.output]
