"""Damaged bundles: whatever happened to the files, the answer is an error or the right result, from C and from Python.

`make fuzz` damages other places; a manifest or a plan whose digest was made to fit its damage is test_plan_check's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hetpart.bundle.contents import BundleContents
from hetpart.bundle.manifest import parse_manifest, sealed
from hetpart.bundle.read import read_bundle
from hetpart.bundle.write import write_bundle
from hetpart.errors import HetpartError

LIBRARY = f"cpu/{os.uname().machine}-linux-gnu/libmodel.so"
READ_BY_C = ("plan-cpu.bin", "weights.bin", LIBRARY)
FILES = (*READ_BY_C, "plan.bin", "gpu/kernels.cl", "manifest.json", "include/hetpart.h")
CODES = range(1, 14)  # hp_code; a crash is negative
WORDS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)

many = settings(max_examples=170, deadline=None, suppress_health_check=list(HealthCheck))
positions = st.integers(0, 1 << 24) | st.integers(-64, 64)


def flip(data: bytearray, position: int, value: int) -> None:
    data[position % len(data)] ^= 1 << value % 8


def write_word(data: bytearray, position: int, value: int) -> None:
    start = position % len(data) // 8 * 8
    data[start : start + 8] = WORDS[value % len(WORDS)].to_bytes(8, "little")


def clear(data: bytearray, position: int, value: int) -> None:
    """A block that never reached the disk."""
    start = position % len(data) // 512 * 512
    data[start : start + 512] = bytes(len(data[start : start + 512]))


def cut(data: bytearray, position: int, value: int) -> None:
    del data[position % len(data) :]


def leave_out(data: bytearray, position: int, value: int) -> None:
    start = position % len(data)
    del data[start : start + value + 1]


def append(data: bytearray, position: int, value: int) -> None:
    data.extend(bytes([value]) * (abs(position) % 5000 + 1))


EDITS = (flip, write_word, clear, cut, leave_out, append)
edits = st.tuples(st.sampled_from(FILES), st.sampled_from(EDITS), positions, st.integers(0, 255))
moves = st.tuples(
    st.sampled_from(["swap", "copy", "delete", "folder", "link"]), st.sampled_from(FILES), st.sampled_from(FILES)
)


def meaning(name: str, content: bytes | None) -> Any:
    """What a reader makes of it: blanks between JSON's words mean nothing."""
    if name == "manifest.json" and content is not None:
        try:
            return json.loads(content)
        except ValueError:
            pass
    return content


class Damaged:
    """A copy of a bundle that can be damaged and made whole again."""

    def __init__(self, original: Path, path: Path) -> None:
        self.original, self.path = original, path
        shutil.copytree(original, path)

    def restore(self, name: str) -> None:
        path = self.path / name
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        shutil.copy(self.original / name, path)

    def content(self, name: str) -> bytes | None:
        path = self.path / name
        return path.read_bytes() if path.is_file() else None

    def intact(self, names: tuple[str, ...]) -> bool:
        return all(
            meaning(name, self.content(name)) == meaning(name, (self.original / name).read_bytes()) for name in names
        )

    def edit(self, name: str, edit: Any, position: int, value: int) -> None:
        if data := bytearray(self.content(name) or b""):
            edit(data, position, value)
            (self.path / name).write_bytes(data)

    def move(self, kind: str, name: str, other: str) -> None:
        data, others = self.content(name), self.content(other)
        if data is None or others is None:
            return
        if kind in ("delete", "folder"):
            (self.path / name).unlink()
            if kind == "folder":
                (self.path / name).mkdir()
        elif kind == "link":
            (self.path / name).unlink()
            (self.path / name).symlink_to(self.path / other)
        else:
            (self.path / name).write_bytes(others)
            if kind == "swap":
                (self.path / other).write_bytes(data)


