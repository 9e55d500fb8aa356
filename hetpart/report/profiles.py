"""What `hetpart check --profile` finds out: which nodes other engines would let fall back, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from hetpart.cost.work import node_macs
from hetpart.graph.units import TensorType, UnitGraph
from hetpart.oracle.profiles import EngineOp, Profile, accelerated, convert, judge_operator
from hetpart.oracle.profiles.site import dtype, shape
from hetpart.oracle.verdict import Verdict
from hetpart.targets.schema import Target


@dataclass(frozen=True)
class NodeProfile:
    """Verdicts on one ONNX node of the imported model, by profile; a node that is folded shares its host's verdict."""

    name: str
    op: str
    macs: int
    verdicts: dict[str, Verdict]


@dataclass(frozen=True)
class ProfileSummary:
    """One profile on one model.

    Attributes:
        profile, title: of the profile.
        unsupported_share, unsupported_mac_share: share of nodes, and of multiply-adds, that its processor cannot run.
        accelerated_share: share of nodes that the engine hands to it, after its placement rule.
        without: ONNX operators that the engine has nothing for on any processor: its converter stops there, or hands
            them to another runtime.
        partitions: maximal runs of consecutive operators of the engine on one processor.
        transfer_bytes: bytes that cross between processors, each value once per destination, model inputs and outputs
            included (they live on the CPU).
    """

    profile: str
    title: str
    unsupported_share: float
    unsupported_mac_share: float
    accelerated_share: float
    without: tuple[str, ...]
    partitions: int
    transfer_bytes: int


@dataclass(frozen=True)
class ProfileReport:
    """Verdicts of all profiles that were asked for, on the model as an engine's converter would get it."""

    target: str
    nodes: tuple[NodeProfile, ...]
    summaries: tuple[ProfileSummary, ...]

    @property
    def exit_code(self) -> int:
        """0: every profile runs every node; 1: something falls back."""
        return int(any(summary.unsupported_share for summary in self.summaries))

    def to_json(self) -> dict[str, Any]:
        """Plain data; shares are between 0 and 1."""
        return {
            "schema": 1,
            "target": self.target,
            "profiles": {
                s.profile: {key: value for key, value in vars(s).items() if key != "profile"} for s in self.summaries
            },
            "nodes": [
                {
                    "name": node.name,
                    "op": node.op,
                    "verdicts": {profile: vars(verdict) for profile, verdict in node.verdicts.items()},
                }
                for node in self.nodes
            ],
        }


def profile_report(model: ir.Model, profiles: Sequence[Profile], target: Target) -> ProfileReport:
    """Judge every node of an imported `model` under every profile."""
    graph = UnitGraph(model, {}, _types(model))
    verdicts: dict[ir.Node, dict[str, Verdict]] = {}
    macs: dict[ir.Node, int] = {}
    summaries = []
    for profile in profiles:
        ops = convert(model, profile.engine)
        found = [judge_operator(op, profile, target) for op in ops]
        for op, verdict in zip(ops, found, strict=True):
            for node in op.nodes:
                verdicts.setdefault(node, {})[profile.name] = verdict
                macs[node] = node_macs(node, graph)
        summaries.append(_summary(profile, ops, found, macs))
    nodes = (NodeProfile(node.name or node.op_type, node.op_type, macs[node], v) for node, v in verdicts.items())
    return ProfileReport(target.name, tuple(nodes), tuple(summaries))


def _types(model: ir.Model) -> dict[str, TensorType]:
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs if value.name)]
    return {value.name or "": TensorType(shape(value), dtype(value)) for value in values}


def _summary(
    profile: Profile, ops: Sequence[EngineOp], verdicts: Sequence[Verdict], macs: dict[ir.Node, int]
) -> ProfileSummary:
    nodes = sum(len(op.nodes) for op in ops) or 1
    all_macs = sum(macs.values()) or 1
    lost = [op for op, verdict in zip(ops, verdicts, strict=True) if not verdict.runs]
    there = accelerated(ops, [verdict.runs for verdict in verdicts], profile)
    if profile.kind == "cpu":
        partitions, crossing = int(bool(ops)), 0
    else:
        partitions = sum(1 for i, place in enumerate(there) if i == 0 or place != there[i - 1])
        crossing = _transfer_bytes(ops, there)
    return ProfileSummary(
        profile=profile.name,
        title=profile.title,
        unsupported_share=sum(len(op.nodes) for op in lost) / nodes,
        unsupported_mac_share=sum(macs[node] for op in lost for node in op.nodes) / all_macs,
        accelerated_share=sum(len(op.nodes) for op, place in zip(ops, there, strict=True) if place) / nodes,
        without=tuple(dict.fromkeys(op.nodes[0].op_type for op in ops if not op.operators)),
        partitions=partitions,
        transfer_bytes=crossing,
    )


def _transfer_bytes(ops: Sequence[EngineOp], there: Sequence[bool]) -> int:
    made = {id(value): place for op, place in zip(ops, there, strict=True) for value in op.outputs()}
    crossing: dict[int, int] = {}
    for op, place in zip(ops, there, strict=True):
        for value in op.inputs():
            if made.get(id(value), False) != place:
                crossing[id(value)] = TensorType(shape(value), dtype(value)).size_bytes
        for value in op.outputs():
            if value.is_graph_output() and place:
                crossing[id(value)] = TensorType(shape(value), dtype(value)).size_bytes
    return sum(crossing.values())
