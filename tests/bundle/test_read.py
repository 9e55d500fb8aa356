"""Reading: whatever is wrong with a bundle, the message names it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from hetpart.bundle.contents import BundleContents
from hetpart.bundle.read import is_bundle, read_bundle
from hetpart.bundle.write import write_bundle
from hetpart.errors import HetpartError


@pytest.fixture
def bundle(contents: BundleContents, tmp_path: Path) -> Path:
    write_bundle(contents, tmp_path / "toy")
    return tmp_path / "toy"


@pytest.fixture
def zipped(contents: BundleContents, tmp_path: Path) -> Path:
    write_bundle(contents, tmp_path / "toy.zip", zip=True)
    return tmp_path / "toy.zip"


def refusal(path: Path) -> HetpartError:
    with pytest.raises(HetpartError) as caught:
        read_bundle(path)
    return caught.value


def test_intact(bundle: Path, zipped: Path, tmp_path: Path) -> None:
    assert read_bundle(bundle).manifest == read_bundle(str(zipped)).manifest
    read_bundle(zipped).extract(tmp_path / "unpacked")
    assert read_bundle(tmp_path / "unpacked").manifest == read_bundle(bundle).manifest


@pytest.mark.parametrize("part", ["plan.bin", "weights.bin", "cpu/x86_64-linux-gnu/libmodel.so", "gpu/kernels.cl"])
def test_changed_part(bundle: Path, part: str) -> None:
    data = bytearray((bundle / part).read_bytes())
    data[-1] ^= 1
    (bundle / part).write_bytes(data)
    error = refusal(bundle)
    assert error.code == "corrupt-part"
    assert part in error.message
    (bundle / part).write_bytes(data[:-1])
    assert f"has {len(data) - 1} bytes instead of {len(data)}" in refusal(bundle).message
    (bundle / part).unlink()
    error = refusal(bundle)
    assert error.code == "missing-part"
    assert part in error.message


def test_changed_part_of_a_zip(zipped: Path) -> None:
    data = zipped.read_bytes()
    position = data.index(bytes(range(100)))
    zipped.write_bytes(data[: position + 5] + b"\xff" + data[position + 6 :])
    error = refusal(zipped)
    assert error.code == "corrupt-part"
    assert "weights.bin" in error.message


def test_other_schema(bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 9}))
    error = refusal(bundle)
    assert error.code == "version-mismatch"
    assert "schema 9" in error.message
    assert is_bundle(bundle)


def test_not_bundles(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nothing").code == "no-such-bundle"
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("text")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme", "text")
    for name in ("folder", "file", "other.zip"):
        assert refusal(tmp_path / name).code == "not-a-bundle"
        assert not is_bundle(tmp_path / name)


def test_no_such_plan(bundle: Path) -> None:
    with pytest.raises(HetpartError) as caught:
        read_bundle(bundle).plan("gpu")
    assert caught.value.hint == "variants: cpu, main"
