"""The C runtime's digest is XXH64, and a file has the same one however it is read."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
import xxhash

from hetpart.bundle.digest import describe, digest, pieces
from hetpart.bundle.toolchain import RUNTIME, compiler, run_tool


@pytest.fixture(scope="module")
def in_c(tmp_path_factory: pytest.TempPathFactory) -> ctypes._CFuncPtr:
    folder = tmp_path_factory.mktemp("digest")
    flags = ["-std=c11", "-O2", "-fPIC", "-shared"]
    run_tool([*compiler(), *flags, str(RUNTIME / "src" / "digest.c"), "-o", "digest.so"], folder, "a library")
    function = ctypes.CDLL(str(folder / "digest.so")).hp_digest
    function.restype, function.argtypes = ctypes.c_uint64, (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64)
    return function


def test_c_computes_xxh64(in_c: ctypes._CFuncPtr) -> None:
    random = np.random.default_rng(1)
    for length in (*range(130), 4096, 100_003):
        data = random.bytes(length)
        assert in_c(data, length, 0) == digest(data)
        for seed in (1, 2**64 - 1):
            assert in_c(data, length, seed) == xxhash.xxh64_intdigest(data, seed)


def test_c_reads_from_any_address(in_c: ctypes._CFuncPtr) -> None:
    data = np.random.default_rng(2).bytes(200)
    buffer = ctypes.create_string_buffer(data)
    for offset in range(16):
        start = ctypes.cast(ctypes.addressof(buffer) + offset, ctypes.c_char_p)
        assert in_c(start, 150, 0) == digest(data[offset : offset + 150])


def test_files(tmp_path: Path) -> None:
    data = np.random.default_rng(3).bytes((1 << 21) + 5)
    (tmp_path / "file").write_bytes(data)
    (tmp_path / "empty").write_bytes(b"")
    with (tmp_path / "file").open("rb") as file:
        assert describe(pieces(file)) == describe(pieces(data)) == describe(pieces(tmp_path / "file"))
    assert describe(pieces(data)).size == len(data)
    assert int(describe(pieces(data)).xxh64, 16) == digest(data)
    assert describe(pieces(tmp_path / "empty")).xxh64 == "ef46db3751d8e999"  # the specification's
