"""The values that a network computes of calibration data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import onnx_ir as ir

from hetpart.calibration import Array
from hetpart.errors import InternalError


def activations(
    model: ir.Model, names: Iterable[str], samples: Iterable[Mapping[str, Array]]
) -> Iterator[dict[str, Array]]:
    """The values called `names`, for one sample after the other, as onnxruntime computes them.

    Only what those values need is computed, and nothing is kept from one sample to the next.

    Args:
        model: a model with static shapes; it is not changed.
        names: values of the graph; constants are none.
        samples: inputs by name, such as a `Calibration`.

    Raises:
        InternalError: ``unknown-value``.
    """
    from hetpart.reference import prepare  # onnxruntime is slow to load

    wanted = tuple(dict.fromkeys(names))
    given = {value.name for value in model.graph.inputs}
    computed = [name for name in wanted if name not in given]
    run = prepare(ir.to_proto(_only(model, computed)), computed, optimise=True) if computed else None
    for feeds in samples:
        found = run(feeds) if run is not None else {}
        yield {name: found[name] if name in found else feeds[name] for name in wanted}


def _only(model: ir.Model, names: Iterable[str]) -> ir.Model:
    """A copy that computes just these values."""
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    part = model.clone()
    values = {value.name: value for node in part.graph for value in node.outputs if value.name}
    for name in names:
        if name not in values:
            raise InternalError("unknown-value", "no node of the model makes this value", node=name)
    part.graph.outputs[:] = [values[name] for name in names]
    RemoveUnusedNodesPass()(part)
    return ir.external_data.load_to_model(part)
