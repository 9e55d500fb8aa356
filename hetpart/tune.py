"""Tunes the convolutions of a model for the CPU of this machine: which shapes, in which order, and where results go."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hetpart.codegen.isa import target_isa
from hetpart.compiler import Model, Options, decide
from hetpart.errors import HetpartError
from hetpart.kernels.select import select
from hetpart.kernels.spec import ConvSpec
from hetpart.phases import Phases
from hetpart.targets import load_target
from hetpart.targets.schema import CpuCodegen


@dataclass(frozen=True)
class Shape:
    """One shape that was tuned, times in microseconds, measured.

    Attributes:
        shape: its key in the table.
        choice: the fastest choice found, as the table holds it.
        time_us: what it takes.
        estimated_us: what the choice takes that would be made without the table.
    """

    shape: str
    choice: tuple[object, ...]
    time_us: float
    estimated_us: float


def tune(
    source: Model,
    target: str = "host",
    options: Options | None = None,
    *,
    again: bool = False,
    progress: Callable[[int, int, Shape], None] | None = None,
) -> tuple[list[Shape], Path]:
    """Measures choices for every convolution of `source` and adds the best to the user's table; returns both.

    Args:
        source: model file, or a model in memory.
        target: a target whose CPU is this machine's.
        options: how the model is prepared, as for compiling.
        again: also measure shapes that the table holds.
        progress: told (done, total, shape) after every shape.

    Raises:
        HetpartError: ``not-native`` if the target's CPU is another one; else as for compiling.
    """
    chosen = load_target(target)
    codegen = chosen.host.codegen
    if not isinstance(codegen, CpuCodegen) or not codegen.native:
        raise HetpartError(
            "not-native",
            f"the CPU of target {target} is not this machine's",
            hint="kernels are measured where they run",
        )
    from hetpart.codegen import tune as search
    from hetpart.kernels.cpu import conv_choice, depthwise, tuned

    isa = target_isa(chosen)
    assignment = decide(source, chosen, options or Options(strategy="cpu"), Phases()).assignment
    specs = {
        conv_choice.shape_key(call.spec): call.spec
        for unit in assignment.graph
        for call in select(unit, assignment)
        if isinstance(call.spec, ConvSpec) and not depthwise.suits(call.spec)
    }
    if not again:
        specs = {shape: spec for shape, spec in specs.items() if tuned.lookup(shape, isa) is None}
    shapes: list[Shape] = []
    path = tuned.user_file(isa)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {chosen.host.core if chosen.host.core in cores else min(cores)})
    try:
        for done, (shape, spec) in enumerate(specs.items(), 1):
            found = search.tune(spec, isa)
            choice = conv_choice.encode(found.choice)
            path = tuned.record({shape: choice}, isa)  # at once, so that an interrupted run keeps what it found
            shapes.append(Shape(shape, tuple(choice), found.time_us, found.estimated_us))
            if progress:
                progress(done, len(specs), shapes[-1])
    finally:
        os.sched_setaffinity(0, cores)
    return shapes, path
