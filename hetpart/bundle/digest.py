"""The digest that finds damaged files: XXH64, which `hetpart/runtime/src/digest.c` computes on the phone.

It is fast and finds damage; it does not protect against somebody who changes a file and its digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import xxhash

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class FileInfo:
    """XXH64 (16 hexadecimal digits) and size in bytes."""

    xxh64: str
    size: int


def digest(data: bytes) -> int:
    """XXH64 of `data`."""
    return xxhash.xxh64_intdigest(data)


def describe(parts: Iterable[bytes]) -> FileInfo:
    """Of a file that is all `parts`, one behind the other."""
    hasher = xxhash.xxh64()
    size = 0
    for part in parts:
        hasher.update(part)
        size += len(part)
    return FileInfo(hasher.hexdigest(), size)


def pieces(data: bytes | Path | IO[bytes]) -> Iterator[bytes]:
    """What `data`, or the file of that path, or an open file holds; a megabyte at a time."""
    if isinstance(data, bytes):
        yield data
    elif isinstance(data, Path):
        with data.open("rb") as file:
            yield from pieces(file)
    else:
        while piece := data.read(_CHUNK_BYTES):
            yield piece
