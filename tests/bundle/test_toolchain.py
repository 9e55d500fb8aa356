"""The module of CPU kernels: one exported table, no surprises in what it needs, same bytes every time."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

import pytest

from hetpart.bundle.elf import read_symbols
from hetpart.bundle.toolchain import TRIPLES, compiler, link_module, run_tool, zig
from hetpart.errors import HetpartError, InternalError

KERNEL = """
double exp(double);
int puts(const char *);
float expf(float);
void *memset(void *, int, unsigned long);
void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int count);
__attribute__((weak)) int shared_helper(void) { return 7; }
int __tvm_ffi_NAME(void *self, const void *args, int count, void *result)
{
    if (count == 0) {
        const char *part = "no arguments";
        TVMFFIErrorSetRaisedFromCStrParts("TypeError", &part, 1);
        return -1;
    }
    *(float *)result = CALL;
    return shared_helper();
}
"""


def kernel(name: str, triple: str, folder: Path, call: str = "expf(count)") -> bytes:
    (folder / "k.c").write_text(KERNEL.replace("NAME", name).replace("CALL", call))
    flags = ["-c", "-O1", "-g", "-fPIC", "-ffreestanding", "-w"]
    run_tool(zig("cc", "-target", triple, *flags, "k.c", "-o", "k.o"), folder, "a kernel")
    return (folder / "k.o").read_bytes()


def dynamic(library: bytes, tag: int) -> list[int]:
    """Values of a tag in the dynamic section (which the stripped library finds by its program header)."""
    (headers_at,) = struct.unpack_from("<Q", library, 32)
    size, count = struct.unpack_from("<HH", library, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", library, headers_at + i * size) for i in range(count)]
    _, _, offset, _, _, length, _, _ = next(header for header in headers if header[0] == 2)
    entries = struct.iter_unpack("<QQ", library[offset : offset + length])
    return [value for found, value in entries if found == tag]


@pytest.mark.parametrize("triple", TRIPLES)
def test_module(triple: str, tmp_path: Path) -> None:
    objects = [kernel("b", triple, tmp_path), kernel("a", triple, tmp_path, "exp(count)")]
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(link_module(objects, ["b", "a"], triple, tmp_path / name))
    assert made[0] == made[1], "not the same bytes"
    relocatable, library = made[0].relocatable, made[0].shared
    symbols = read_symbols(relocatable)
    assert {"hp_module", "__tvm_ffi_a", "__tvm_ffi_b", "TVMFFIErrorSetRaisedFromCStrParts"} <= symbols.defined
    assert symbols.undefined == {"exp", "expf"}
    assert b".debug_info" not in relocatable
    names = (b"libm.so\0", b"libc.so\0") if triple.endswith("android") else (b"libm.so.6\0", b"libc.so.6\0")
    assert names[0] in library
    assert names[1] not in library, "nothing of the C library was needed"
    assert len(dynamic(library, 1)) == 1  # DT_NEEDED
    (headers_at,) = struct.unpack_from("<Q", library, 32)
    assert struct.unpack_from("<Q", library, headers_at + 56 + 48)[0] % 16384 == 0, "Android wants 16 KB pages"


def test_library_loads_here(tmp_path: Path) -> None:
    triple = f"{os.uname().machine}-linux-gnu"
    module = link_module([kernel("only", triple, tmp_path)], ["only"], triple, tmp_path)
    path = tmp_path / "loaded.so"
    path.write_bytes(module.shared)
    loaded = ctypes.CDLL(str(path))
    abi, count = (ctypes.c_uint32 * 2).in_dll(loaded, "hp_module")
    assert (abi, count) == (2, 1)
    (digest,) = (ctypes.c_uint64 * 1).from_address(ctypes.addressof(ctypes.c_uint32.in_dll(loaded, "hp_module")) + 8)
    assert digest == module.digest
    for hidden in ("__tvm_ffi_only", "TVMFFIErrorSetRaisedFromCStrParts", "set_hooks"):
        assert not hasattr(loaded, hidden)


def test_module_without_kernels(tmp_path: Path) -> None:
    module = link_module([], [], "aarch64-linux-android", tmp_path)
    assert not read_symbols(module.relocatable).undefined


def test_refusals(tmp_path: Path) -> None:
    triple = "aarch64-linux-gnu"
    with pytest.raises(HetpartError) as caught:
        link_module([], [], "riscv64-linux-gnu", tmp_path)
    assert caught.value.code == "unknown-triple"
    with pytest.raises(InternalError) as internal:
        link_module([], ["absent"], triple, tmp_path)
    assert internal.value.code == "missing-kernel"
    with pytest.raises(InternalError) as internal:
        link_module([], ["a-b"], triple, tmp_path)
    assert internal.value.code == "bad-symbol"
    with pytest.raises(InternalError) as internal:
        link_module([kernel("k", triple, tmp_path, 'puts("")')], ["k"], triple, tmp_path)
    assert internal.value.code == "unresolved-symbol"
    assert "puts" in internal.value.message
    for damaged in (b"", b"\x7fELF\x01\x01", b"\x7fELF\x02\x01" + b"\xff" * 70):
        with pytest.raises(InternalError) as internal:
            link_module([damaged], [], triple, tmp_path)
        assert internal.value.code == "bad-object"
    with pytest.raises(HetpartError) as caught:  # two kernels of one name
        link_module([kernel("k", triple, tmp_path)] * 2, ["k"], triple, tmp_path)
    assert caught.value.code == "toolchain-failed"
    assert "__tvm_ffi_k" in caught.value.message


def test_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (Path(compiler()[0]).name, compiler()[1:]) == ("zig", ["cc"])
    (tmp_path / "cc").write_text("#!/bin/sh\n")
    (tmp_path / "cc").chmod(0o755)
    assert compiler() == [str(tmp_path / "cc")]
    (tmp_path / "ccache").write_text("#!/bin/sh\n")
    (tmp_path / "ccache").chmod(0o755)
    monkeypatch.setenv("CC", "ccache gcc")
    assert compiler() == ["ccache", "gcc"]


def test_tool_that_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(HetpartError) as caught:
        run_tool([str(tmp_path / "nothing")], tmp_path, "a thing")
    assert caught.value.code == "toolchain-failed"
