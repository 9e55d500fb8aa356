"""Symbols of a 64-bit little-endian ELF object: which it defines and which it needs."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hetpart.errors import InternalError

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SHT_SYMTAB = 2
_STB_LOCAL = 0


@dataclass(frozen=True)
class Symbols:
    """Names of the non-local symbols of an object."""

    defined: frozenset[str]
    undefined: frozenset[str]


def read_symbols(data: bytes) -> Symbols:
    """The symbols in a relocatable object (System V ABI, chapter 4).

    Raises InternalError ``bad-object`` if `data` is not one.
    """
    if data[:6] != b"\x7fELF\x02\x01":
        raise InternalError("bad-object", "a compiled kernel is not a 64-bit little-endian ELF object")
    try:
        return _symbols(data)
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise InternalError("bad-object", f"a compiled kernel is a damaged ELF object: {error}") from error


def _symbols(data: bytes) -> Symbols:
    (sections_at,) = struct.unpack_from("<Q", data, 40)
    entry_size, count = struct.unpack_from("<HH", data, 58)
    sections = [_SECTION.unpack_from(data, sections_at + i * entry_size) for i in range(count)]
    defined: set[str] = set()
    undefined: set[str] = set()
    for _, kind, _, _, offset, size, link, *_ in sections:
        if kind != _SHT_SYMTAB:
            continue
        strings = sections[link][4]
        for name_at, info, _, section, _, _ in _SYMBOL.iter_unpack(data[offset : offset + size]):
            if info >> 4 == _STB_LOCAL:
                continue
            start = strings + name_at
            name = data[start : data.index(b"\0", start)].decode()
            (defined if section else undefined).add(name)
    return Symbols(frozenset(defined), frozenset(undefined))
