"""The instruction sets that CPU kernels are generated for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Isa:
    """What a CPU generator needs to know to choose its register tile.

    Attributes:
        triple: LLVM target triple, e.g. ``x86_64-linux-gnu``, ``aarch64-linux-gnu``, ``aarch64-linux-android``.
        mcpu: LLVM processor name, e.g. ``cortex-a76``, ``sapphirerapids``.
        mattr: extra LLVM attributes.
        lanes: float32 lanes of one vector register.
        registers: architectural vector registers.
        l2_bytes: a core's own second-level cache; the default is that of a phone's big core.
    """

    triple: str
    mcpu: str
    mattr: tuple[str, ...]
    lanes: int
    registers: int
    l2_bytes: int = 256 << 10

    def has(self, feature: str) -> bool:
        """Whether `mattr` promises an LLVM feature, e.g. ``dotprod``."""
        return f"+{feature}" in self.mattr

    @property
    def half_arithmetic(self) -> bool:
        """Whether it multiplies and adds vectors of float16 (Armv8.2-A's FP16, AVX512-FP16)."""
        return self.has("fullfp16") or self.has("avx512fp16")

    def lanes_of(self, dtype: str) -> int:
        """Lanes of one vector register that holds `dtype`."""
        return self.lanes * 4 // np.dtype(dtype).itemsize
