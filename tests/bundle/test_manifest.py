"""The manifest: JSON and back, and messages for what is not one."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from hetpart.bundle.contents import BundleContents
from hetpart.bundle.digest import FileInfo
from hetpart.bundle.manifest import parse_manifest, sealed
from hetpart.errors import HetpartError


def test_round_trip(contents: BundleContents) -> None:
    manifest = dataclasses.replace(contents.manifest, files={"plan.bin": FileInfo("ab", 2)})
    assert parse_manifest(manifest.dumps(), "here") == manifest
    assert manifest.predicted_us == 1234
    assert manifest.to_json()["placement"][0]["processor"] == "gpu"


def test_keys_are_sorted(contents: BundleContents) -> None:
    pairs: list[list[str]] = []
    json.loads(contents.manifest.dumps(), object_pairs_hook=lambda items: pairs.append([key for key, _ in items]))
    assert all(keys == sorted(keys) for keys in pairs)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"format": "other"}, "not-a-bundle"),
        ({"schema": 99}, "version-mismatch"),
        ({"schema": None}, "version-mismatch"),
        ({"inputs": None}, "corrupt-manifest"),
        ({"inputs": [{"name": "x"}]}, "corrupt-manifest"),
        ({"plans": {"main": {}}}, "corrupt-manifest"),
        ({"files": {"../../etc/passwd": {"xxh64": "", "size": 0}}}, "corrupt-manifest"),
        ({"files": {"/etc/passwd": {"xxh64": "", "size": 0}}}, "corrupt-manifest"),
        ({"files": []}, "corrupt-manifest"),
    ],
    ids=str,
)
def test_damaged(contents: BundleContents, changes: dict[str, Any], code: str) -> None:
    data = json.dumps(sealed(contents.manifest.to_json() | changes)).encode()
    with pytest.raises(HetpartError, match="here") as caught:
        parse_manifest(data, "here")
    assert caught.value.code == code


def test_fields_of_a_later_hetpart_are_ignored(contents: BundleContents) -> None:
    values = contents.manifest.to_json()
    values["surprise"] = 1
    values["plans"]["main"]["surprise"] = 1
    values["inputs"][0]["surprise"] = 1
    assert parse_manifest(json.dumps(sealed(values)).encode(), "here") == contents.manifest


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"{", b"[]", b'"format"'])
def test_not_json(data: bytes) -> None:
    with pytest.raises(HetpartError) as caught:
        parse_manifest(data, "here")
    assert caught.value.code in ("corrupt-manifest", "not-a-bundle")
