from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hetpart.errors import HetpartError
from hetpart.graph.units import KINDS, Unit, UnitGraph
from hetpart.oracle import Verdict, ensure_placeable, judge
from hetpart.oracle.judge import RULES
from hetpart.oracle.tvm_ops import CONSTANT_INPUTS, VERIFIED
from hetpart.oracle.tvm_traps import NEEDS_LIBRARY, NEVER_RIGHT, TRAPS
from hetpart.targets import load_target
from hetpart.targets.schema import PROCESSOR_KINDS
from tests.unit_graphs import only, units_of

TARGET = load_target("sd855")


def verdict_on(processor: str, text: str, **constants: tuple[int, ...] | np.ndarray) -> Verdict:
    graph = units_of(text, **constants)
    return judge(only(graph), graph, TARGET.processor(processor))


CONV = "g (float[1,3,8,8] x) => (y) { c = Conv(x, w) y = Relu(c) }"
W = {"w": (4, 3, 3, 3)}


def test_convolution_everywhere() -> None:
    assert verdict_on("cpu", CONV, **W) == verdict_on("gpu", CONV, **W)
    assert verdict_on("cpu", CONV, **W).level == "supported"
    dsp = verdict_on("dsp", CONV, **W)
    assert (dsp.level, dsp.reason) == ("unsupported", "needs-int8")
    assert "quantise" in dsp.hint


def test_a_dsp_with_float_vectors_lacks_only_our_code() -> None:
    graph = units_of(CONV, **W)
    verdict = judge(only(graph), graph, load_target("sd888").processor("dsp"))
    assert (verdict.level, verdict.reason) == ("unsupported", "not-emitted-yet")


def test_view_is_free_where_code_is_emitted() -> None:
    text, shape = "g (int64[2,6] x) => (y) { y = Reshape(x, shape) }", np.array([3, 4])
    assert verdict_on("cpu", text, shape=shape) == verdict_on("gpu", text, shape=shape)
    assert verdict_on("gpu", text, shape=shape).level == "supported"
    dsp = verdict_on("dsp", text, shape=shape)
    assert (dsp.level, dsp.reason) == ("unsupported", verdict_on("dsp", CONV, **W).reason)


def test_repack_runs_on_cpu_and_gpu() -> None:
    graph = units_of("g (float[1,3,8,8] x) => (y) { y = Relu(x) }")
    repack = Unit("repack:x", "repack", (), ("x",), ("y",))
    assert [judge(repack, graph, p).runs for p in TARGET.processors] == [True, True, False]


def test_operator_without_a_kernel_of_ours_is_degraded_on_the_cpu_and_absent_on_the_gpu() -> None:
    text = "g (float[4,6] x) => (y) { y = CumSum(x, axis) }"
    cpu = verdict_on("cpu", text, axis=np.array(1))
    assert (cpu.level, cpu.reason) == ("degraded", "generic-kernel")
    gpu = verdict_on("gpu", text, axis=np.array(1))
    assert (gpu.level, gpu.reason) == ("unsupported", "no-opencl-kernel")
    dsp = verdict_on("dsp", text, axis=np.array(1))
    assert dsp.reason == "no-int8-operator"


@pytest.mark.parametrize(
    ("text", "reason", "word"),
    [
        ("g (float[4,6] x) => (float[4,6] y) { y = com.example.Secret(x) }", "custom-operator", "com.example::Secret"),
        ("g (float[4,6] x) => (y) { y = LpNormalization(x) }", "no-kernel", "LpNormalization"),
        ("g (float[4,6] x) => (y, i) { y, i = TopK(x, k) }", "needs-library", "TopK"),
        (
            'g (float[1,1,4,4] x) => (y) { y = Resize<antialias=1, mode="linear">(x, , scales) }',
            "wrong-in-tvm",
            "antialias",
        ),
        ("g (float[1,4,4,4] x) => (y, i) { y, i = MaxPool<kernel_shape=[2,2]>(x) }", "wrong-in-tvm", "MaxPool"),
        ("g (float[4,6] x) => (y) { y = IsInf<detect_negative=0>(x) }", "wrong-in-tvm", "IsInf"),
        ("g (float[4] x, int32[4] p) => (y) { y = Pow(x, p) }", "wrong-in-tvm", "two different types"),
        ("g (int64[3] x) => (float[3,2] y) { y = OneHot(x, k, scales) }", "wrong-in-tvm", "OneHot: values"),
        ("g (float[4] x, int64 axis) => (y) { y = CumSum(x, axis) }", "not-constant", "(axis)"),
        ("g (float[4] x) => (y) { y = Cast<to=17>(x) }", "dtype", "float8"),
        ("g (bfloat16[2,3] x) => (y) { y = Transpose(x) }", "dtype", "bfloat16"),  # TVM's LLVM crashes
    ],
)
def test_what_the_cpu_refuses(text: str, reason: str, word: str) -> None:
    verdict = verdict_on("cpu", text, k=np.array([2]), scales=np.array([1, 1, 0.5, 0.5], np.float32))
    assert (verdict.level, verdict.reason) == ("unsupported", reason)
    assert word in verdict.message
    assert verdict.hint


