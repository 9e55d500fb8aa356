"""Profiles on disk: one JSON file, written whole or not at all, checked when it is read."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from hetpart.errors import HetpartError
from hetpart.files import written
from hetpart.profile.data import FORMAT, SCHEMA, Contention, CopyTime, Entry, LinkTime, Profile, Spread


def write_profile(profile: Profile, path: Path) -> None:
    """Writes the file, all of it or nothing.

    Raises:
        HetpartError: ``cannot-write``, ``disk-full``.
    """
    text = json.dumps(profile.to_json(), indent=1, sort_keys=True, allow_nan=False) + "\n"
    with written(path) as file:
        file.write(text.encode())


def read_profile(path: Path) -> Profile:
    """The profile in a file.

    Raises:
        HetpartError: ``no-profile`` (cannot be read), ``not-a-profile``, ``version-mismatch``, ``corrupt-profile``.
    """
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        hint = f"hetpart profile MODEL -o {path} makes one"
        raise HetpartError("no-profile", f"cannot read profile {path}: {error.strerror}", hint=hint) from error
    except ValueError as error:
        raise HetpartError("not-a-profile", f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
        raise HetpartError("not-a-profile", f"{path} is not a profile of hetpart")
    if values.get("schema") != SCHEMA:
        raise HetpartError(
            "version-mismatch", f"{path}: profile schema {values.get('schema')}, this hetpart reads schema {SCHEMA}",
            hint="measure again with this version",
        )  # fmt: skip
    try:
        profile = _profile(values)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise HetpartError("corrupt-profile", f"{path} is damaged: {error}") from error
    return profile


def _profile(values: dict[str, Any]) -> Profile:
    entries = tuple(
        Entry(**_known(Entry, e) | {"units": tuple(e["units"]), "spread": _spread(e["spread"])})
        for e in values["entries"]
    )
    links = tuple(LinkTime(**_known(LinkTime, e) | {"spread": _spread(e["spread"])}) for e in values["links"])
    copies = tuple(CopyTime(**_known(CopyTime, e) | {"spread": _spread(e["spread"])}) for e in values.get("copies", ()))
    contention = tuple(Contention(**_known(Contention, c)) for c in values.get("contention", ()))
    laws: tuple[LinkTime | CopyTime, ...] = (*links, *copies)
    launches = values.get("launch_us")
    times = [*(entry.latency_us for entry in entries), *(law.fixed_us for law in laws)]
    times += [time for time in (values.get("start_us"), values.get("end_us")) if time is not None]
    if not all(isinstance(time, int | float) and 0 <= time < float("inf") for time in times):
        raise ValueError("a time is no number of microseconds")
    if not all(law.gb_per_s is None or law.gb_per_s > 0 for law in laws):
        raise ValueError("a link or a copy has no speed")
    if not all(0 <= link.loading <= 1 for link in links):
        raise ValueError("a link's share of loading is none")
    if not all(isinstance(each.factor, int | float) and 0 < each.factor < float("inf") for each in contention):
        raise ValueError("a contention is no factor")
    if len({entry.key for entry in entries}) < len(entries):
        raise ValueError("an entry is there twice")
    launch_us = None if launches is None else {name: _spread(value) for name, value in launches.items()}
    read = {"entries": entries, "links": links, "copies": copies, "contention": contention, "launch_us": launch_us}
    return Profile(**_known(Profile, values) | read)


def _spread(values: dict[str, Any]) -> Spread:
    return Spread(**_known(Spread, values))


def _known(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """The values that `kind` has a field for: a later hetpart may write more, which changes nothing for us."""
    return {field.name: values[field.name] for field in fields(kind) if field.name in values}
