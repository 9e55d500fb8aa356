"""Writing: all or nothing, same bytes, and no file of the user is ever overwritten."""

from __future__ import annotations

import errno
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from hetpart.bundle import write
from hetpart.bundle.contents import BundleContents, bundle_files
from hetpart.bundle.read import read_bundle
from hetpart.bundle.write import require_free, write_bundle
from hetpart.errors import HetpartError, InternalError

as_zip = pytest.mark.parametrize("as_zip", [False, True], ids=["folder", "zip"])


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty folder to write to."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@as_zip
def test_writes_and_reads(contents: BundleContents, place: Path, as_zip: bool) -> None:
    write_bundle(contents, place / "toy", zip=as_zip)
    bundle = read_bundle(place / "toy")
    assert bundle.is_zip == as_zip
    assert set(bundle.manifest.files) == set(contents.files)
    assert bundle.read("weights.bin") == bytes(range(100))
    assert bundle.manifest.files["weights.bin"].size == 100
    assert bundle.plan("cpu").predicted_us == 1234
    assert [p.name for p in place.iterdir()] == ["toy"]


def test_a_bundle_holds_the_runtime(contents: BundleContents) -> None:
    assert {"plan.bin", "plan-cpu.bin", "weights.bin", "gpu/kernels.cl", "include/hetpart.h"} <= set(contents.files)
    assert {"cpu/x86_64-linux-gnu/libmodel.so", "cpu/x86_64-linux-gnu/model.o"} <= set(contents.files)
    assert {"runtime/CMakeLists.txt", "runtime/src/model.c", "runtime/src/plan.h"} <= set(contents.files)


def test_main_plan_is_required() -> None:
    with pytest.raises(InternalError):
        bundle_files({}, b"", {}, "")


def test_equal_contents_give_equal_bytes(contents: BundleContents, place: Path) -> None:
    for name in ("one", "two"):
        write_bundle(contents, place / name)
        write_bundle(contents, place / f"{name}.zip", zip=True)
        os.utime(contents.files["weights.bin"], (1, 1))  # type: ignore[arg-type]  # a path here
    assert tree(place / "one") == tree(place / "two")
    assert (place / "one.zip").read_bytes() == (place / "two.zip").read_bytes()
    with zipfile.ZipFile(place / "one.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == tree(place / "one")


@as_zip
def test_existing_output(contents: BundleContents, place: Path, as_zip: bool) -> None:
    out = place / "toy"
    write_bundle(contents, out, zip=as_zip)
    with pytest.raises(HetpartError) as caught:
        write_bundle(contents, out, zip=as_zip)
    assert caught.value.code == "output-exists"
    for other in (as_zip, not as_zip):  # also a zip in place of a folder and the other way round
        write_bundle(contents, out, zip=other, overwrite=True)
        assert read_bundle(out).is_zip == other
    assert [p.name for p in place.iterdir()] == ["toy"]


def test_only_bundles_are_overwritten(contents: BundleContents, place: Path) -> None:
    (place / "photos").mkdir()
    (place / "photos" / "manifest.json").write_text("{}")
    (place / "letter.txt").write_text("dear")
    before = tree(place)
    for name in ("photos", "letter.txt"):
        with pytest.raises(HetpartError, match="not a hetpart bundle") as caught:
            write_bundle(contents, place / name, overwrite=True)
        assert caught.value.code == "output-exists"
    assert tree(place) == before


def test_damaged_bundles_are_overwritten(contents: BundleContents, place: Path) -> None:
    write_bundle(contents, place / "toy")
    (place / "toy" / "plan.bin").unlink()
    write_bundle(contents, place / "toy", overwrite=True)
    read_bundle(place / "toy")


class Stop(Exception):
    """Anything that may end the writing."""


@as_zip
@pytest.mark.parametrize("error", [KeyboardInterrupt(), Stop(), OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("after", [0, 5, 20])
def test_nothing_is_left_behind(
    contents: BundleContents,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    as_zip: bool,
    error: BaseException,
    after: int,
) -> None:
    write_bundle(contents, place / "old")
    before = tree(place)
    copy, count = write._copy, 0

    def failing(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count > after:
            raise error
        return copy(*arguments)

    monkeypatch.setattr(write, "_copy", failing)
    for out, overwrite in (("new", False), ("old", True)):
        count = 0
        with pytest.raises((KeyboardInterrupt, Stop, HetpartError)) as caught:
            write_bundle(contents, place / out, zip=as_zip, overwrite=overwrite)
        if isinstance(error, OSError):
            assert isinstance(caught.value, HetpartError)
            assert caught.value.code == "disk-full"
    assert tree(place) == before


def test_failed_renaming_keeps_the_old_bundle(
    contents: BundleContents, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(contents, place / "toy")
    before = tree(place)
    rename = os.rename

    def failing(source: Path, target: Path) -> None:
        if source.parent.name.startswith(".toy.") and source.name == "toy":
            raise PermissionError(errno.EACCES, "Permission denied")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(HetpartError) as caught:
        write_bundle(contents, place / "toy", overwrite=True)
    assert caught.value.code == "cannot-write"
    assert tree(place) == before


def test_approval(contents: BundleContents, place: Path) -> None:
    def refuse(bundle: Path) -> None:
        read_bundle(bundle)
        assert not (place / "toy").exists()
        raise Stop

    with pytest.raises(Stop):
        write_bundle(contents, place / "toy", approve=refuse)
    assert list(place.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_full_disk(contents: BundleContents, place: Path) -> None:
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a small file system here")
    try:
        with pytest.raises(HetpartError) as caught:
            write_bundle(contents, place / "toy")
        assert caught.value.code == "disk-full"
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(["umount", place], check=True)


def test_folders_that_cannot_be_written_to(contents: BundleContents, place: Path) -> None:
    with pytest.raises(HetpartError, match="there is no folder") as caught:
        require_free(place / "none" / "toy")
    assert caught.value.code == "cannot-write"
    with pytest.raises(HetpartError) as caught:
        write_bundle(contents, Path("/proc/toy"))
    assert caught.value.code == "cannot-write"
    if os.geteuid() != 0:  # root may write anywhere
        place.chmod(0o500)
        with pytest.raises(HetpartError, match="no permission") as caught:
            require_free(place / "toy")
        assert caught.value.code == "cannot-write"