@pytest.fixture(scope="module")
def damaged(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Damaged:
    return Damaged(toy, tmp_path_factory.mktemp("damaged") / "toy")


@pytest.fixture(scope="module")
def given_x(plans: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A file with an input, and what comes of it."""
    x = np.random.default_rng(5).standard_normal((24, 16)).astype(np.float32)
    path = tmp_path_factory.mktemp("x") / "x.bin"
    x.tofile(path)
    return path, plans.expected(x)


def accepts(path: Path) -> bool:
    """Whether Python takes the bundle."""
    try:
        read_bundle(path)
    except HetpartError:
        return False
    return True


@many
@given(changes=st.lists(edits | moves, min_size=1, max_size=3))
def test_files(runner: Path, damaged: Damaged, given_x: tuple[Path, dict[str, np.ndarray]], changes: list[Any]) -> None:
    path, expected = given_x
    outputs = [path.with_name(f"output-{i}.bin") for i in range(2)]
    try:
        for change in changes:
            (damaged.move if len(change) == 3 else damaged.edit)(*change)
        command = [runner, damaged.path, "--plan", "plan-cpu.bin", "--input", f"x={path}"]
        done = subprocess.run(
            [*command, "--output-dir", path.parent],
            capture_output=True, text=True, errors="replace", check=False, timeout=60,
        )  # fmt: skip
        if damaged.intact(READ_BY_C):
            assert done.returncode == 0, done.stderr
            for output, wanted in zip(outputs, expected.values(), strict=True):
                found = np.fromfile(output, np.float32)
                assert np.linalg.norm(found - wanted.ravel()) <= 1e-6 * np.linalg.norm(wanted)
        else:
            assert done.returncode in CODES, done.stderr
        assert accepts(damaged.path) == damaged.intact(FILES)
    finally:
        for name in FILES:
            damaged.restore(name)
        for output in outputs:
            output.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def zipped(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle, path = read_bundle(toy), tmp_path_factory.mktemp("zipped") / "toy.zip"
    write_bundle(BundleContents(bundle.manifest, {name: toy / name for name in bundle.manifest.files}), path, zip=True)
    return path


@pytest.fixture(scope="module")
def headers(zipped: Path) -> list[int]:
    """Positions of the bytes that a zip file needs to find its members, which edits should hit often."""
    with zipfile.ZipFile(zipped) as archive:
        found = [at for member in archive.infolist() for at in range(member.header_offset, member.header_offset + 30)]
        return [*found, *range(archive.start_dir, zipped.stat().st_size)]


@many
@given(
    data=st.data(),
    changes=st.lists(st.tuples(st.sampled_from(EDITS), positions, st.integers(0, 255)), min_size=1, max_size=2),
)
def test_zip_files(toy: Path, zipped: Path, headers: list[int], data: st.DataObject, changes: list[Any]) -> None:
    changed = bytearray(zipped.read_bytes())
    for edit, position, value in changes:
        at = data.draw(st.sampled_from(headers)) if position % 2 else position
        edit(changed, at, value)
        changed = changed or bytearray(1)
    path = zipped.with_name("damaged.zip")
    path.write_bytes(changed)
    if accepts(path):
        bundle = read_bundle(path)
        names = ("manifest.json", *bundle.manifest.files)
        assert all(bundle.read(name) == (toy / name).read_bytes() for name in names)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to everything inside of JSON data."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


ODD = (-1, 0, 1.5, 2**63, 10**400, float("inf"), float("nan"), True, None, "", "..", "\0", [], {}, [[]], {"": None})


@many
@given(data=st.data(), odd=st.lists(st.sampled_from(ODD), min_size=1, max_size=2), seal=st.booleans())
def test_manifests(toy: Path, data: st.DataObject, odd: list[Any], seal: bool) -> None:
    values = json.loads((toy / "manifest.json").read_text())
    for value in odd:
        *path, last = data.draw(st.sampled_from(list(places(values))))
        inside = values
        for key in path:
            inside = inside[key]
        inside[last] = value
    try:
        text = json.dumps(sealed(values) if seal else values).encode()
    except ValueError:  # not a number of JSON, or one that is too long
        text = repr(values).replace("'", '"').replace("None", "null").replace("True", "true").encode()
    try:
        parse_manifest(text, "here")
    except HetpartError:
        return
    assert seal or values == json.loads((toy / "manifest.json").read_text())  # replaced by the same


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"hetpart-bundle":' * 100_000, b'{"schema":' + b"9" * 5000 + b"}"])
def test_json_that_is_too_deep_or_too_long(text: bytes) -> None:
    with pytest.raises(HetpartError, match="here"):
        parse_manifest(text, "here")


def test_a_key_that_is_there_twice(toy: Path) -> None:
    text = (toy / "manifest.json").read_text()
    assert text.count('"schema": 3') == 1
    with pytest.raises(HetpartError) as caught:
        parse_manifest(text.replace('"schema": 3', '"schema": 3, "model": "other"').encode(), "here")
    assert caught.value.code == "corrupt-manifest"
