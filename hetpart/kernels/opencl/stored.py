"""Arrays in buffers, of float32 or of float16: declarations, reads and writes.

Kernels compute in float32. float16 is read and written by vload_half and vstore_half, which are part of OpenCL 1.0 and
need no extension; a pointer to it is one to scalars, whatever the width of the vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hetpart.kernels.opencl.text import affine, vector


@dataclass(frozen=True)
class Stored:
    """How vectors of `width` numbers are stored."""

    dtype: str
    width: int = 1

    @property
    def half(self) -> bool:
        return self.dtype == "float16"

    @property
    def step(self) -> int:
        """By how much a pointer moves from one vector to the next."""
        return self.width if self.half else 1

    @property
    def form(self) -> str:
        """What pointers point to."""
        return "half" if self.half else vector(self.width)

    def argument(self, name: str, *, written: bool = False) -> str:
        return f"__global {'' if written else 'const '}{self.form}* restrict {name}"

    def pointer(self, name: str, base: str, terms: Sequence[tuple[str, int]], constant: int = 0) -> str:
        """The declaration of a pointer `name` to the vector of `base` whose number is the sum of `terms`."""
        number = affine([(term, stride * self.step) for term, stride in terms], constant * self.step)
        return f"__global const {self.form}* {name} = {base} + {number};"

    def advance(self, pointer: str, count: int) -> str:
        """The statement that moves `pointer` on by `count` vectors."""
        return f"{pointer} += {count * self.step};"

    def read(self, pointer: str, number: str | int) -> str:
        """The vector with that number."""
        if not self.half:
            return f"{pointer}[{number}]"
        return f"vload_half{self._suffix}({number}, {pointer})"

    def write(self, pointer: str, number: str, value: str) -> str:
        """The statement that writes the vector with that number."""
        if not self.half:
            return f"{pointer}[{number}] = {value};"
        return f"vstore_half{self._suffix}({value}, {number}, {pointer});"

    @property
    def _suffix(self) -> str:
        return "" if self.width == 1 else str(self.width)
