"""Manifests as people see them; names are printed as they are, and a poor manifest is no fault."""

from __future__ import annotations

import io

from rich.console import Console

from hetpart.bundle.digest import FileInfo
from hetpart.bundle.manifest import Manifest, NodePlacement, PlanInfo, ProcessorInfo, TensorInfo
from hetpart.report.inspect import print_manifest


def printed(manifest: Manifest) -> str:
    text = io.StringIO()
    print_manifest(manifest, Console(file=text, width=100))
    return text.getvalue()


def manifest(**values: object) -> Manifest:
    plain = Manifest(
        model="net[bold]",
        target="phone",
        tools={"hetpart": "0.1.0"},
        inputs=(TensorInfo("x[/red]", "float32", (1, 3)),),
        outputs=(TensorInfo("y", "int64", ()),),
        processors={"cpu": ProcessorInfo("cpu")},
        plans={"main": PlanInfo("plan.bin", 1500, 2048, ("cpu",))},
    )
    return Manifest(**(plain.__dict__ | values))


def test_without_decision_and_placement() -> None:
    text = printed(manifest())
    assert text.startswith("net[bold] for target phone\nbundle schema 3, written by hetpart 0.1.0\n")
    assert "input x[/red]: float32[1, 3]\noutput y: int64[]\n" in text
    assert "does not say how the placement came about" in text


def test_a_unit_is_counted_once_however_many_nodes_it_covers() -> None:
    placement = (
        NodePlacement("conv", "conv", "cpu", 0, 700),
        NodePlacement("relu", "conv", "cpu", 0, 700),
        NodePlacement("add", "add", "cpu", 700, 800),
    )
    rows = [line.split() for line in printed(manifest(placement=placement)).splitlines()]
    assert ["cpu", "3", "2", "1.50", "ms"] in rows


def test_sources_of_the_runtime_share_a_row() -> None:
    files = {"plan.bin": FileInfo("ab" * 32, 300)}
    files |= {f"runtime/src/{name}.c": FileInfo("cd" * 32, 600) for name in "abc"}
    text = printed(manifest(files=files))
    assert "abababababababab" in text
    assert "sources of the runtime (3 files)" in text
    assert "1.8 KB" in text
    assert "a.c" not in text
