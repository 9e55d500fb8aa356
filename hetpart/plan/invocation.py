"""A kernel call before addresses: what a code generator hands to the planner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hetpart.graph.layout import Plain


@dataclass(frozen=True)
class Value:
    """An activation, by name."""

    name: str


@dataclass(frozen=True)
class Private:
    """An activation in its processor's private memory, by the name of the value."""

    name: str


@dataclass(frozen=True, eq=False)
class Constant:
    """Read-only data in the form the kernel wants: an array, or texels of an image. `name` is for people."""

    name: str
    data: np.ndarray
    image: bool = False


@dataclass(frozen=True)
class Scratch:
    """Memory that only this unit uses; equal names within a unit are the same memory."""

    name: str
    layout: Plain


Argument = Value | Private | Constant | Scratch


@dataclass(frozen=True, eq=False)
class Invocation:
    """One kernel call.

    Attributes:
        kernel: symbol in the processor's module.
        args: in argument order.
        writes: positions in `args` that the kernel writes.
        extent: CPU: work items. `ranged` says whether the kernel takes a [lo, hi) range of them.
        global_size, local_size: OpenCL launch in work-items; zeros on the CPU.
        offset: OpenCL: the first work-item, where a kernel is launched in several parts.
        grouped: OpenCL: the kernel works with this local size only.
    """

    kernel: str
    args: tuple[Argument, ...]
    writes: tuple[int, ...]
    extent: int = 1
    ranged: bool = True
    global_size: tuple[int, int, int] = (0, 0, 0)
    local_size: tuple[int, int, int] = (0, 0, 0)
    offset: tuple[int, int, int] = (0, 0, 0)
    grouped: bool = False
