"""The values that a network computes of calibration data: at once, or on the way along a network that changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

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
    values = _values(model.graph)
    wanted = [_named(values, name) for name in dict.fromkeys(names)]
    part = _Part(model, _ancestors(wanted, set()), wanted)
    for feeds in samples:
        found = {**feeds, **part.run(feeds)}
        yield {value.name or "": found[value.name or ""] for value in wanted}


class Walk:
    """The values of a network on samples, step by step along the graph: what follows starts from what is known.

    Of every sample those values are held that nodes still to come read.
    """

    def __init__(self, model: ir.Model, samples: Iterable[Mapping[str, Array]]) -> None:
        """`model` has static shapes; between steps constants and operands of what has not run yet may change."""
        self._model = model
        self._values = _values(model.graph)
        self._held = [dict(feeds) for feeds in samples]
        self._done: set[ir.Node] = set()

    def step(self, reached: Collection[str], shown: Collection[str]) -> Iterator[dict[str, Array]]:
        """The values called `reached` and `shown`, sample by sample; take all of them.

        What makes the values `reached` counts as run then; the nodes that only `shown` ones need run again later.

        Raises:
            InternalError: ``unknown-value``.
        """
        ends, seen = ([_named(self._values, name) for name in names] for names in (reached, shown))
        done = self._done | _ancestors(ends, self._done)
        held = [value for value in self._values.values() if _is_between(value, done)]
        part = _Part(self._model, _ancestors([*ends, *seen], self._done), [*held, *ends, *seen])
        self._done = done
        for index, before in enumerate(self._held):
            found = {**before, **part.run(before)}
            self._held[index] = {value.name or "": found[value.name or ""] for value in held}
            yield {value.name or "": found[value.name or ""] for value in (*ends, *seen)}


class _Part:
    """Some nodes of a model as a function."""

    def __init__(self, model: ir.Model, nodes: set[ir.Node], outputs: Iterable[ir.Value]) -> None:
        """`outputs` that none of the `nodes` makes are left out."""
        from hetpart.reference import prepare  # onnxruntime is slow to load

        made = list(dict.fromkeys(value for value in outputs if value.producer() in nodes))
        read = dict.fromkeys(value for node in nodes for value in node.inputs if value is not None)
        inputs = [v for v in read if v.producer() not in nodes and not v.is_initializer()]
        self._inputs = [value.name or "" for value in inputs]
        self._run = None
        if made:
            part = ir.Model(ir.convenience.extract(model.graph, inputs, made), ir_version=model.ir_version)
            names = [value.name or "" for value in made]
            self._run = prepare(ir.to_proto(ir.external_data.load_to_model(part)), names, fast=True)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return {} if self._run is None else self._run({name: feeds[name] for name in self._inputs})


def _values(graph: ir.Graph) -> dict[str, ir.Value]:
    """All that are computed or fed, by name."""
    made = (value for node in graph for value in node.outputs)
    return {value.name: value for value in (*graph.inputs, *made) if value.name}


def _named(values: Mapping[str, ir.Value], name: str) -> ir.Value:
    if name not in values:
        raise InternalError("unknown-value", "no node of the model makes this value", node=name)
    return values[name]


def _ancestors(values: Iterable[ir.Value], done: Collection[ir.Node]) -> set[ir.Node]:
    """All nodes that these values need and that are not `done`."""
    found: set[ir.Node] = set()
    left = [value.producer() for value in values]
    while left:
        node = left.pop()
        if node is None or node in found or node in done:
            continue
        found.add(node)
        left += [value.producer() for value in node.inputs if value is not None]
    return found


def _is_between(value: ir.Value, done: Collection[ir.Node]) -> bool:
    """Whether it is there and a node that is not `done` reads it."""
    made = value.producer() is None or value.producer() in done
    return made and any(node not in done for node in value.consumers())
