"""Loops become their bodies, once per round, and compute the same; what depends on data is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from hetpart.frontend import import_model, unroll
from tests.frontend.support import model_of, op_types, refused, same_function

SCANS = {
    "sum": """(float[2] s, float[4,2] x) => (float[2] t, float[4,2] ys) {
        t, ys = Scan <num_scan_inputs = 1, body = b (float[2] s0, float[2] v) => (float[2] s1, float[2] y)
            { s1 = Add(s0, v) y = Mul(s1, s1) }> (s, x) }""",
    "axes and directions": """(float[2] s, float[2,3] x, float[3,2] z) => (float[2] t, float[2,3] ys) {
        t, ys = Scan <num_scan_inputs = 2, scan_input_axes = [1, 0], scan_input_directions = [1, 0],
                      scan_output_axes = [1], scan_output_directions = [1],
                      body = b (float[2] s0, float[2] v, float[2] w) => (float[2] s1, float[2] y)
            { p = Mul(v, w) s1 = Sub(p, s0) y = Tanh(s1) }> (s, x, z) }""",
    "from around it, one of two results": """(float[2] s, float[2] k, float[4,2] x) => (float[4,2] ys) {
        h = Relu(k)
        t, ys = Scan <num_scan_inputs = 1, body = b (float[2] s0, float[2] v) => (float[2] s1, float[2] y)
            { a = Mul(s0, h) s1 = Add(a, v) y = Identity(s1) }> (s, x) }""",
    "inside of another": """(float s, float[2,3] x) => (float t) {
        t = Scan <num_scan_inputs = 1, body = b (float s0, float[3] row) => (float s1) {
            s1 = Scan <num_scan_inputs = 1, body = c (float r0, float v) => (float r1)
                { d = Mul(v, v) e = Sub(d, r0) r1 = Add(e, s0) }> (s0, row) }> (s, x) }""",
}


@pytest.mark.parametrize("name", SCANS)
def test_a_scan_is_its_body_for_each_slice(name: str) -> None:
    imported = same_function(model_of(SCANS[name]))
    assert "Scan" not in op_types(imported)


LOOP = """(float[2] x) => (float[2] y, float[3,2] ys) {{
    y, ys = Loop <body = b (int64 i, bool c, float[2] s0) => (bool d, float[2] s1, float[2] v)
        {{ {condition} f = Cast <to = 1> (i) s1 = Add(s0, f) v = Mul(s1, s0) }}> (n, {given}, x) }}"""


@pytest.mark.parametrize(
    ("condition", "given"),
    [("d = Identity(c)", ""), ("d = Identity(c)", "go"), ("d = Constant <value = bool {1}> ()", "go")],
)
def test_a_loop_of_known_rounds_is_its_body_for_each(condition: str, given: str) -> None:
    model = model_of(
        LOOP.format(condition=condition, given=given), n=np.array(3), **({"go": np.True_} if given else {})
    )
    imported = same_function(model)
    assert op_types(imported).count("Add") == 3


def test_a_loop_that_may_end_early_is_refused() -> None:
    text = LOOP.format(condition="m = ReduceSum <keepdims = 0> (s0) d = Less(m, big)", given="go")
    with refused("control-flow", "Loop"):
        import_model(model_of(text, n=np.array(3), go=np.True_, big=np.float32(9)))


def test_a_loop_that_never_begins_hands_its_states_on() -> None:
    text = """(float[2] x) => (float[2] y) {
        y = Loop <body = b (int64 i, bool c, float[2] s0) => (bool d, float[2] s1) { d = Identity(c) s1 = Exp(s0) }>
            (n, , x) }"""
    assert op_types(same_function(model_of(text, n=np.array(0)))) in ([], ["Identity"])


def test_a_long_loop_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unroll, "MOST_NODES", 7)
    with refused("long-loop", "4 rounds of 2 nodes"):
        import_model(model_of(SCANS["sum"]))


def test_a_scan_of_opset_8_is_refused() -> None:
    body = """(float[1,2] s, float[1,4,2] x) => (float[1,2] t, float[1,4,2] ys) {
        t, ys = Scan <num_scan_inputs = 1, body = b (float[2] s0, float[2] v) => (float[2] s1, float[2] y)
            { s1 = Add(s0, v) y = Identity(s1) }> ("", s, x) }"""
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 8]> test {body}')
    with refused("control-flow", "Scan"):
        import_model(model)
