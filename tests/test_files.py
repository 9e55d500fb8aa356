"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hetpart.errors import HetpartError
from hetpart.files import written


def test_a_file_appears_when_all_of_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    with written(path, make_folder=True) as file:
        file.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)  # not the 0600 of mkstemp
    assert os.listdir(path.parent) == ["file"]


def interrupted(path: Path) -> None:
    with written(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_keeps_leading_there(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    with written(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_devices_are_written_to() -> None:
    with written(Path(os.devnull)) as file:
        file.write(b"gone")
    assert Path(os.devnull).is_char_device()
    with pytest.raises(HetpartError) as caught, written(Path("/dev/full")) as file:
        file.write(b"too much")
    assert (caught.value.code, "/dev/full" in str(caught.value)) == ("disk-full", True)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(HetpartError) as caught, written(tmp_path / "none" / "file"):
        pass
    assert caught.value.code == "cannot-write"
