"""In which memory a unit works on a processor: in the processor's private form of maps, or in shared buffers.

The rule: a unit works in private memory (images, or float16) wherever the processor has some and hetpart has a kernel
for it. Where buffers are as good, the target says ``memory = "buffer"``. Letting the solver choose, with a third mode
of each task, made plans for sd855 shorter by 0.1 % (inception) and 0.4 % (retinaface), took three and six times as long
and lost the proof of optimality of both.
"""

from __future__ import annotations

from hetpart.graph.assign import Assignment
from hetpart.graph.layout import TEXEL, Blocked
from hetpart.graph.units import Unit
from hetpart.targets.schema import OpenclCodegen, Processor

_KINDS = frozenset({"channels", "conv", "eltwise", "global_pool", "instance_norm", "pad", "pool", "repack", "resize"})
"""Kinds of units with kernels for private memory. Concatenations in place need none, those that copy write lanes."""


def why_shared(unit: Unit, assignment: Assignment, processor: Processor) -> str:
    """Why `unit` must work on shared buffers on `processor`, in a few words; empty if it works in private memory."""
    codegen = processor.codegen
    if not isinstance(codegen, OpenclCodegen) or not codegen.private:
        return "no private memory"
    if unit.kind not in _KINDS:
        return f"no kernel for {unit.kind} there"
    maps = {value: assignment.layouts[value] for value in (*unit.inputs, *unit.outputs)}
    blocked = {value: form for value, form in maps.items() if isinstance(form, Blocked)}
    if not blocked or (unit.kind != "repack" and len(blocked) < len(maps)):
        return "row-major tensors lie in buffers"
    if unit.kind == "conv" and (reason := _part_groups(unit, assignment)):
        return reason
    for value, form in blocked.items():
        if form.block % TEXEL:
            return f"{value} is in blocks of {form.block}"
        if codegen.memory == "image" and (reason := _too_large(value, assignment, codegen.max_image)):
            return reason
    return ""


def _part_groups(unit: Unit, assignment: Assignment) -> str:
    """Groups must be whole channel blocks, or single channels."""
    group = unit.anchor.attributes.get_int("group", 1)
    x, out = (assignment.layouts[value] for value in (unit.inputs[0], unit.outputs[0]))
    if group == 1 or not (isinstance(x, Blocked) and isinstance(out, Blocked)):
        return ""
    if group == x.c == out.c or not (x.c // group % TEXEL or out.c // group % TEXEL):
        return ""
    return f"{group} groups that are no whole channel blocks"


def _too_large(value: str, assignment: Assignment, limit: int) -> str:
    """The image that would hold `value`, or the whole that it is a part of."""
    for part in (value, assignment.root(value)[0]):
        form = assignment.layouts[part]
        if not isinstance(form, Blocked):
            continue
        width, height = -(-form.c // TEXEL) * form.w, form.n * form.h
        if max(width, height) > limit:
            return f"{part} needs an image of {width} x {height}; the device allows {limit}"
    return ""
