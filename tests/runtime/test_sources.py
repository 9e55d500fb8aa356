"""The C sources: warnings, other machines, sanitizers, the runner, and CMake."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import hetpart
from hetpart.bundle.toolchain import RUNTIME, zig
from hetpart.runtime.library import program

SOURCES = sorted((RUNTIME / "src").glob("*.c"))
STRICT = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wshadow", "-Wconversion", "-O2"]

needs_gcc = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")


def compile_each(command: list[str], folder: Path) -> None:
    mains = [path for path in SOURCES if path.name.endswith("_main.c")]
    for sources in ([path for path in SOURCES if path not in mains], *([main] for main in mains)):  # zig links with -c
        done = subprocess.run(
            [*command, *STRICT, f"-I{RUNTIME / 'include'}", "-c", *map(str, sources)],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@needs_gcc
def test_no_warnings_from_gcc(tmp_path: Path) -> None:
    compile_each(["gcc"], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("triple", ["x86_64-linux-gnu", "aarch64-linux-gnu", "aarch64-linux-musl"])
def test_no_warnings_from_clang(tmp_path: Path, triple: str) -> None:
    compile_each(zig("cc", "-target", triple), tmp_path)


def test_header_is_cplusplus_too(tmp_path: Path) -> None:
    (tmp_path / "app.cpp").write_text('#include "hetpart.h"\nint main() { return hp_options_default().trace; }\n')
    command = ["g++"] if shutil.which("g++") else zig("c++")
    done = subprocess.run(
        [*command, "-Wall", "-Wextra", "-Werror", "-pedantic", f"-I{RUNTIME / 'include'}", "-c", "app.cpp"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def run(command: list[str | Path], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)


@needs_gcc
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_sanitizers(toy: Path, tmp_path: Path, sanitizer: str) -> None:
    runner = program("run", ["gcc", "-g", f"-fsanitize={sanitizer}"])
    trace = tmp_path / "trace.json"
    done = run(
        [runner, toy, "--plan", "plan-cpu.bin", "--threads", "4", "--repeat", "50", "--trace", trace],
        ASAN_OPTIONS="exitcode=99", TSAN_OPTIONS="exitcode=99",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert trace.stat().st_size


def test_runner(toy: Path, tmp_path: Path, plans: object, x: np.ndarray) -> None:
    runner = program("run", ["cc"] if shutil.which("cc") else zig("cc"))
    x.tofile(tmp_path / "x.bin")
    arguments = ["--plan", "plan-cpu.bin", "--input", f"x={tmp_path / 'x.bin'}", "--output-dir", tmp_path]
    done = run([runner, toy, *arguments])
    assert done.returncode == 0, done.stderr
    assert 'output 1 "e" float32: 1536 bytes' in done.stdout
    wanted = plans.expected(x)["e"]  # type: ignore[attr-defined]  # a class of conftest.py, which has no import name
    found = np.fromfile(tmp_path / "output-1.bin", np.float32).reshape(x.shape)
    assert np.linalg.norm(found - wanted) <= 1e-6 * np.linalg.norm(wanted)

    fallback = run([runner, toy, "--allow-cpu-fallback"], HETPART_OPENCL="/nowhere")
    assert "plan: plan-cpu.bin\nfallback: HETPART_OPENCL=/nowhere" in fallback.stdout
    assert "[no-opencl]" in run([runner, toy], HETPART_OPENCL="/nowhere").stderr
    assert "[bad-argument]" not in run([runner, toy, "--input", "nothing=/nowhere", "--repeat", "0"]).stderr
    for wrong in ([], ["--repeat"], ["--repeat", "-1"], ["--colour", "red"]):
        assert run([runner, *([toy] if wrong else []), *wrong]).returncode == 64


@needs_gcc
def test_profiler(toy: Path, tmp_path: Path, x: np.ndarray) -> None:
    profiler = program("profile", ["gcc", "-g", "-fsanitize=address,undefined"])
    bundle, traces = tmp_path / "bundle", tmp_path / "traces.json"
    shutil.copytree(toy, bundle)
    (bundle / "plan.bin").unlink()
    failed = run([profiler, bundle, traces], ASAN_OPTIONS="exitcode=99")
    assert (failed.returncode, failed.stderr[-14:]) == (2, "[bundle-file]\n")
    x.tofile(bundle / "input-0.bin")
    (bundle / "profiler.json").write_text('{"target":"toy"}')
    done = run([profiler, bundle, traces, "--runs", "7", "--time-limit", "0"], ASAN_OPTIONS="exitcode=99")
    assert (done.returncode, done.stderr) == (0, "")
    assert "round 5 of 7\n" in done.stdout
    assert "round 6" not in done.stdout
    written = json.loads(traces.read_text())
    assert written["bundle"] == {"target": "toy"}
    assert [("trace" in one, one["plan"]) for one in written["runs"]] == 5 * [
        (recorded, "plan-cpu.bin") for recorded in (True, False, False)
    ]
    assert all(one["call_ns"] >= one["run_ns"] > 0 for one in written["runs"] if "trace" not in one)
    assert run([profiler, bundle, tmp_path / "no" / "traces.json"]).returncode == 2
    for wrong in (
        [],
        [bundle],
        [bundle, traces, "--runs", "0"],
        [bundle, traces, "--runs"],
        [bundle, traces, "-x", "1"],
    ):
        assert run([profiler, *wrong]).returncode == 64


APPLICATION = """
#include "hetpart.h"
#include <stdio.h>
extern const struct hp_module hp_module;
int main(int count, char **words)
{
    (void)count;
    static float x[24 * 16], e[24 * 16];
    hp_options options = hp_options_default();
    hp_model *model;
    hp_error error;
    options.module = &hp_module;
    options.plan = "plan-cpu.bin";
    hp_tensor input = {"x", x, sizeof x}, output = {"e", e, sizeof e};
    x[0] = 3;
    if (hp_load(words[1], &options, &model, &error) || hp_infer(model, &input, 1, &output, 1, &error)) {
        puts(error.message);
        return 1;
    }
    printf("%s %g %g\\n", hp_input(model, 0)->dtype, e[0], e[1]);
    hp_free(model);
    return 0;
}
"""


def test_application_with_kernels_linked_in(toy: Path, tmp_path: Path) -> None:
    """model.o in place of libmodel.so, which some application stores do not allow to be loaded."""
    (tmp_path / "app.c").write_text(APPLICATION)
    (tmp_path / "bundle").mkdir()
    for part in ("plan-cpu.bin", "weights.bin"):
        shutil.copy(toy / part, tmp_path / "bundle")
    triple = f"{os.uname().machine}-linux-gnu"
    sources = [path for path in SOURCES if not path.name.startswith(("run_", "profile_"))]
    command = ["cc"] if shutil.which("cc") else zig("cc")
    flags = ["-std=c11", "-D_GNU_SOURCE", f"-I{RUNTIME / 'include'}", "app.c", *map(str, sources)]
    done = subprocess.run(
        [*command, *flags, str(toy / "cpu" / triple / "model.o"), "-o", "app", "-lm", "-lpthread", "-ldl"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = run([tmp_path / "app", tmp_path / "bundle"])
    # d = 2 * (x * w + 1 + x * x) with w[0] = -2; e = d - x * x
    assert done.stdout == "float32 -1 2\n", done.stdout


def test_versions_agree() -> None:
    version = hetpart.__version__
    assert f'#define HP_VERSION_TEXT "{version}"' in (RUNTIME / "include" / "hetpart.h").read_text()
    assert f"project(hetpart VERSION {version} " in (RUNTIME / "cmake" / "CMakeLists.txt").read_text()


@pytest.mark.skipif(not shutil.which("cmake"), reason="needs cmake")
@pytest.mark.slow
def test_cmake_builds_the_sources_of_a_bundle(toy: Path, tmp_path: Path) -> None:
    for command in (["cmake", "-S", toy / "runtime", "-B", tmp_path], ["cmake", "--build", tmp_path]):
        done = run(command)
        assert done.returncode == 0, done.stderr
    done = run([tmp_path / "hetpart-run", toy, "--plan", "plan-cpu.bin"])
    assert done.returncode == 0, done.stderr
    assert run([tmp_path / "hetpart-profile"]).returncode == 64
