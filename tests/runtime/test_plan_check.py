"""Damaged plan files: the C reader answers with an error or the same result, and never crashes."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hetpart.bundle.digest import digest
from hetpart.bundle.planfile import decode_plan, encode_plan
from hetpart.bundle.read import read_bundle
from hetpart.plan.plan import Buffer, ImageShape

CODES = range(1, 14)  # hp_code; a crash is negative, a sanitizer's report 99
CORRUPT, NO_OPENCL = 3, 6

Changes = list[tuple[int, int]]
"""Positions (modulo the file's length) and what to do to the byte or word there."""

flips = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), min_size=1, max_size=4)
each_example = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def damaged(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the toy bundle whose plan the tests overwrite."""
    path = tmp_path_factory.mktemp("damaged") / "toy"
    shutil.copytree(toy, path)
    return path


def run(runner: Path, bundle: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"ASAN_OPTIONS": "exitcode=99", "HETPART_OPENCL": "/nowhere"}
    return subprocess.run(  # names in messages may be damaged, too
        [runner, bundle, *flags], capture_output=True, text=True, errors="replace", env=environment, check=False
    )


def flipped(data: bytes, changes: Changes) -> bytes:
    damaged = bytearray(data)
    for position, value in changes:
        damaged[position % len(data)] ^= value
    return bytes(damaged)


def resealed(data: bytes) -> bytes:
    """With a matching size and digest, so that the tables' own checks are reached."""
    sized = data[:24] + struct.pack("<Q", len(data)) + data[32:]
    return sized[:16] + struct.pack("<Q", digest(sized[24:])) + sized[24:]


@each_example
@given(changes=flips)
def test_flipped_bytes(checked_runner: Path, damaged: Path, toy: Path, tmp_path: Path, changes: Changes) -> None:
    original = (toy / "plan-cpu.bin").read_bytes()
    (damaged / "plan-cpu.bin").write_bytes(flipped(original, changes))
    done = run(checked_runner, damaged, "--plan", "plan-cpu.bin", "--output-dir", str(tmp_path))
    if flipped(original, changes) == original:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode in CODES, done.stderr
        assert "plan-cpu.bin" in done.stderr


@each_example
@given(changes=flips, name=st.sampled_from(["plan.bin", "plan-cpu.bin"]))
def test_flipped_bytes_behind_a_valid_checksum(
    checked_runner: Path, damaged: Path, toy: Path, changes: Changes, name: str
) -> None:
    (damaged / name).write_bytes(resealed(flipped((toy / name).read_bytes(), changes)))
    done = run(checked_runner, damaged, "--plan", name, "--repeat", "0")
    assert done.returncode in (0, *CODES), done.stderr


@each_example
@given(words=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 2**32 - 1)), min_size=1, max_size=3))
def test_changed_words_behind_a_valid_checksum(checked_runner: Path, damaged: Path, toy: Path, words: Changes) -> None:
    data = bytearray((toy / "plan.bin").read_bytes())
    for position, value in words:
        struct.pack_into("<I", data, position % (len(data) // 4 - 1) * 4, value)
    (damaged / "plan.bin").write_bytes(resealed(bytes(data)))
    done = run(checked_runner, damaged, "--repeat", "0")
    assert done.returncode in (0, *CODES), done.stderr


@each_example
@given(length=st.integers(0, 1 << 20), seal=st.booleans())
def test_truncated(checked_runner: Path, damaged: Path, toy: Path, length: int, seal: bool) -> None:
    original = (toy / "plan.bin").read_bytes()
    data = original[: length % len(original)]
    (damaged / "plan.bin").write_bytes(resealed(data) if seal and len(data) >= 32 else data)
    done = run(checked_runner, damaged, "--repeat", "0")
    assert done.returncode in CODES, done.stderr
    assert done.returncode != NO_OPENCL, "a truncated plan was accepted"


@pytest.mark.parametrize("part", ["plan.bin", "weights.bin", "cpu/{machine}-linux-gnu/libmodel.so"])
@pytest.mark.parametrize("how", ["missing", "empty", "folder", "longer"])
def test_parts_that_are_not_what_they_should_be(
    checked_runner: Path, toy: Path, tmp_path: Path, part: str, how: str
) -> None:
    bundle = tmp_path / "toy"
    shutil.copytree(toy, bundle)
    path = bundle / part.format(machine=os.uname().machine)
    if how == "longer":
        path.write_bytes(path.read_bytes() + b"more")
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
        if how == "folder":
            path.mkdir()
    done = run(checked_runner, bundle, "--repeat", "0")
    assert done.returncode in CODES
    assert done.returncode != NO_OPENCL, done.stderr
    assert path.name in done.stderr


def test_plan_of_another_version(checked_runner: Path, damaged: Path, toy: Path) -> None:
    data = (toy / "plan.bin").read_bytes()
    (damaged / "plan.bin").write_bytes(resealed(data[:8] + struct.pack("<I", 99) + data[12:]))
    done = run(checked_runner, damaged, "--repeat", "0")
    assert "plan format 99" in done.stderr
    assert "[version-mismatch]" in done.stderr


VIEW = Buffer("v", "image", 2, 4, "float32", (2, 4, 4), "", 0)
IMAGE = ImageShape(8, 8, "float32")


def with_view(toy: Path, view: Buffer = VIEW, image: ImageShape = IMAGE, *, user: str = "", written: int = 0) -> bytes:
    """The toy's plan with an image and a view of it; the first step of `user` has it twice, the second one written."""
    data = (toy / "plan.bin").read_bytes()
    plan = decode_plan(data)
    processors = dict(plan.processors)
    if user:
        step, *rest = processors[user]
        number = len(plan.buffers)
        args = (*step.args, number, number)
        writes = (*step.writes, len(args) - 1) if written else step.writes
        processors[user] = (replace(step, args=args, writes=writes), *rest)
    changed = replace(plan, processors=processors, buffers=(*plan.buffers, view), images=(image,))
    (module,) = struct.unpack_from("<Q", data, 56)
    return encode_plan(changed, read_bundle(toy).manifest.files, module)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"user": "gpu"}, ""),
        ({"view": replace(VIEW, space="texture", offset=1 << 40, size=128, shape=(1, 8, 4))}, "outside of its space"),
        ({"view": replace(VIEW, image=1)}, "not what its image holds"),
        ({"view": replace(VIEW, offset=5)}, "not what its image holds"),
        ({"view": replace(VIEW, size=5)}, "not what its image holds"),
        ({"view": replace(VIEW, shape=(9, 4, 4))}, "not what its image holds"),
        ({"view": replace(VIEW, shape=(2, 4, 3))}, "not what its image holds"),
        ({"view": replace(VIEW, shape=(2, 4))}, "not what its image holds"),
        ({"view": replace(VIEW, dtype="float16")}, "not what its image holds"),
        (
            {"view": replace(VIEW, dtype="int32"), "image": replace(IMAGE, dtype="int32")},
            "empty, or of an unknown type",
        ),
        ({"image": replace(IMAGE, width=0)}, "empty, or of an unknown type"),
        ({"user": "cpu"}, "uses an image, but not on OpenCL"),
        ({"user": "gpu", "written": 1}, "reads and writes one image"),
    ],
)
def test_images(checked_runner: Path, damaged: Path, toy: Path, changes: dict[str, Any], message: str) -> None:
    (damaged / "plan.bin").write_bytes(with_view(toy, **changes))
    done = run(checked_runner, damaged, "--repeat", "0")
    assert done.returncode == (CORRUPT if message else NO_OPENCL), done.stderr
    assert message in done.stderr
