"""A toy bundle: hand-written CPU kernels with TVM's calling convention, OpenCL kernels, and waits in both directions.

For x of shape (ROWS, COLUMNS) and a constant w of shape (COLUMNS,):

    cpu   a = x * w + 1            d = 2 * c            closing step
    gpu        b = x * x     c = a + b         e = d - b
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hetpart.bundle.contents import BundleContents, bundle_files, describe_plans
from hetpart.bundle.manifest import Manifest, ProcessorInfo, TensorInfo
from hetpart.bundle.toolchain import RUNTIME, Module, link_module, run_tool, zig
from hetpart.bundle.write import write_bundle
from hetpart.errors import HetpartError
from hetpart.plan.plan import Buffer, Plan, Port, Step, Transfer, Wait
from hetpart.runtime.emulate import default_sysroot, require_emulation
from hetpart.runtime.library import program

ROWS, COLUMNS = 24, 16
WEIGHTS = np.linspace(-2, 3, COLUMNS, dtype=np.float32)

CPU_SOURCE = """
#include "tvm.h"

void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t count);
__attribute__((weak)) void *(*__TVMBackendAllocWorkspace)(int, int, uint64_t, int, int);
__attribute__((weak)) int (*__TVMBackendFreeWorkspace)(int, int, void *);
__attribute__((weak)) int (*__TVMBackendParallelLaunch)(int (*)(int, void *, void *), void *, int);

static int refuse(const char *first, const char *second)
{
    const char *parts[] = {first, second};
    TVMFFIErrorSetRaisedFromCStrParts("ValueError", parts, 2);
    return -1;
}

static float *data(const struct tvm_any *args, int index)
{
    const struct dl_tensor *tensor = args[index].value.pointer;
    return args[index].type_index == TVM_DLTENSOR && tensor->device_type == DL_CPU ? tensor->data : 0;
}

/* y[r][c] = x[r][c] * w[c] + 1 for rows [lo, hi) */
int __tvm_ffi_affine(void *self, const struct tvm_any *args, int32_t count, struct tvm_any *result)
{
    if (count != 5 || args[3].type_index != TVM_INT || args[4].type_index != TVM_INT)
        return refuse("affine: ", "wrong arguments");
    float *x = data(args, 0), *w = data(args, 1), *y = data(args, 2);
    const int64_t columns = ((struct dl_tensor *)args[0].value.pointer)->shape[1];
    for (int64_t r = args[3].value.integer; r < args[4].value.integer; r++) {
        if (x[r * columns] > 1e30f)
            return refuse("affine: ", "an element is too large");
        for (int64_t c = 0; c < columns; c++)
            y[r * columns + c] = x[r * columns + c] * w[c] + 1;
    }
    return 0;
}

static int twice(int task, void *environment, void *pointers)
{
    float *from = ((float **)pointers)[0], *to = ((float **)pointers)[1];
    int64_t size = *((int64_t **)pointers)[2];
    for (int64_t i = 0; i < size; i++)
        to[i] = 2 * from[i];
    return 0;
}

/* y = 2 * x by way of two workspaces and a parallel launch; not ranged */
int __tvm_ffi_double(void *self, const struct tvm_any *args, int32_t count, struct tvm_any *result)
{
    const struct dl_tensor *x = args[0].value.pointer;
    int64_t size = x->shape[0] * x->shape[1];
    float *outer = __TVMBackendAllocWorkspace(1, 0, size * sizeof(float), 2, 32);
    float *inner = __TVMBackendAllocWorkspace(1, 0, size * sizeof(float), 2, 32);
    if (count != 2 || !outer || !inner || ((uintptr_t)outer | (uintptr_t)inner) % 64)
        return refuse("double: ", "bad workspace");
    for (int64_t i = 0; i < size; i++)
        outer[i] = data(args, 0)[i];
    for (int64_t i = 0; i < size; i++)
        inner[i] = outer[i];
    void *pointers[] = {inner, data(args, 1), &size};
    int status = __TVMBackendParallelLaunch(twice, pointers, 0);
    __TVMBackendFreeWorkspace(1, 0, inner);
    __TVMBackendFreeWorkspace(1, 0, outer);
    return status;
}

