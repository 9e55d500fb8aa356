"""Running a phone's bundle without the phone: its own aarch64 code under qemu, its OpenCL kernels on an arm64 PoCL.

The C runtime is compiled for aarch64 Linux and executed by ``qemu-aarch64-static`` inside of a root file system that
``emulation/sysroot.sh`` prepares from Debian packages. Results are those of the phone's code; times mean nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hetpart.bundle.read import Bundle, read_bundle
from hetpart.bundle.toolchain import RUNTIME, zig
from hetpart.cache import cache_root
from hetpart.errors import HetpartError
from hetpart.runtime.inputs import checked_inputs
from hetpart.runtime.library import program

TRIPLE = "aarch64-linux-gnu"
SYSROOT_FORMAT = "1"
"""What `emulation/sysroot.sh` writes to its stamp when it is done."""

# Runs as root of a user or real namespace, so that nothing stays mounted.
# Arguments: the sysroot, the work folder, and further ones for hetpart-run.
_SCRIPT = """
set -e
root=$1
work=$2
shift 2
for folder in proc sys dev; do mount --rbind "/$folder" "$root/$folder"; done
mount --bind "$work" "$root/hetpart"
exec chroot "$root" /usr/bin/qemu-aarch64-static -U OCL_ICD_VENDORS -E POCL_CACHE_DIR=/cache \
    -E POCL_MAX_PTHREAD_COUNT=1 \
    -E HETPART_OPENCL=libOpenCL.so.1 /hetpart/hetpart-run /hetpart/bundle --output-dir /hetpart "$@"
"""


def default_sysroot() -> Path:
    """``$HETPART_SYSROOT``, or where ``emulation/sysroot.sh`` puts it by itself."""
    chosen = os.environ.get("HETPART_SYSROOT")
    return Path(chosen) if chosen else cache_root() / "sysroot-arm64"


def emulate(
    bundle_path: str | Path,
    inputs: Mapping[str, np.ndarray],
    *,
    sysroot: Path | None = None,
    plan: str = "main",
    timeout_s: float = 1800.0,
) -> dict[str, np.ndarray]:
    """All outputs of a bundle by name, computed by its aarch64 code and OpenCL kernels under emulation.

    Args:
        bundle_path: a bundle with a module for aarch64-linux-gnu.
        inputs: all inputs by name.
        sysroot: see `default_sysroot`.
        plan: variant to run.
        timeout_s: wall time after which emulation is given up. The first run of a kernel compiles it, under emulation.

    Raises:
        HetpartError: a tool or the sysroot is missing (the hint says what to install), the bundle has no such module,
            the inputs do not fit, or what the runtime reports.
    """
    sysroot = default_sysroot() if sysroot is None else sysroot
    bundle = read_bundle(bundle_path)
    require_emulation(sysroot)
    if f"cpu/{TRIPLE}/libmodel.so" not in bundle.manifest.files:
        raise HetpartError(
            "cpu-module", f"{bundle_path} has no CPU code for {TRIPLE}",
            hint="compile the model for a phone, e.g. sd855",
        )  # fmt: skip
    arrays = checked_inputs(inputs, bundle.manifest.inputs)
    with tempfile.TemporaryDirectory(prefix="hetpart-") as folder:
        work = Path(folder)
        flags = _prepare(work, bundle, arrays, plan)
        _run(sysroot, work, flags, timeout_s)
        return {
            port.name: np.fromfile(work / f"output-{i}.bin", port.dtype).reshape(port.shape)
            for i, port in enumerate(bundle.manifest.outputs)
        }


def require_emulation(sysroot: Path) -> None:
    """Raise HetpartError ``no-emulator`` if a tool or the sysroot is missing; the hint says how to get it."""
    if shutil.which("unshare") is None:
        raise HetpartError("no-emulator", "unshare is not installed", hint="apt-get install util-linux")
    stamp = sysroot / ".hetpart-sysroot"
    if not stamp.is_file() or stamp.read_text().strip() != SYSROOT_FORMAT:
        script = RUNTIME / "emulation" / "sysroot.sh"
        raise HetpartError(
            "no-emulator", f"there is no arm64 root file system at {sysroot}",
            hint="apt-get install qemu-user-static binutils-aarch64-linux-gnu, "
            f"then: sh {script} {sysroot}",
        )  # fmt: skip


def _prepare(work: Path, bundle: Bundle, arrays: Mapping[str, np.ndarray], plan: str) -> list[str]:
    """Put the runner, the bundle and the inputs into `work`; returns the runner's arguments."""
    shutil.copy(program("run", zig("cc", "-target", TRIPLE)), work / "hetpart-run")
    bundle.extract(work / "bundle")
    if plan not in bundle.manifest.plans:
        known = ", ".join(bundle.manifest.plans)
        raise HetpartError("no-such-plan", f"{bundle.path}: no plan variant {plan}", hint=f"variants: {known}")
    flags = ["--plan", bundle.manifest.plans[plan].file]
    for i, (name, array) in enumerate(arrays.items()):
        array.tofile(work / f"input-{i}.bin")
        flags += ["--input", f"{name}=/hetpart/input-{i}.bin"]
    return flags


def _run(sysroot: Path, work: Path, flags: list[str], timeout_s: float) -> None:
    namespace = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-r", "-m"]
    command = [*namespace, "sh", "-c", _SCRIPT, "sh", str(sysroot), str(work), *flags]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise HetpartError("emulation-timeout", f"the emulated run took more than {timeout_s:.0f} s") from error
    if done.returncode:
        raise _failure(done)


def _failure(done: subprocess.CompletedProcess[str]) -> HetpartError:
    """What hetpart-run said (its last words are ``message [code]``), or what came out instead."""
    text = done.stderr.strip()
    if found := re.search(r"hetpart-run: (.*) \[([a-z-]+)\]$", text, re.DOTALL):
        return HetpartError(found[2], f"under emulation: {found[1]}")
    return HetpartError("emulation-failed", f"the emulated run ended with status {done.returncode}: {text[-500:]}")
