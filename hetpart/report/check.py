"""What `hetpart check` finds out: for every ONNX node and processor, whether it runs there, and if not, why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from hetpart.cost.work import node_macs
from hetpart.fallback import NONE, Fallbacks
from hetpart.graph.units import Unit, UnitGraph
from hetpart.oracle import Verdict, judge
from hetpart.targets.schema import Target


@dataclass(frozen=True)
class NodeCheck:
    """Verdicts on one ONNX node.

    Attributes:
        name, op: of the node.
        unit: name of the unit that it is compiled in.
        macs: multiply-adds of the node.
        verdicts: those of its unit, by processor, in the target's order.
        greedy: the first accelerator that runs it, else the host, else None.
    """

    name: str
    op: str
    unit: str
    macs: int
    verdicts: dict[str, Verdict]
    greedy: str | None


@dataclass(frozen=True)
class CheckReport:
    """Verdicts on all nodes, and what a greedy placement would make of them.

    The greedy placement (each unit on the first accelerator that runs it) is what most runtimes do; its hand-overs
    are the price of every fallback. hetpart itself weighs costs instead.

    Attributes:
        target: name of the target.
        accelerators: names of the processors other than the host.
        nodes: in topological order of their units.
        partitions: maximal runs of consecutive units on one processor; views belong to whoever made their data.
        transfer_bytes: bytes that cross between processors, each value once per destination, model inputs and
            outputs included (they live on the host).
        fallbacks: what it costs that units leave an accelerator in that placement.
    """

    target: str
    accelerators: tuple[str, ...]
    nodes: tuple[NodeCheck, ...]
    partitions: int
    transfer_bytes: int
    fallbacks: Fallbacks = NONE

    @property
    def processors(self) -> tuple[str, ...]:
        return tuple(self.nodes[0].verdicts) if self.nodes else ()

    def unsupported_share(self, processor: str) -> float:
        """Share of nodes that cannot run on `processor`."""
        return self._share(processor, lambda node: 1)

    def unsupported_mac_share(self, processor: str) -> float:
        """Share of multiply-adds that cannot run on `processor`."""
        return self._share(processor, lambda node: node.macs)

    @property
    def exit_code(self) -> int:
        """0: an accelerator runs every node; 1: some fall back to the host; 2: some run nowhere."""
        if any(node.greedy is None for node in self.nodes):
            return 2
        return int(any(node.greedy not in self.accelerators for node in self.nodes))

    def to_json(self) -> dict[str, Any]:
        """Plain data; shares are between 0 and 1, the fallback of a node is a position in the list of them."""
        fallback_of = {unit: i for i, each in enumerate(self.fallbacks.each) for unit in each.units}
        return {
            "schema": 1,
            "target": self.target,
            "nodes": [
                {
                    "name": node.name,
                    "op": node.op,
                    "unit": node.unit,
                    "fallback": fallback_of.get(node.unit),
                    "verdicts": {
                        processor: {"level": v.level, "reason": v.reason, "hint": v.hint, "message": v.message}
                        for processor, v in node.verdicts.items()
                    },
                }
                for node in self.nodes
            ],
            "unsupported_share": {p: self.unsupported_share(p) for p in self.processors},
            "unsupported_mac_share": {p: self.unsupported_mac_share(p) for p in self.processors},
            "partitions": self.partitions,
            "transfer_bytes": self.transfer_bytes,
            "fallbacks": [asdict(each) for each in self.fallbacks.each],
            "greedy_us": self.fallbacks.greedy_us,
            "without_fallbacks_us": self.fallbacks.without_us,
        }

    def _share(self, processor: str, weight: Callable[[NodeCheck], int]) -> float:
        total = sum(weight(node) for node in self.nodes)
        missing = sum(weight(node) for node in self.nodes if not node.verdicts[processor].runs)
        return missing / total if total else 0.0


def check_report(graph: UnitGraph, target: Target, fallbacks: Fallbacks = NONE) -> CheckReport:
    """Judge every unit of `graph` on every processor of `target`; `fallbacks` are passed on."""
    host = target.host.name
    accelerators = tuple(p.name for p in target.processors if p.name != host)
    nodes: list[NodeCheck] = []
    places: dict[str, str | None] = {}
    for unit in graph:
        verdicts = {p.name: judge(unit, graph, p) for p in target.processors}
        place = next((name for name in (*accelerators, host) if verdicts[name].runs), None)
        places[unit.name] = place
        nodes.extend(
            NodeCheck(node.name or unit.name, node.op_type, unit.name, node_macs(node, graph), verdicts, place)
            for node in unit.nodes
        )
    moving = [places[unit.name] for unit in graph if unit.kind != "view"]
    partitions = sum(1 for index, place in enumerate(moving) if index == 0 or place != moving[index - 1])
    transfer_bytes = _transfer_bytes(graph, places, host)
    return CheckReport(target.name, accelerators, tuple(nodes), partitions, transfer_bytes, fallbacks)


def _transfer_bytes(graph: UnitGraph, places: dict[str, str | None], host: str) -> int:
    """Bytes of the values that somebody reads on another processor than the one that made them."""
    made: dict[str, tuple[str, str | None]] = {}  # value -> who holds its bytes, where
    for value in graph.inputs:
        made[value] = (value, host)
    crossings: set[tuple[str, str | None]] = set()
    for unit in graph:
        for value in unit.inputs:
            root, place = made[value]
            if not _is_view(unit) and place != places[unit.name]:
                crossings.add((root, places[unit.name]))
        for value in unit.outputs:
            made[value] = made[unit.inputs[0]] if _is_view(unit) else (value, places[unit.name])
    crossings.update((made[v][0], host) for v in graph.outputs if v in made and made[v][1] != host)
    return sum(graph.types[root].size_bytes for root, _ in crossings)


def _is_view(unit: Unit) -> bool:
    return unit.kind == "view" and bool(unit.inputs)
