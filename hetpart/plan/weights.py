"""The constants file: every packed constant once, aligned, in the order of first use."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from hetpart.files import reported

ALIGNMENT = 128


class Weights:
    """Collects constants and gives each its byte offset; equal data are stored once."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._offsets: dict[bytes, int] = {}
        self._parts: list[tuple[int, np.ndarray]] = []

    def add(self, data: np.ndarray) -> int:
        """The byte offset of `data` (C order)."""
        data = np.require(data, requirements="C")
        digest = hashlib.blake2b(data.data, digest_size=16).digest() + str(data.nbytes).encode()
        if digest not in self._offsets:
            self._offsets[digest] = self.size_bytes
            self._parts.append((self.size_bytes, data))
            self.size_bytes += -(-data.nbytes // ALIGNMENT) * ALIGNMENT
        return self._offsets[digest]

    def write(self, path: Path) -> None:
        """Writes the file piece by piece, without a second copy in memory; HetpartError as `hetpart.files.reported`."""
        with reported(path), path.open("wb") as file:
            for offset, data in self._parts:
                file.write(bytes(offset - file.tell()))
                data.tofile(file)
            file.truncate(self.size_bytes)
