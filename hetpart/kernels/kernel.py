"""The contract between a spec and the generators that emit code for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hetpart.kernels.isa import Isa


class CpuGenerator(Protocol):
    """Emits one kind of CPU kernel; a module of hetpart/kernels/cpu with these functions fulfils it."""

    def prim_func(self, spec: Any, isa: Isa, symbol: str) -> Any:
        """The tvm PrimFunc named `symbol` (argument order: see hetpart.kernels.spec)."""

    def extent(self, spec: Any, isa: Isa) -> int:
        """Number of independent work items; any split of [0, extent) over threads gives the same result."""

    def pack(self, spec: Any, isa: Isa, constants: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """The packed constants, in argument order, from the spec's named ONNX constants."""


@dataclass(frozen=True)
class Device:
    """What an OpenCL generator needs to know of the device.

    Attributes:
        tile_items: ``True`` where one work-item computes one whole register tile and runs alone (CPU-like devices
            such as PoCL), ``False`` for SIMT GPUs, where items are small and many.
        registers: vector registers (of one channel block each) that one work-item may keep live.
        work_group: preferred local size (x, y, z) for SIMT; (1, 1, 1) on tile devices.
        max_image: largest width and height of an image, in texels.
        local_bytes: local memory that an item of a tile device may use for itself, which should stay in the core's
            own cache; 0 for none.
    """

    tile_items: bool
    registers: int
    work_group: tuple[int, int, int]
    max_image: int = 16384
    local_bytes: int = 0

    @property
    def lanes(self) -> int:
        """float32 lanes of a vector: on a tile device a register (32 of them mean AVX-512, 16 AVX2), else a float4."""
        return (16 if self.registers >= 32 else 8) if self.tile_items else 4


@dataclass(frozen=True)
class Launch:
    """Global and local size of an OpenCL launch, three dimensions, in work-items.

    `grouped`: the items of a group work together, so the local size must be this one. Other kernels run with any.
    """

    global_size: tuple[int, int, int]
    local_size: tuple[int, int, int]
    grouped: bool = False


@dataclass(frozen=True, eq=False)
class Texture:
    """A constant that a kernel reads as an image: texels (rows, columns, 4)."""

    data: np.ndarray


Packed = np.ndarray | Texture


class OpenclGenerator(Protocol):
    """Emits one kind of OpenCL kernel; a module of hetpart/kernels/opencl with these functions fulfils it."""

    def source(self, spec: Any, device: Device, symbol: str) -> str:
        """OpenCL C 1.2 of one ``__kernel`` named `symbol`; arguments are __global pointers or, for an Image, images."""

    def launch(self, spec: Any, device: Device) -> Launch:
        """The launch that covers the whole spec."""

    def pack(self, spec: Any, device: Device, constants: Mapping[str, np.ndarray]) -> tuple[Packed, ...]:
        """The packed constants, in argument order, from the spec's named ONNX constants."""
