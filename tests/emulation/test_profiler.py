"""The profiler of a phone as docs/new-target.md uses it, from file to profile: adb and the NDK have stand-ins.

The stand-in for the NDK is a toolchain file for aarch64 Linux, that for adb runs the program under qemu-aarch64 with an
arm64 PoCL. What they mean does not differ from the real ones', what comes of the times does: they mean nothing here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hetpart.bundle.toolchain import RUNTIME, zig
from hetpart.cli import run_command
from hetpart.errors import HetpartError
from hetpart.runtime.emulate import default_sysroot, require_emulation
from tests.cli.support import write_tiny

PAGE = (Path(__file__).parents[2] / "docs" / "new-target.md").read_text()
FILE = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PROFILE = [shlex.split(line) for line in re.findall(r"^    hetpart (profile .*)$", PAGE, re.MULTILINE)]
SCRIPT = re.findall(r"^    ANDROID_NDK=\S+ (sh .*)$", PAGE, re.MULTILINE)
SYSROOT = default_sysroot()  # before the tests get a cache of their own

TOOLCHAIN = """
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER {compiler})
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ANDROID_ABI ANDROID_PLATFORM)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)  # linking takes the stand-in's compiler long
if(NOT ANDROID_ABI STREQUAL "arm64-v8a" OR NOT ANDROID_PLATFORM STREQUAL "android-26")
    message(FATAL_ERROR "${{ANDROID_ABI}} ${{ANDROID_PLATFORM}}")
endif()
"""

# The phone's folder is /hetpart of the sysroot, which is bound to $PHONE in a name space that ends with the program.
ADB = """#!/bin/sh
set -eu
here() { echo "$PHONE/${1#/hetpart/}"; }
verb=$1
shift
case "$verb $1" in
push*) cp -r "$1" "$(here "$2")" ;;
pull*) cp "$(here "$1")" "$2" ;;
"shell rm" | "shell mkdir") ;;
"shell chmod") chmod "$2" "$(here "$3")" ;;
"shell getprop") printf 'Phone 5 (qemu)\\r\\n' ;;
"shell /hetpart/hetpart-profile")
    exec $NAMESPACE sh -c '
        set -e
        root=$1; work=$2; shift 2
        for folder in proc sys dev; do mount --rbind "/$folder" "$root/$folder"; done
        mount --bind "$work" "$root/hetpart"
        exec chroot "$root" /usr/bin/qemu-aarch64-static -U OCL_ICD_VENDORS -E POCL_CACHE_DIR=/cache \
            -E POCL_MAX_PTHREAD_COUNT=1 \
            -E HETPART_OPENCL=libOpenCL.so.1 "$@"' sh "$SYSROOT" "$PHONE" "$@" ;;
*) echo "adb: $verb $*" >&2; exit 1 ;;
esac
"""


@pytest.mark.emulated
@pytest.mark.skipif(not shutil.which("cmake"), reason="needs cmake")
def test_the_script_fetches_what_becomes_a_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        require_emulation(SYSROOT)
    except HetpartError as error:
        pytest.skip(f"{error.message}; {error.hint}")
    monkeypatch.chdir(tmp_path)
    Path("my-phone.toml").write_text(FILE[0])
    write_tiny(Path("model.onnx"))
    emit, evaluate = PROFILE
    Path("phone").mkdir()
    executable(Path("cc"), f'#!/bin/sh\nexec {shlex.join(zig("cc", "-target", "aarch64-linux-gnu"))} "$@"\n')
    executable(Path("adb"), ADB)
    ndk = Path("ndk/build/cmake/android.toolchain.cmake")
    ndk.parent.mkdir(parents=True)
    ndk.write_text(TOOLCHAIN.format(compiler=tmp_path / "cc"))
    assert cli(*emit) == 0
    environment = {
        "ANDROID_NDK": str(tmp_path / "ndk"), "ADB": str(tmp_path / "adb"), "DEVICE_FOLDER": "/hetpart",
        "PHONE": str(tmp_path / "phone"), "SYSROOT": str(SYSROOT),
        "NAMESPACE": "unshare -m" if os.geteuid() == 0 else "unshare -r -m",
    }  # fmt: skip
    # the page's cores are a phone's; PoCL wants local size 1
    script = [*shlex.split(SCRIPT[0].partition("--cpu-cores")[0]), "--runs", "2", "--unit-local-size"]
    done = subprocess.run(script, capture_output=True, text=True, env=os.environ | environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "round 2 of 2\n" in done.stdout
    assert done.stdout.splitlines()[-1].startswith(
        "next: hetpart profile MODEL --target TARGET --from-trace traces.json"
    )

    assert cli(*evaluate) == 0
    profile = json.loads(Path("my-phone.json").read_text())
    assert (profile["target"], profile["machine"]["processor"]) == ("my-phone", "Phone-5--qemu-")
    assert {(entry["processor"], entry["memory"]) for entry in profile["entries"]} == {
        ("cpu", "shared"), ("gpu", "private"), ("gpu", "shared"),
    }  # fmt: skip
    assert {(link["source"], link["target"]) for link in profile["links"]} == {("cpu", "gpu"), ("gpu", "cpu")}
    compiled = "compile model.onnx --target ./my-phone.toml --profile my-phone.json -o bundle --verify none"
    assert cli(*compiled.split()) == 0
    measured = json.loads(Path("bundle/manifest.json").read_text())["decision"]["measured"]
    assert measured["everywhere"] == measured["units"] > 0
    assert measured["missing"] == []


def test_the_script_says_what_it_lacks(tmp_path: Path) -> None:
    script = RUNTIME / "device" / "profile.sh"
    bare = {name: value for name, value in os.environ.items() if name not in ("ANDROID_NDK", "PROGRAM")}
    for words, message in ([], "usage: sh profile.sh TRACES"), (["t.json"], "set ANDROID_NDK to the NDK's folder"):
        done = subprocess.run(["sh", script, *words], capture_output=True, text=True, env=bare, check=False)
        assert done.returncode == 64
        assert message in done.stderr


SHELLCHECK = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.mark.skipif(not SHELLCHECK, reason="needs shellcheck")
def test_the_script_has_no_warnings() -> None:
    subprocess.run([str(SHELLCHECK), RUNTIME / "device" / "profile.sh"], check=True)


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def cli(*words: str) -> int:
    return run_command(list(words))
