"""The quality of the phone kernels' machine code, judged without a phone: ``python -m benchmarks.aarch64``.

Compiles the convolutions and matrix products of the zoo for a phone's CPU and asks llvm-mca how many of two
multiply-adds a cycle their inner loops reach (see `benchmarks.mca`). Exit code 1 if a class of kernels misses its goal.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.mca import Loop, analyser, innermost_loops, main_loop, shares
from benchmarks.models import ALL
from benchmarks.paste import paste
from benchmarks.shapes import describe
from examples import zoo
from hetpart.codegen.isa import target_isa
from hetpart.codegen.names import symbol_of
from hetpart.compiler import PRECISIONS, Options, decide
from hetpart.cost.work import work
from hetpart.kernels.isa import Isa
from hetpart.kernels.select import select
from hetpart.kernels.spec import ConvSpec, DenseSpec, MatmulSpec, Spec
from hetpart.phases import Phases
from hetpart.targets import load_target

GOALS = {"conv": 0.95, "depthwise": 0.85, "dense": 0.85, "matmul": 0.85}
"""Least share of two arithmetic instructions a cycle, weighted by multiply-adds, per class of kernels."""


@dataclass(frozen=True)
class Judged:
    """One kernel.

    Attributes:
        kind: a key of `GOALS`.
        unit: first unit that uses it.
        shape: of its work.
        macs: multiply-adds of all units in all models that use it.
        share: see `benchmarks.mca.shares`.
        spills: vector registers moved to or from the stack in one pass through each of its innermost loops that
            multiply and add: Winograd's transforms too.
        instructions: in the loop that the share is of.
    """

    kind: str
    unit: str
    shape: str
    macs: int
    share: float
    spills: int
    instructions: int


def judge(models: Sequence[str], target: str, precision: str = "fp32") -> list[Judged]:
    """All kernels of the classes in `GOALS`, in order of first use."""
    path = analyser()
    isa = target_isa(load_target(target))
    specs: dict[str, Spec] = {}
    about: dict[str, tuple[str, str]] = {}
    macs: dict[str, int] = {}
    for model in models:
        for spec, unit, shape, count in _calls(model, target, precision):
            symbol = symbol_of(spec)
            specs.setdefault(symbol, spec)
            about.setdefault(symbol, (f"{model} {unit}", shape))
            macs[symbol] = macs.get(symbol, 0) + count
    loops: dict[str, Loop] = {}
    spills: dict[str, int] = {}
    for done, (symbol, spec) in enumerate(specs.items(), 1):
        if sys.stderr.isatty():
            print(f"\r{done}/{len(specs)} kernels", end="\n" if done == len(specs) else "", file=sys.stderr, flush=True)
        inner = [loop for loop in innermost_loops(_assembly(spec, isa, symbol)) if loop.multiply_adds]
        if loop := main_loop(inner):
            loops[symbol] = loop
            spills[symbol] = sum(loop.spills for loop in inner)
    return [
        Judged(
            kind_of(specs[symbol]), *about[symbol], macs[symbol], share, spills[symbol],
            len(loops[symbol].instructions),
        )
        for symbol, share in shares(loops, path).items()
    ]  # fmt: skip


def kind_of(spec: Spec) -> str:
    """The class of kernels that `spec` belongs to; empty if it is none of those judged here."""
    if isinstance(spec, ConvSpec):
        return "depthwise" if spec.depthwise else "conv"
    return {DenseSpec: "dense", MatmulSpec: "matmul"}.get(type(spec), "")


def _calls(model: str, target: str, precision: str) -> Iterator[tuple[Spec, str, str, int]]:
    """Kernel calls: spec, unit, shape, multiply-adds."""
    decision = decide(zoo.build(model), load_target(target), Options(strategy="cpu", precision=precision), Phases())
    graph = decision.assignment.graph
    for unit in graph:
        for call in select(unit, decision.assignment):
            if kind_of(call.spec):
                yield call.spec, unit.name, describe(unit, graph), work(unit, graph).macs


def _assembly(spec: Spec, isa: Isa, symbol: str) -> str:
    from hetpart.kernels.cpu import generator
    from hetpart.kernels.cpu.build import assembly

    return assembly([generator(spec).prim_func(spec, isa, symbol)], isa)


def weighted(kernels: Iterable[Judged]) -> float:
    """The share that all of them reach together: multiply-adds by the time that each takes for its own."""
    kernels = list(kernels)
    return sum(k.macs for k in kernels) / sum(k.macs / k.share for k in kernels)


def report(kernels: Sequence[Judged], worst: int) -> tuple[str, bool]:
    """The tables in Markdown, and whether all goals are met."""
    lines = [
        "| class | kernels | GMAC | share | goal | worst | with spills |",
        "| --- | --: | --: | --: | --: | --: | --: |",
    ]
    good = True
    for kind, goal in GOALS.items():
        members = [kernel for kernel in kernels if kernel.kind == kind]
        if not members:
            continue
        share, spilling = weighted(members), [kernel for kernel in members if kernel.spills]
        good &= share >= goal
        lines.append(
            f"| {kind} | {len(members)} | {sum(k.macs for k in members) / 1e9:.2f} | {share:.1%} | {goal:.0%} "
            f"| {min(k.share for k in members):.1%} | {len(spilling)} |"
        )
    lines += ["", "| class | unit | shape | GMAC | share | spills | instructions |", "| --- " * 3 + "| --: " * 4 + "|"]
    for kernel in sorted(kernels, key=lambda k: k.share)[:worst]:
        lines.append(
            f"| {kernel.kind} | {kernel.unit} | {kernel.shape} | {kernel.macs / 1e9:.3f} | {kernel.share:.1%} "
            f"| {kernel.spills} | {kernel.instructions} |"
        )
    return "\n".join(lines), good


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.aarch64", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"zoo names; default: {' '.join(ALL)}")
    parser.add_argument("--target", default="sd855", help="target to compile for (default: sd855)")
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS, help="what to compute in (default: fp32)")
    parser.add_argument("--worst", type=int, default=20, help="kernels to list, lowest shares first (default: 20)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all kernels to this file")
    parser.add_argument("--paste", type=Path, metavar="PAGE", help="put the tables into this page, between its marks")
    arguments = parser.parse_args()
    if unknown := [model for model in arguments.models if model not in zoo.names()]:
        parser.error(f"no such model: {', '.join(unknown)}")
    try:
        kernels = judge(arguments.models or ALL, arguments.target, arguments.precision)
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(kernel) for kernel in kernels], indent=1) + "\n")
    text, good = report(kernels, arguments.worst)
    print(text)
    if arguments.paste:
        paste(arguments.paste, "aarch64", text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
