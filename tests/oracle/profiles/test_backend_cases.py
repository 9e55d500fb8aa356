"""Every model of ONNX's backend tests that hetpart imports can be judged by every profile."""

from __future__ import annotations

import warnings

import pytest
from onnx.backend.test.loader import load_model_tests

from hetpart.errors import HetpartError
from hetpart.frontend import import_model
from hetpart.oracle.profiles import load_profile, profile_names
from hetpart.report.profiles import profile_report
from hetpart.targets import load_target

PROFILES = [load_profile(name) for name in profile_names()]


@pytest.mark.slow
def test_no_operator_is_too_odd() -> None:
    target = load_target("sd888")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the cases' own arithmetic
        cases = load_model_tests(kind="node")
    judged = 0
    for case in cases:
        try:
            model = import_model(case.model)
        except HetpartError:
            continue
        for node in profile_report(model, PROFILES, target).nodes:
            assert set(node.verdicts) == set(profile_names()), case.name
            for verdict in node.verdicts.values():
                assert verdict.message, case.name
                assert bool(verdict.hint) == (verdict.reason != "ok"), case.name
        judged += 1
    assert judged > 1000
