"""The tables that come with hetpart: whole, for the sample networks, and second to the user's."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from examples import zoo
from hetpart.codegen.isa import target_isa
from hetpart.compiler import Options, decide
from hetpart.kernels.cpu import conv_choice, depthwise, tuned
from hetpart.kernels.isa import Isa
from hetpart.kernels.select import select
from hetpart.kernels.spec import ConvSpec
from hetpart.phases import Phases
from hetpart.targets import load_target

TABLES = sorted(
    (file for file in (resources.files("hetpart.kernels.cpu") / "tables").iterdir() if file.name.endswith(".json")),
    key=lambda file: file.name,
)


@pytest.fixture(autouse=True)
def _own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tuned.forget()


def isa_of(name: str) -> Isa:
    mcpu, lanes = name.removesuffix(".json").rsplit("-", 1)
    return Isa("x86_64-linux-gnu", mcpu, (), int(lanes), 32)


@pytest.mark.parametrize("name", [file.name for file in TABLES])
def test_every_entry_of_a_table_is_a_choice(name: str) -> None:
    table = json.loads((resources.files("hetpart.kernels.cpu") / "tables" / name).read_text())
    assert table
    assert list(table) == sorted(table)
    for entry in table.values():
        assert conv_choice.encode(conv_choice.decode(entry)) == entry


@pytest.mark.parametrize("name", [file.name for file in TABLES])
def test_the_users_table_comes_first(name: str) -> None:
    isa = isa_of(name)
    shape, entry = next(iter(tuned.read(resources.files("hetpart.kernels.cpu") / "tables" / name).items()))
    assert tuned.lookup(shape, isa) == entry
    other = ["direct", 1, 1, 1, False, 1, 1, 0]
    tuned.record({shape: other}, isa)
    assert tuned.lookup(shape, isa) == other


@pytest.mark.parametrize("name", [file.name for file in TABLES])
def test_a_table_holds_every_convolution_of_resnet50(name: str) -> None:
    isa = isa_of(name)
    target = replace(load_target("host"), block=isa.lanes)
    assignment = decide(zoo.build("resnet50"), target, Options(strategy="cpu"), Phases()).assignment
    specs = [
        call.spec
        for unit in assignment.graph
        for call in select(unit, assignment)
        if isinstance(call.spec, ConvSpec) and not depthwise.suits(call.spec)
    ]
    assert len(specs) > 50
    for spec in specs:
        choice = conv_choice.choose(spec, isa)  # refuses one that does not suit the shape
        assert tuned.lookup(conv_choice.shape_key(spec), isa) == conv_choice.encode(choice)


def test_the_host_has_its_isa_in_the_name() -> None:
    isa = target_isa(load_target("host"))
    assert tuned.user_file(isa).name == f"{isa.mcpu}-{isa.lanes}.json"
