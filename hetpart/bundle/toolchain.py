"""From kernel objects to the module of CPU kernels, with the C compiler and linker that come with ``ziglang``.

The module exports one symbol, ``hp_module`` (hetpart/runtime/src/module.h): a table of its kernels by name, and a
function that receives the services which TVM's code calls back. It needs nothing but the C and maths libraries.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hetpart.bundle.digest import describe
from hetpart.bundle.elf import read_symbols
from hetpart.errors import HetpartError, InternalError

RUNTIME = Path(__file__).resolve().parent.parent / "runtime"

TRIPLES = ("x86_64-linux-gnu", "aarch64-linux-gnu", "aarch64-linux-android")

_PREFIX = "__tvm_ffi_"
_HOOKED = frozenset({"TVMFFIErrorSetRaisedFromCStrParts"})
_EMULATIONS = {"x86_64": "elf_x86_64", "aarch64": "aarch64linux"}

_LIBC = frozenset({"memcpy", "memmove", "memset", "memcmp"})
_MATHS = """
    acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs floor fma fmax fmin
    fmod hypot ldexp lgamma log log10 log1p log2 lrint llrint nearbyint nextafter pow remainder rint round roundeven sin
    sincos sinh sqrt tan tanh tgamma trunc
"""
_LIBM = frozenset(name + suffix for name in _MATHS.split() for suffix in ("", "f"))
"""What LLVM may call on behalf of a kernel: C99's maths library, and sincos, which glibc and bionic both have."""

_TABLE = """\
#include "module.h"

{declarations}

static const struct hp_kernel kernels[] = {{
{entries}
}};

/* TVM's code reads these pointers; its own definitions are weak and give way to them. */
__attribute__((visibility("hidden"))) void *__TVMBackendAllocWorkspace, *__TVMBackendFreeWorkspace;
__attribute__((visibility("hidden"))) void *__TVMBackendParallelLaunch;

static void (*raise)(const char *kind, const char **parts, int32_t count);

__attribute__((visibility("hidden")))
void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count)
{{
    raise(kind, parts, count);
}}

static void set_hooks(const struct hp_hooks *hooks)
{{
    __TVMBackendAllocWorkspace = (void *)hooks->alloc_workspace;
    __TVMBackendFreeWorkspace = (void *)hooks->free_workspace;
    __TVMBackendParallelLaunch = (void *)hooks->parallel_launch;
    raise = hooks->raise;
}}

const struct hp_module hp_module = {{HP_MODULE_ABI, {count}, {digest}u, kernels, set_hooks}};
"""


def zig(*arguments: str) -> list[str]:
    """Command line of the ``ziglang`` package's tool; ``python -m ziglang`` would spend four times as long on Python.

    Raises:
        HetpartError: ``no-compiler``.
    """
    package = find_spec("ziglang")
    if package is None or package.origin is None:
        raise HetpartError("no-compiler", "the package ziglang is not installed", hint="pip install ziglang")
    return [str(Path(package.origin).with_name("zig")), *arguments]


def clang(triple: str) -> list[str]:
    """Command line that compiles freestanding C for `triple`, without the headers of any C library: there are none for
    Android without its NDK. ``zig cc`` would take twice as long, for such headers and a cache of its own.
    """
    command = zig("clang")
    headers = Path(command[0]).with_name("lib") / "include"
    return [*command, f"--target={triple}", "-c", "-g0", "-fPIC", "-ffreestanding", "-nostdinc", f"-isystem{headers}"]


def compiler() -> list[str]:
    """Command line of a C11 compiler for this machine: ``$CC``, the system's ``cc``, or ``ziglang``'s."""
    chosen = os.environ.get("CC", "").split()
    if chosen and shutil.which(chosen[0]):
        return chosen
    if system := shutil.which("cc"):
        return [system]
    return zig("cc")