static int elementwise(const struct tvm_any *args, int32_t count, float sign)
{
    const int64_t columns = ((struct dl_tensor *)args[0].value.pointer)->shape[1];
    float *a = data(args, 0), *b = data(args, 1), *y = data(args, 2);
    for (int64_t i = args[3].value.integer * columns; i < args[4].value.integer * columns; i++)
        y[i] = sign == 0 ? a[i] * b[i] : a[i] + sign * b[i];
    return 0;
}

int __tvm_ffi_add(void *self, const struct tvm_any *args, int32_t count, struct tvm_any *result)
{
    return elementwise(args, count, 1);
}

int __tvm_ffi_sub(void *self, const struct tvm_any *args, int32_t count, struct tvm_any *result)
{
    return elementwise(args, count, -1);
}

int __tvm_ffi_mul(void *self, const struct tvm_any *args, int32_t count, struct tvm_any *result)
{
    return elementwise(args, count, 0);
}
"""

CPU_KERNELS = ("affine", "double", "add", "sub", "mul")

OPENCL_SOURCE = """
__kernel void square(__global const float *x, __global float *y) { size_t i = get_global_id(0); y[i] = x[i] * x[i]; }
__kernel void add(__global const float *a, __global const float *b, __global float *y)
{ size_t i = get_global_id(0); y[i] = a[i] + b[i]; }
__kernel void sub(__global const float *a, __global const float *b, __global float *y)
{ size_t i = get_global_id(0); y[i] = a[i] - b[i]; }
"""

SIZE = ROWS * COLUMNS * 4
LAUNCH = {"global_size": (ROWS * COLUMNS, 1, 1), "local_size": (COLUMNS, 1, 1)}
X, W, A, B, C, D, E = range(7)


def _buffers() -> tuple[Buffer, ...]:
    names = ["x", "a", "b", "c", "d", "e"]
    arena = [Buffer(n, "arena", i * SIZE, SIZE, "float32", (ROWS, COLUMNS)) for i, n in enumerate(names)]
    return (arena[0], Buffer("w", "weights", 64, COLUMNS * 4, "float32", (COLUMNS,)), *arena[1:])


STEP_NAME = 'double "c" \\ é\n'
"""A name that JSON must escape."""


def split_plan() -> Plan:
    """The plan above."""
    cpu = (
        Step("scale", "affine", (X, W, A), extent=ROWS, predicted_us=5, writes=(2,)),
        Step(STEP_NAME, "double", (C, D), ranged=False, waits=(Wait("gpu", 2),),
             transfers=(Transfer(C, "gpu"),), writes=(1,)),
        Step("outputs", "", (), waits=(Wait("gpu", 3),), transfers=(Transfer(E, "gpu"),)),
    )  # fmt: skip
    gpu = (
        Step("square", "square", (X, B), transfers=(Transfer(X, "cpu"),), writes=(1,), **LAUNCH),
        Step("sum", "add", (A, B, C), waits=(Wait("cpu", 1),), transfers=(Transfer(A, "cpu"),), writes=(2,),
             global_size=(ROWS * COLUMNS, 1, 1)),
        Step("difference", "sub", (D, B, E), waits=(Wait("cpu", 2),), transfers=(Transfer(D, "cpu"),), writes=(2,),
             predicted_us=7, **LAUNCH),
    )  # fmt: skip
    ports = {n: Port(n, i, "float32", (ROWS, COLUMNS)) for n, i in (("x", X), ("d", D), ("e", E))}
    return Plan(
        {"cpu": cpu, "gpu": gpu}, _buffers(), (ports["x"],), (ports["d"], ports["e"]),
        arena_bytes=6 * SIZE, weights_bytes=64 + COLUMNS * 4, predicted_us=40, kinds={"cpu": "cpu", "gpu": "opencl"},
    )  # fmt: skip


def cpu_plan() -> Plan:
    """The same on the CPU alone."""
    steps = (
        Step("scale", "affine", (X, W, A), extent=ROWS, writes=(2,)),
        Step("square", "mul", (X, X, B), extent=ROWS, writes=(2,)),
        Step("sum", "add", (A, B, C), extent=ROWS, writes=(2,)),
        Step("double", "double", (C, D), ranged=False, writes=(1,)),
        Step("difference", "sub", (D, B, E), extent=ROWS, writes=(2,)),
    )
    return dataclasses.replace(split_plan(), processors={"cpu": steps}, kinds={"cpu": "cpu"}, predicted_us=60)


def expected(x: np.ndarray) -> dict[str, np.ndarray]:
    wide = x.astype(np.float64)
    d = 2 * (wide * WEIGHTS + 1 + wide * wide)
    return {"d": d, "e": d - wide * wide}


class Plans:
    """What tests need of this file."""

    split = staticmethod(split_plan)
    cpu = staticmethod(cpu_plan)
    expected = staticmethod(expected)
    step_name = STEP_NAME


def module(triple: str, work: Path) -> Module:
    (work / "toy.c").write_text(CPU_SOURCE)
    flags = ["-c", "-O1", "-g0", "-fPIC", "-ffreestanding", "-w", f"-I{RUNTIME / 'src'}"]
    run_tool(zig("cc", "-target", triple, *flags, "toy.c", "-o", "toy.o"), work, "toy kernels")
    return link_module([(work / "toy.o").read_bytes()], CPU_KERNELS, triple, work)


TOY_WEIGHTS = bytes(64) + WEIGHTS.tobytes()


def contents(
    plans: dict[str, Plan],
    modules: dict[str, Module],
    weights: bytes = TOY_WEIGHTS,
    opencl: str = OPENCL_SOURCE,
    **changes: Any,
) -> BundleContents:
    x, d, e = (TensorInfo(name, "float32", (ROWS, COLUMNS)) for name in "xde")
    manifest = Manifest(
        model="toy",
        target="host",
        tools={"hetpart": "0.1.0"},
        inputs=(x,),
        outputs=(d, e),
        processors={"cpu": ProcessorInfo("cpu", 1, 0), "gpu": ProcessorInfo("opencl", 1, 1)},
        plans=describe_plans(plans),
    )
    files = bundle_files(plans, weights, modules, opencl)
    return BundleContents(dataclasses.replace(manifest, **changes), files)


SYSROOT = default_sysroot()  # before the tests get a cache of their own


@pytest.fixture(scope="session")
def sysroot() -> Path:
    """The arm64 root for emulation; skips the test where there is none."""
    try:
        require_emulation(SYSROOT)
    except HetpartError as error:
        pytest.skip(str(error))
    return SYSROOT


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The runtime is compiled into a cache of its own, so that the tests see today's sources and leave nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def runner() -> Path:
    """hetpart-run."""
    return program("run", ["cc"] if shutil.which("cc") else zig("cc"))


@pytest.fixture(scope="session")
def checked_runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """hetpart-run with the address and undefined-behaviour sanitizers if the compiler has them."""
    flags = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
    probe = tmp_path_factory.mktemp("probe")
    (probe / "probe.c").write_text("int main(void) { return 0; }\n")
    compiler = shutil.which("gcc") or shutil.which("clang") or "cc"
    works = (
        shutil.which(compiler)
        and not subprocess.run(
            [compiler, *flags, "probe.c", "-o", "probe"], cwd=probe, capture_output=True, check=False
        ).returncode
    )
    return program("run", [compiler, *(flags if works else [])])


@pytest.fixture(scope="session")
def host_module(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Module]:
    triple = f"{os.uname().machine}-linux-gnu"
    return {triple: module(triple, tmp_path_factory.mktemp("module"))}


@pytest.fixture(scope="session")
def make_toy(host_module: dict[str, Module], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes the toy bundle with other plans, modules, weights, OpenCL source or manifest fields."""

    def make(plans: dict[str, Plan] | None = None, **changes: Any) -> Path:
        path = tmp_path_factory.mktemp("toy") / "toy.hetpart"
        plans = plans or {"main": split_plan(), "cpu": cpu_plan()}
        write_bundle(contents(plans, **{"modules": host_module} | changes), path)
        return path

    return make


@pytest.fixture(scope="session")
def toy(make_toy: Callable[..., Path]) -> Path:
    return make_toy()


@pytest.fixture(scope="session")
def emulated_toy(sysroot: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy bundle for a phone."""
    triple = "aarch64-linux-gnu"
    path = tmp_path_factory.mktemp("emulated") / "toy.hetpart"
    modules = {triple: module(triple, tmp_path_factory.mktemp("module"))}
    write_bundle(contents({"main": split_plan(), "cpu": cpu_plan()}, modules), path)
    return path


@pytest.fixture(scope="session")
def plans() -> Plans:
    """The toy's plans and what they must compute, for tests (which cannot import this file)."""
    return Plans()


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(3).standard_normal((ROWS, COLUMNS)).astype(np.float32)