@pytest.mark.parametrize(
    "text",
    [
        'g (float[1,1,4,4] x) => (y) { y = Resize<mode="cubic">(x, , scales) }',
        "g (float[4,6] x) => (y) { y = IsInf(x) }",
        "g (int64[4] x, int64[4] p) => (y) { y = Pow(x, p) }",
        "g (int32[4] a, int32[4] b) => (y) { y = Mod(a, b) }",
        "g (bool[4] c, float[4] a, float[4] b) => (y) { y = Where(c, a, b) }",
    ],
)
def test_the_same_operators_without_the_trap_run(text: str) -> None:
    constants = {
        "scales": np.array([1, 1, 2, 2], np.float32),
        "s": np.array(0.1, np.float32),
        "z": np.array(3, np.uint8),
    }
    assert verdict_on("cpu", text, **constants).reason == "generic-kernel"


def test_resize_to_sizes_that_scales_do_not_give() -> None:
    scales = np.array([1, 1, 0.6, 0.6], np.float32)
    verdict = verdict_on("cpu", 'g (float[1,1,4,4] x) => (y) { y = Resize<mode="cubic">(x, , s) }', s=scales)
    assert verdict.reason == "wrong-in-tvm"


def test_gpu_takes_float32_only() -> None:
    verdict = verdict_on("gpu", "g (int64[2,3] x) => (y) { y = Transpose<perm=[1,0]>(x) }")
    assert (verdict.level, verdict.reason) == ("unsupported", "dtype")
    assert verdict_on("cpu", "g (int64[2,3] x) => (y) { y = Transpose<perm=[1,0]>(x) }").level == "supported"


def test_our_kernels_take_float32_only() -> None:
    graph = units_of("g (float16[4,6] x) => (y) { y = Relu(x) }")
    unit = replace(only(graph), kind="eltwise")
    assert judge(unit, graph, TARGET.processor("cpu")).reason == "dtype"


def test_buffer_limit_of_the_gpu() -> None:
    text = "g (float[1,64,2048,2100] x) => (y) { y = Relu(x) }"
    verdict = verdict_on("gpu", text)
    assert verdict.reason == "buffer-too-large"
    assert "1101004800 bytes" in verdict.message
    assert verdict_on("cpu", text).level == "supported"


def test_sizes_beyond_32_bit_indices() -> None:
    text = "g (float[64,64,1024,1024] x) => (y) { y = Relu(x) }"
    assert verdict_on("cpu", text).reason == "too-large"


def test_tensor_without_elements() -> None:
    text = "g (float[0,4] x) => (y) { y = Relu(x) }"
    assert verdict_on("cpu", text).reason == verdict_on("gpu", text).reason == "empty-tensor"


def test_quantised_operators_wait_for_the_code_generator() -> None:
    text = "g (float[4] x) => (y) { y = QuantizeLinear(x, s, z) }"
    verdict = verdict_on("dsp", text, s=np.array(0.1, np.float32), z=np.array(0, np.uint8))
    assert verdict.reason == "not-emitted-yet"


def test_nowhere_to_run_names_the_node_and_every_reason() -> None:
    graph = units_of("g (float[4,6] x) => (y) { norm = LpNormalization(x) y = Relu(norm) }")
    unit = next(iter(graph))
    verdicts = {p.name: judge(unit, graph, p) for p in TARGET.processors}
    with pytest.raises(HetpartError) as caught:
        ensure_placeable(unit, verdicts)
    error = caught.value
    assert (error.code, error.node) == ("no-processor", unit.name)
    for part in ("LpNormalization", "cpu:", "(no-kernel)", "gpu:", "(no-opencl-kernel)", "dsp:"):
        assert part in error.message
    assert error.hint
    ensure_placeable(unit, {"cpu": Verdict("degraded", "generic-kernel", "slow")})


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("view", "other")])
def test_every_kernel_kind_has_a_verdict_with_reason_and_sentence(kind: str) -> None:
    graph: UnitGraph = units_of("g (float[1,4,2,2] x) => (y) { y = Relu(x) }")
    unit = replace(only(graph), kind=kind)
    for processor in TARGET.processors:
        verdict = judge(unit, graph, processor)
        assert verdict.reason
        assert verdict.message
        assert verdict.runs == (processor.name != "dsp")


def test_rules_are_complete_data() -> None:
    assert set(RULES) == set(PROCESSOR_KINDS)
    for rules in RULES.values():
        for rule in rules:
            assert rule.source
            assert rule.reason == rule.reason.lower()
    trapped_operators = {op for trap in TRAPS for op in trap.operators}
    assert trapped_operators | CONSTANT_INPUTS.keys() <= VERIFIED
    assert not VERIFIED & (NEEDS_LIBRARY.keys() | NEVER_RIGHT.keys())


QUANTISED = """g (float[1,4,6,6] x) => (y) {
    q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)
    v = DequantizeLinear(w, s) c = Conv(d, v)
    r = QuantizeLinear(c, s, z) y = DequantizeLinear(r, s, z)
}"""


def test_quantised_units_run_on_the_cpu_only() -> None:
    weight = np.ones((4, 4, 1, 1), np.int8)
    graph = units_of(QUANTISED, s=np.array(0.1, np.float32), z=np.array(3, np.uint8), w=weight)
    assert [unit.kind for unit in graph] == ["qeltwise", "qconv", "qeltwise"]
    for unit in graph:
        verdicts = {p.name: judge(unit, graph, p) for p in TARGET.processors}
        assert verdicts["cpu"].level == "supported"
        assert (verdicts["gpu"].level, verdicts["gpu"].reason) == ("unsupported", "dtype")
        assert verdicts["dsp"].reason == "not-emitted-yet"
