"""Comments of target files, by the key that they explain."""

from __future__ import annotations

import tomllib

import pytest

from hetpart.targets import load_target, target_names, target_sources
from hetpart.targets.sources import sources

TEXT = r"""
# The file,
# in two lines.
title = "a # in a string"  # the title
plain = 1

# lost: it is not above the first key, nor above a table

path = 'C:\#'  # literal
escaped = "\"#\""#close
many = [  # all of them
    { name = "x", cores = 1 },  # not one of them
]
[table]  # behind its header
dotted.key = 2  # deep
# about b
[table.b]
c = 3
[[rows]]
d = 1  # first
# second row
[[rows]]
d = 2
"""


def test_every_place_of_a_comment() -> None:
    tomllib.loads(TEXT)
    assert sources(TEXT) == {
        "": "The file, in two lines.",
        "title": "the title",
        "path": "literal",
        "escaped": "close",
        "many": "all of them",
        "table": "behind its header",
        "table.dotted.key": "deep",
        "table.b": "about b",
        "rows[0].d": "first",
        "rows[1]": "second row",
    }


@pytest.mark.parametrize("name", target_names())
def test_every_figure_of_a_shipped_target_has_a_source(name: str) -> None:
    known = target_sources(name)
    for processor in load_target(name).processors:
        path = f"processors.{processor.name}"
        assert not processor.clusters or f"{path}.clusters" in known
        if processor.cost is None:
            continue
        for key in ("peak_gflops", "bandwidth_gb_per_s", "launch_us"):
            if getattr(processor.cost, key):
                assert {f"{path}.cost.{key}", f"{path}.cost.{key}_per_lane"} & set(known), f"{path}.cost.{key}"
        stated = {key for key in known if key.startswith(f"{path}.cost.efficiency.")}
        assert len(stated) >= (12 if processor.cost.law is None else len(processor.cost.efficiency))
        assert processor.cost.law is None or f"{path}.cost.law.fp32" in known
    assert "links[0]" in known
