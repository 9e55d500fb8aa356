"""Writing a bundle: all of it under its name, or nothing."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hetpart.bundle.contents import BundleContents
from hetpart.bundle.digest import FileInfo, describe, pieces
from hetpart.bundle.read import is_bundle
from hetpart.errors import HetpartError
from hetpart.files import reported

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip can hold


def require_free(out: Path, *, overwrite: bool = False) -> None:
    """Check early that a bundle may be written to `out`, before the work of compiling it.

    Raises HetpartError ``output-exists`` if something is there, unless `overwrite` and it is a bundle (of any version),
    or ``cannot-write`` if the folder for it does not exist or may not be written to.
    """
    out = Path(os.path.realpath(out))
    if not out.parent.is_dir():
        raise HetpartError("cannot-write", f"cannot write {out}: there is no folder {out.parent}")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise HetpartError("cannot-write", f"cannot write {out}: no permission to write to {out.parent}")
    if not out.exists():
        return
    if not overwrite:
        raise HetpartError("output-exists", f"{out} exists", hint="choose another name, or pass --overwrite")
    if not is_bundle(out):
        raise HetpartError(
            "output-exists", f"{out} exists and is not a hetpart bundle, so it is not overwritten",
            hint="choose another name, or remove it yourself",
        )  # fmt: skip


def write_bundle(
    contents: BundleContents,
    out: Path,
    *,
    overwrite: bool = False,
    zip: bool = False,
    approve: Callable[[Path], None] | None = None,
) -> None:
    """Write the bundle as folder `out`, or as a zip file of that name.

    It is written beside `out` under a temporary name, flushed to the disk, shown to `approve` (which may raise to
    prevent it) and renamed; whatever ends the writing early (an exception, Ctrl-C) leaves nothing behind and an older
    bundle as it was. Equal contents give equal bytes.

    Raises HetpartError: what `require_free` raises, ``disk-full``, ``cannot-write``.
    """
    require_free(out, overwrite=overwrite)
    out = Path(os.path.realpath(out))
    with _temporary(out) as temporary:
        with reported(out):
            (_write_zip if zip else _write_folder)(contents, temporary)
        if approve is not None:
            approve(temporary)
        with reported(out):
            _replace(temporary, out)


@contextmanager
def _temporary(out: Path) -> Iterator[Path]:
    """A path beside `out` for a file or folder, which is gone afterwards."""
    with reported(out):
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield folder / out.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _replace(new: Path, out: Path) -> None:
    """Rename `new` to `out`; an older `out` moves to the temporary folder, and back if the renaming fails."""
    old = new.with_name("old")
    existed = out.exists()
    if existed:
        os.rename(out, old)
    try:
        os.rename(new, out)
    except BaseException:
        if existed:
            os.rename(old, out)
        raise
    _sync_folder(out.parent)


def _write_folder(contents: BundleContents, folder: Path) -> None:
    folder.mkdir()
    files: dict[str, FileInfo] = {}
    for name, data in sorted(contents.files.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("wb") as file:
            files[name] = _copy(data, file)
            _sync_file(file)
    with (folder / "manifest.json").open("wb") as file:
        file.write(dataclasses.replace(contents.manifest, files=files).dumps())
        _sync_file(file)
    for parent, _, _ in os.walk(folder):
        _sync_folder(Path(parent))


def _write_zip(contents: BundleContents, path: Path) -> None:
    files: dict[str, FileInfo] = {}
    with path.open("wb") as file:
        # stored, not deflated: compressed bytes differ between versions of zlib, and weights hardly compress
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, data in sorted(contents.files.items()):
                with archive.open(_entry(name), "w", force_zip64=True) as member:
                    files[name] = _copy(data, member)  # type: ignore[arg-type]  # typeshed: IO[bytes], as documented
            archive.writestr(_entry("manifest.json"), dataclasses.replace(contents.manifest, files=files).dumps())
        _sync_file(file)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = 3  # Unix, whatever this machine is
    entry.external_attr = 0o100644 << 16
    return entry


def _copy(data: bytes | Path, file: BinaryIO) -> FileInfo:
    def copied() -> Iterator[bytes]:
        for piece in pieces(data):
            file.write(piece)
            yield piece

    return describe(copied())


def _sync_file(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