def _environment(work: Path) -> dict[str, str]:
    """This process's, with a cache for zig in `work` where the usual one cannot be made: zig fails there, or hangs."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "zig"
    try:
        usual.mkdir(parents=True, exist_ok=True)
        usable = os.access(usual, os.W_OK)
    except OSError:
        usable = False
    return dict(os.environ) if usable else {"ZIG_GLOBAL_CACHE_DIR": str(work / "zig-cache")} | dict(os.environ)


def run_tool(command: Sequence[str], work: Path, what: str) -> None:
    """Run a compiler or linker in folder `work`; a failure is a HetpartError that says `what` cannot be made."""
    try:
        done = subprocess.run(
            command, cwd=work, env=_environment(work), capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        raise HetpartError("toolchain-failed", f"cannot run {command[0]} to make {what}: {error}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        text = "\n".join(lines[:20]) or f"exit status {done.returncode}"
        raise HetpartError("toolchain-failed", f"{what} cannot be made: {text}", hint=f"command: {' '.join(command)}")


@dataclass(frozen=True)
class Module:
    """The CPU kernels of a bundle, for one triple.

    Attributes:
        relocatable: contents of ``model.o``, to link into an application.
        shared: contents of ``libmodel.so``.
        digest: of the kernels' objects; the module carries it, and so do the plans that call it.
    """

    relocatable: bytes
    shared: bytes
    digest: int


def link_module(objects: Sequence[bytes], symbols: Sequence[str], triple: str, work: Path) -> Module:
    """The kernels as one relocatable object and as one shared library.

    Args:
        objects: ELF objects compiled for the triple's processor; they define ``__tvm_ffi_NAME`` for each symbol.
        symbols: kernel names, without prefix.
        triple: one of `TRIPLES`.
        work: an existing folder for intermediate files.

    Returns:
        Equal arguments give equal bytes.

    Raises:
        HetpartError: unknown triple, or the tools fail.
        InternalError: a kernel is missing, or needs a function that no phone has.
    """
    if triple not in TRIPLES:
        raise HetpartError("unknown-triple", f"no modules for {triple}", hint=f"triples: {', '.join(TRIPLES)}")
    needed = _check(objects, symbols)
    names = []
    for index, data in enumerate(objects):
        names.append(f"kernel{index}.o")
        (work / names[-1]).write_bytes(data)
    digest = int(describe([*objects, "\n".join(symbols).encode()]).xxh64, 16)
    (work / "table.c").write_text(_table(symbols, digest))
    flags = ["-O2", "-fno-ident", f"-I{RUNTIME / 'src'}"]
    run_tool([*clang(triple), *flags, "table.c", "-o", "table.o"], work, "the table of CPU kernels")
    (work / "relocatable.ld").write_text("SECTIONS { /DISCARD/ : { *(.debug*) *(.rela.debug*) *(.comment) } }\n")
    link = zig("ld.lld", "-m", _EMULATIONS[triple.split("-")[0]])
    run_tool([*link, "-r", "-T", "relocatable.ld", "-o", "model.o", "table.o", *names], work, "model.o")
    (work / "exports").write_text("{ global: hp_module; local: *; };\n")
    libraries = [_stub(library, wanted, triple, link, work) for library, wanted in _libraries(needed, triple).items()]
    shared = [
        "-shared", "-soname", "libmodel.so", "--version-script", "exports", "--no-undefined", "--strip-all",
        "--build-id=none", "--hash-style=both", "-z", "max-page-size=16384", "-z", "noexecstack",
    ]  # fmt: skip
    run_tool([*link, *shared, "-o", "libmodel.so", "model.o", *libraries], work, "libmodel.so")
    return Module((work / "model.o").read_bytes(), (work / "libmodel.so").read_bytes(), digest)


def _check(objects: Sequence[bytes], symbols: Sequence[str]) -> frozenset[str]:
    """The library functions that the objects need."""
    defined: set[str] = set()
    undefined: set[str] = set()
    for data in objects:
        found = read_symbols(data)
        defined |= found.defined
        undefined |= found.undefined
    for symbol in symbols:
        if not re.fullmatch(r"[A-Za-z_]\w*", symbol):
            raise InternalError("bad-symbol", f"{symbol!r} cannot be the name of a kernel")
        if _PREFIX + symbol not in defined:
            raise InternalError("missing-kernel", f"no object defines the kernel {symbol}")
    needed = frozenset(undefined - defined - _HOOKED)
    if unknown := needed - _LIBC - _LIBM:
        raise InternalError("unresolved-symbol", f"a kernel needs {min(unknown)}, which no library of the phone has")
    return needed


def _table(symbols: Sequence[str], digest: int) -> str:
    names = sorted(set(symbols))
    return _TABLE.format(
        declarations="\n".join(f"int {_PREFIX}{name}(void *, const void *, int32_t, void *);" for name in names),
        entries="\n".join(f'    {{"{name}", {_PREFIX}{name}}},' for name in names) or "    {0, 0},",
        count=len(names),
        digest=digest,
    )


def _libraries(needed: frozenset[str], triple: str) -> dict[str, frozenset[str]]:
    """Run-time library names and the functions wanted from each."""
    versions = ("libc.so", "libm.so") if triple.endswith("android") else ("libc.so.6", "libm.so.6")
    return {name: wanted & needed for name, wanted in zip(versions, (_LIBC, _LIBM), strict=True) if wanted & needed}


def _stub(library: str, functions: frozenset[str], triple: str, link: Sequence[str], work: Path) -> str:
    """A library that has nothing but names: what linking against a phone's own takes. Returns its file."""
    source, made, output = f"{library}.c", f"{library}.o", f"stub-{library}"
    (work / source).write_text("".join(f"void {name}(void) {{}}\n" for name in sorted(functions)))
    run_tool([*clang(triple), "-w", "-fno-builtin", source, "-o", made], work, f"a stub of {library}")
    run_tool([*link, "-shared", "-soname", library, "-o", output, made], work, f"a stub of {library}")
    return output
