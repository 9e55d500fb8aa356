"""Pipelines: text to passes and back, errors that say what is wrong, records, verification."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hetpart.errors import HetpartError, InternalError
from hetpart.passes import registry
from hetpart.passes.base import Pass
from hetpart.passes.pipeline import PassRecord, optimisation_level, parse_pipeline, run_pipeline
from tests.passes.support import operators, parse


@dataclass(frozen=True)
class Sample(Pass):
    """Appends one Relu per count, to have something with options of every type."""

    name: ClassVar[str] = "sample"
    count: int = 1
    ratio: float = 0.5
    flag: bool = False
    label: str = ""

    def apply(self, model: ir.Model) -> bool:
        return False


@dataclass(frozen=True)
class Refuse(Pass):
    """Refuses every model."""

    name: ClassVar[str] = "refuse"

    def apply(self, model: ir.Model) -> bool:
        raise HetpartError("too-hard", "no way", node="n", hint="try another")


@dataclass(frozen=True)
class Crash(Pass):
    """Has a bug."""

    name: ClassVar[str] = "crash"

    def apply(self, model: ir.Model) -> bool:
        raise KeyError("lost")


@dataclass(frozen=True)
class Spoil(Pass):
    """Leaves a wrong shape behind."""

    name: ClassVar[str] = "spoil"

    def apply(self, model: ir.Model) -> bool:
        model.graph.node(0).outputs[0].shape = ir.Shape((7, 7))
        return True


@dataclass(frozen=True)
class Undo(Pass):
    """Breaks the canonical form."""

    name: ClassVar[str] = "undo"

    def apply(self, model: ir.Model) -> bool:
        model.graph.node(0).op_type = "Identity"
        return True


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.PASSES, "sample", lambda: Sample)


def small_model() -> ir.Model:
    return parse("(float[2,3] x) => (float y) { a = Relu(x) y = Tanh(a) }")


@pytest.mark.usefixtures("sample")
class TestParsing:
    def test_options_have_the_declared_types(self) -> None:
        (parsed,) = parse_pipeline('sample{count=3,ratio=0.25,flag=true,label="a, {b}"}')
        assert parsed == Sample(3, 0.25, True, "a, {b}")

    def test_integer_text_is_a_float_where_a_float_is_declared(self) -> None:
        (parsed,) = parse_pipeline("sample{ratio=1}")
        assert isinstance(parsed, Sample)
        assert isinstance(parsed.ratio, float)

    def test_several_with_spaces(self) -> None:
        assert [str(p) for p in parse_pipeline(" dce , sample { count = 2 } ,cse ")] == [
            "dce",
            "sample{count=2}",
            "cse",
        ]

    @pytest.mark.parametrize("text", ["", "  "])
    def test_empty(self, text: str) -> None:
        assert parse_pipeline(text) == []

    def test_defaults_are_not_printed(self) -> None:
        assert str(Sample(ratio=0.5)) == "sample"
        assert str(Sample(flag=True)) == "sample{flag=true}"

    @given(
        st.builds(Sample, st.integers(), st.floats(allow_nan=False), st.booleans(), st.text()),
        st.builds(Sample, label=st.sampled_from(["true", "1", "a.b-c", 'q"', "\\", "}"])),
    )
    def test_text_of_passes_parses_to_the_same_passes(self, first: Sample, second: Sample) -> None:
        assert parse_pipeline(f"{first},{second}") == [first, second]

    @pytest.mark.parametrize(
        ("text", "code", "fragments"),
        [
            ("sampel", "unknown-pass", ["'sampel'", "did you mean 'sample'"]),
            ("nothing-like-it", "unknown-pass", ["known passes: canonicalise"]),
            ("sample{size=1}", "unknown-option", ["'size'", "count, ratio, flag, label"]),
            ("dce{size=1}", "unknown-option", ["it has no options"]),
            ("sample{count=1.5}", "bad-option", ["'count'", "an integer", "'1.5'"]),
            ("sample{ratio=much}", "bad-option", ["'ratio'", "a number", "'much'"]),
            ("sample{flag=yes}", "bad-option", ["'flag'", "true or false"]),
            ("sample{count=1,count=2}", "bad-option", ["given twice"]),
            ("sample{count}", "pipeline-syntax", ["option=value", "'count'"]),
            ("sample{count=1", "pipeline-syntax", ["'sample{count=1'"]),
            ("dce;cse", "pipeline-syntax", ["'dce;cse'"]),
            ("dce,", "pipeline-syntax", ["after the last comma"]),
            (",dce", "pipeline-syntax", ["',dce'"]),
        ],
    )
    def test_errors(self, text: str, code: str, fragments: list[str]) -> None:
        with pytest.raises(HetpartError) as caught:
            parse_pipeline(text)
        assert caught.value.code == code
        for fragment in fragments:
            assert fragment in str(caught.value)


class TestRunning:
    def test_records(self) -> None:
        model = parse("(float[2,3] x) => (float y) { a = Relu(x) b = Identity(a) y = Tanh(b) }")
        seen: list[PassRecord] = []
        records = run_pipeline(model, parse_pipeline("canonicalise,dce"), verify_each=True, on_pass=seen.append)
        assert seen == records
        assert [(r.name, r.modified, r.nodes_before, r.nodes_after) for r in records] == [
            ("canonicalise", True, 3, 2),
            ("dce", False, 2, 2),
        ]
        assert all(r.seconds >= 0 for r in records)

    def test_refusal_keeps_code_and_names_the_pass(self) -> None:
        with pytest.raises(HetpartError) as caught:
            run_pipeline(small_model(), [*parse_pipeline("dce,cse"), Refuse()])
        error = caught.value
        assert (error.code, error.node, error.hint) == ("too-hard", "n", "try another")
        assert not isinstance(error, InternalError)
        assert "pass 'refuse' failed (already run: dce, cse): no way" in error.message

    def test_crash_becomes_an_internal_error(self) -> None:
        with pytest.raises(InternalError, match="pass 'crash' failed") as caught:
            run_pipeline(small_model(), [Crash()])
        assert caught.value.code == "pass-failed"
        assert "(already run: nothing): KeyError('lost')" in caught.value.message
        assert isinstance(caught.value.__cause__, KeyError)

    def test_wrong_shape_is_found_by_verification_only(self) -> None:
        run_pipeline(small_model(), [Spoil()])
        with pytest.raises(InternalError, match="pass 'spoil' failed") as caught:
            run_pipeline(small_model(), [Spoil()], verify_each=True)
        assert (caught.value.code, caught.value.node) == ("wrong-type", "a")

    def test_canonical_form_is_checked_from_canonicalise_on(self) -> None:
        run_pipeline(small_model(), [Undo()], verify_each=True)
        with pytest.raises(InternalError, match="Identity is not canonical"):
            run_pipeline(small_model(), [*parse_pipeline("canonicalise"), Undo()], verify_each=True)


class TestLevels:
    @pytest.mark.parametrize("level", ["O0", "O1"])
    def test_level_makes_the_model_canonical(self, level: str) -> None:
        model = parse("(float[2,3] x) => (float y) { a = Dropout(x) b = Sum(a, x, x) y = Identity(b) }")
        run_pipeline(model, optimisation_level(level), verify_each=True)
        assert operators(model) == ["Add", "Add"]

    def test_unknown_level(self) -> None:
        with pytest.raises(HetpartError) as caught:
            optimisation_level("O7")
        assert caught.value.code == "unknown-level"


def test_every_registered_pass_has_its_name_and_a_docstring() -> None:
    for name, load in registry.PASSES.items():
        cls = load()
        assert cls.name == name
        assert cls.__doc__
        assert parse_pipeline(str(cls())) == [cls()]


def test_pipeline_imports_no_pass_and_nothing_heavy() -> None:
    code = (
        "import json, sys, hetpart.passes.pipeline; "
        "print(json.dumps([m for m in sys.modules if m.split('.')[0] in ('tvm', 'onnxruntime', 'ortools') "
        "or m.startswith('hetpart.passes.')]))"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert set(json.loads(output)) == {f"hetpart.passes.{m}" for m in ("base", "pipeline", "registry")}
