"""Writes a rewritten ONNX model: approved of first, whole or not at all, and never over the original."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from hetpart.errors import HetpartError
from hetpart.files import reported
from hetpart.graph.units import TensorType
from hetpart.verify import compare, random_inputs, reference

SEEDS = (0, 1, 2)
"""Of the random inputs on which original and rewritten model are compared."""

TOLERANCE = {"float32": 1e-5, "float64": 1e-5, "float16": 1e-2}
"""Relative L2 error allowed between two results of onnxruntime; anything else must be equal."""

EXTERNAL_BYTES = 1 << 30
"""Models with more weights have them in a file beside the model: an ONNX file must stay below 2 GiB."""


Approval = TypeVar("Approval")


def write_rewritten(model: ir.Model, source: Path, output: Path, *, overwrite: bool = False) -> float:
    """Write `model` to `output`, as `write_model` does, if it computes what the model file `source` does.

    Returns:
        The largest relative L2 error of an output over all random inputs.

    Raises:
        HetpartError: as `write_model`; ``reference-failed`` where onnxruntime cannot run a model, ``rewrite-differs``
            where an output differs.
    """
    return write_model(model, source, output, partial(_compare, source, model), overwrite=overwrite)


def write_model(
    model: ir.Model, source: Path, output: Path, approve: Callable[[Path], Approval], *, overwrite: bool = False
) -> Approval:
    """Write `model` to `output` once `approve`, which is given the finished file under another name, has returned.

    Weights lie in ``OUTPUT.data`` if the large ones (64 KiB) of `source` lie in a file of their own, or if there
    are many; small ones stay inside.

    Returns:
        What `approve` returned.

    Raises:
        HetpartError: ``output-is-input``, ``output-exists``, ``cannot-write``, ``disk-full``, or what `approve` raises.
            Nothing was written then.
    """
    data = output.with_name(output.name + ".data")
    require_writable(model, source, output, overwrite=overwrite)
    with (
        reported(output),
        tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.resolve().parent) as folder,
    ):
        made = Path(folder) / output.name
        save_model(model, made)
        approval = approve(made)
        stale, beside = _has_weights_in(output, data.name), (made.parent / data.name).exists()
        if beside:
            os.replace(made.parent / data.name, data.resolve())
        os.replace(made, output.resolve())
        if stale and not beside:
            data.unlink(missing_ok=True)
    return approval


def save_model(model: ir.Model, path: Path) -> None:
    """`model` as a file that does not refer to any other than ``PATH.data``, for which see `write_model`."""
    tensors = [value.const_value for value in model.graph.initializers.values() if value.const_value is not None]
    size_bytes = sum(tensor.nbytes for tensor in tensors)
    if size_bytes > EXTERNAL_BYTES or any(isinstance(tensor, ir.ExternalTensor) for tensor in tensors):
        ir.save(model.clone(), path, external_data=path.name + ".data")
    else:
        ir.save(model, path)


def require_writable(model: ir.Model, source: Path, output: Path, *, overwrite: bool = False) -> None:
    """Raise HetpartError unless `write_model` may write there: to be told before long work, not after it."""
    _check_paths(model, source, (output, output.with_name(output.name + ".data")), overwrite)
    if not output.resolve().parent.is_dir():
        raise HetpartError("cannot-write", f"cannot write {output}: there is no folder {output.parent}")


def _check_paths(model: ir.Model, source: Path, outputs: tuple[Path, Path], overwrite: bool) -> None:
    inputs = {source.resolve()}
    for value in model.graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            inputs.add(Path(value.const_value.path).resolve())
    for path in outputs:
        if path.resolve() in inputs or any(
            path.exists() and known.exists() and path.samefile(known) for known in inputs
        ):
            raise HetpartError(
                "output-is-input", f"{path} is part of the model that is read", hint="choose another file with -o"
            )
        if path.exists() and (not overwrite or not path.is_file()):
            raise HetpartError("output-exists", f"{path} exists", hint="choose another name, or --overwrite")


def _has_weights_in(model: Path, name: str) -> bool:
    """Whether `model` is an ONNX file that has weights in the file `name` beside it."""
    try:
        graph = onnx.load(model, load_external_data=False).graph
    except (OSError, DecodeError):
        return False
    return any(entry.key == "location" and entry.value == name for t in graph.initializer for entry in t.external_data)


def _compare(source: Path, model: ir.Model, made: Path) -> float:
    types = input_types(model)
    worst = 0.0
    for seed in SEEDS:
        inputs = random_inputs(types, seed)
        expected = reference(source, inputs, integers=False)
        found = compare(reference(made, inputs, list(expected), integers=False), expected)
        for name, difference in found.items():
            allowed = TOLERANCE.get(str(np.dtype(expected[name].dtype)), 0.0)
            if not difference.rel_l2 <= allowed:
                raise HetpartError(
                    "rewrite-differs",
                    f"output {name} of the rewritten model differs by {difference.rel_l2:.1e} (relative L2, allowed "
                    f"{allowed:.0e}) on random inputs",
                    node=name,
                    hint="nothing was written; please report it with the model",
                )
            worst = max(worst, difference.rel_l2)
    return worst


def input_types(model: ir.Model) -> dict[str, TensorType]:
    """Of the inputs of a model with static types that are no constants, by name."""
    return {
        value.name or "": TensorType(value.shape.numpy(), value.dtype.numpy().name)
        for value in model.graph.inputs
        if value.shape is not None and value.dtype is not None and value.name not in model.graph.initializers
    }
