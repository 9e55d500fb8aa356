"""The data of the profiles: everything that they name exists, and everything that exists is named."""

from __future__ import annotations

import onnx.defs
import pytest

from hetpart.errors import HetpartError
from hetpart.oracle.profiles import Profile, load_profile, profile_names
from hetpart.oracle.profiles.conditions import CONDITIONS
from hetpart.targets.schema import PROCESSOR_KINDS

PROFILES = [load_profile(name) for name in profile_names()]


def conditions_of(profile: Profile) -> set[str]:
    found = {condition for conditions in profile.kernels.values() for condition in conditions}
    for alternatives in (profile.engine.onnx or {}).values():
        found |= {condition for alternative in alternatives for condition in alternative.conditions}
    return found


def test_the_names() -> None:
    assert profile_names() == (
        "mace-cpu",
        "mace-gpu",
        "mace-gpu-buffer",
        "codl-gpu-buffer",
        "mace-dsp",
        "tflite-gpu",
        "tflite-hexagon",
        *(f"nnapi-{level}" for level in range(1, 8)),
        "qnn-htp",
    )


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(HetpartError) as caught:
        load_profile("tflite-gpo")
    assert caught.value.code == "unknown-profile"
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("did you mean tflite-gpu? known profiles: mace-cpu, ")
    assert "qnn-htp" in caught.value.hint


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_what_a_profile_names_exists(profile: Profile) -> None:
    assert profile.kind in (*PROCESSOR_KINDS, "any")
    assert profile.placement in ("any", "follow", "whole", "largest")
    assert profile.engine.sources
    for condition in conditions_of(profile):
        assert condition.partition(":")[0] in CONDITIONS
    standard = {schema.name for schema in onnx.defs.get_all_schemas()}
    for op, alternatives in (profile.engine.onnx or {}).items():
        assert op in standard
        assert alternatives
        assert all(alternative.operators for alternative in alternatives)
        assert all(alternative.conditions for alternative in alternatives[:-1]), f"{op}: the rest is never tried"


def test_every_operator_that_stands_for_an_onnx_operator_has_a_kernel_somewhere() -> None:
    for engine in {profile.engine.name: profile.engine for profile in PROFILES}.values():
        tables = [profile.kernels for profile in PROFILES if profile.engine.name == engine.name]
        known = {operator for table in tables for operator in table}
        named = {o for alternatives in (engine.onnx or {}).values() for a in alternatives for o in a.operators}
        assert named <= known, engine.name


def test_every_condition_is_used() -> None:
    used = {condition.partition(":")[0] for profile in PROFILES for condition in conditions_of(profile)}
    assert set(CONDITIONS) == used


@pytest.mark.parametrize(
    ("table", "operators"),
    [("mace-cpu", 73), ("mace-gpu", 36), ("mace-dsp", 25), ("tflite-gpu", 97), ("tflite-hexagon", 36), ("nnapi-7", 94)],
)
def test_lists_are_complete(table: str, operators: int) -> None:
    assert len(load_profile(table).kernels) == operators
