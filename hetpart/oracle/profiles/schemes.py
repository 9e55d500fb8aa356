"""How much of a model the study's six ways of running it do not support.

S. Liu et al., "Deep Learning Inference on Heterogeneous Mobile Processors: Potentials and Pitfalls" (AdaAIoTSys'24,
arXiv 2405.01851) count operators without support under execution on one processor and on CPU and GPU in parallel. The
engines are MACE and CoDL's fork of it. The rule here:

- An operator is one of MACE's, as its converter makes them: batch normalisation and most activations are folded.
- On one processor an operator is supported if that processor has a kernel for it.
- In parallel it is supported if it can be divided between CPU and GPU: it is of a kind that CoDL's code divides, and
  both have a kernel. The rest runs on one processor while the other waits.
- A parallel scheme adds operators: hand-overs, which run in turn and so count as unsupported, in both terms of the
  share. muLayer makes every divided map whole again. CoDL does so only at the end of a chain of divided operators:
  where a map is read by an operator that is not divided, or leaves the model. With images a chain also begins with
  one: the map that it reads is brought into the GPU's form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from hetpart.oracle.profiles.convert import EngineOp, convert
from hetpart.oracle.profiles.judge import judge_operator
from hetpart.oracle.profiles.profile import load_profile
from hetpart.targets.schema import Target

DIVISIBLE = frozenset({"Conv2D", "Deconv2D", "FullyConnected", "MatMul", "Pooling"})
"""Operators that CoDL's evaluation code divides (csu-eis/CoDL, codl-mobile/test/codl_run, CODL_OP_TYPE_*)."""


@dataclass(frozen=True)
class Scheme:
    """One way of running a model.

    Attributes:
        profiles: those that must all support an operator.
        parallel: divides operators between CPU and GPU.
        chains: keeps a map divided between divided operators.
        images: the GPU's form of a map is not the CPU's.
    """

    name: str
    profiles: tuple[str, ...]
    parallel: bool = False
    chains: bool = False
    images: bool = False


SCHEMES = (
    Scheme("CPU", ("mace-cpu",)),
    Scheme("GPU, image", ("mace-gpu",)),
    Scheme("GPU, buffer", ("mace-gpu-buffer",)),
    Scheme("muLayer, buffer", ("mace-cpu", "codl-gpu-buffer"), parallel=True),
    Scheme("CoDL, buffer", ("mace-cpu", "codl-gpu-buffer"), parallel=True, chains=True),
    Scheme("CoDL, image", ("mace-cpu", "mace-gpu"), parallel=True, chains=True, images=True),
)
"""The six execution types of CoDL's evaluation tool, on which the study rests."""


@dataclass(frozen=True)
class Count:
    """Operators of a model, how many of them a scheme does not support, and how many hand-overs it adds."""

    operators: int
    unsupported: int
    added: int

    @property
    def own_share(self) -> float:
        """Unsupported share of the model's own operators."""
        return self.unsupported / self.operators

    @property
    def share(self) -> float:
        """The same with the added operators, none of which is supported."""
        return (self.unsupported + self.added) / (self.operators + self.added)


def count(model: ir.Model, scheme: Scheme, target: Target) -> Count:
    """Counts the operators of an imported model that has at least one."""
    profiles = [load_profile(name) for name in scheme.profiles]
    ops = convert(model, profiles[0].engine)
    supported = [all(judge_operator(op, profile, target).runs for profile in profiles) for op in ops]
    if not scheme.parallel:
        return Count(len(ops), supported.count(False), 0)
    divided = [can and DIVISIBLE.issuperset(op.operators) for op, can in zip(ops, supported, strict=True)]
    return Count(len(ops), divided.count(False), _hand_overs(ops, divided, scheme))


def _hand_overs(ops: Sequence[EngineOp], divided: Sequence[bool], scheme: Scheme) -> int:
    made = {id(value) for op, parts in zip(ops, divided, strict=True) if parts for value in op.outputs()}
    if not scheme.chains:
        return len(made)
    ends = {id(v) for op in ops for v in op.outputs() if id(v) in made and v.is_graph_output()}
    begins: set[int] = set()
    for op, parts in zip(ops, divided, strict=True):
        for value in op.inputs():
            if id(value) in made and not parts:
                ends.add(id(value))
            if id(value) not in made and parts:
                begins.add(id(value))
    return len(ends) + (len(begins) if scheme.images else 0)
