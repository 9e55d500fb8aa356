"""Reading a bundle, a folder or a zip of one, and checking that it is whole."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hetpart.bundle.digest import describe, pieces
from hetpart.bundle.manifest import Manifest, parse_manifest
from hetpart.bundle.planfile import decode_plan
from hetpart.errors import HetpartError
from hetpart.files import reported
from hetpart.plan.plan import Plan

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk whose parts were there and intact when it was read."""

    path: Path
    manifest: Manifest

    @property
    def is_zip(self) -> bool:
        return self.path.is_file()

    def read(self, name: str) -> bytes:
        """Contents of a part."""
        with _opened(self.path, name) as file:
            return file.read()

    def plan(self, variant: str = "main") -> Plan:
        """A plan of the bundle."""
        if variant not in self.manifest.plans:
            known = ", ".join(self.manifest.plans)
            raise HetpartError("no-such-plan", f"{self.path}: no plan variant {variant}", hint=f"variants: {known}")
        file = self.manifest.plans[variant].file
        return decode_plan(self.read(file), f"{self.path}/{file}")

    def extract(self, folder: Path) -> None:
        """Copy all parts into `folder`."""
        for name in ("manifest.json", *self.manifest.files):
            with _opened(self.path, name) as source, reported(folder / name):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target, _CHUNK_BYTES)


def read_bundle(path: str | Path) -> Bundle:
    """The bundle at `path`; every part's size and hash is checked.

    Raises HetpartError: ``no-such-bundle``, ``not-a-bundle``, ``version-mismatch``, ``corrupt-manifest``,
    ``missing-part``, ``corrupt-part``; the last two name the part.
    """
    path = Path(path)
    if not path.exists():
        raise HetpartError("no-such-bundle", f"{path} does not exist")
    bundle = Bundle(path, _manifest(path))
    for name in bundle.manifest.files:
        _check(bundle, name)
    return bundle


def is_bundle(path: Path) -> bool:
    """Whether `path` is a hetpart bundle of any version; its parts may be damaged."""
    try:
        _manifest(path)
    except HetpartError as error:
        return error.code in ("version-mismatch", "corrupt-manifest")
    return True


def _manifest(path: Path) -> Manifest:
    try:
        with _opened(path, "manifest.json") as file:
            data = file.read()
    except HetpartError as error:
        if error.code == "missing-part":
            raise HetpartError("not-a-bundle", f"{path} has no manifest.json: not a hetpart bundle") from error
        raise
    return parse_manifest(data, str(path))


@contextmanager
def _opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    """A part for reading."""
    try:
        if path.is_dir():
            with (path / name).open("rb") as file:
                yield file
        else:
            with _archive(path) as archive, archive.open(name) as file:
                yield file
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, KeyError) as error:
        raise HetpartError("missing-part", f"{path}: {name} is missing", hint="the bundle is incomplete") from error
    except zipfile.BadZipFile as error:
        raise HetpartError("corrupt-part", f"{path}: {name} is damaged: {error}") from error
    except OSError as error:
        raise HetpartError("unreadable", f"cannot read {path}, {name}: {error.strerror or error}") from error


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise HetpartError("not-a-bundle", f"{path}: neither a folder nor an intact zip file: {error}") from error


def _check(bundle: Bundle, name: str) -> None:
    expected = bundle.manifest.files[name]
    with _opened(bundle.path, name) as file:
        found = describe(pieces(file))
    if found != expected:
        sizes = f"has {found.size} bytes instead of {expected.size}"
        what = sizes if found.size != expected.size else "was changed"
        raise HetpartError(
            "corrupt-part", f"{bundle.path}: {name} {what} since the bundle was written", hint="compile the model again"
        )
