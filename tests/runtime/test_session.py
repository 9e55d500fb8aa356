"""Session: the toy bundle's numbers on two processors, and every way of misusing it."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hetpart.bundle.contents import BundleContents
from hetpart.bundle.read import read_bundle
from hetpart.bundle.toolchain import Module
from hetpart.bundle.write import write_bundle
from hetpart.errors import HetpartError
from hetpart.plan.plan import Plan, Step, Wait
from hetpart.runtime.session import Session

Make = Callable[..., Path]


def assert_right(outputs: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert list(outputs) == list(wanted)
    for name, value in wanted.items():
        assert outputs[name].dtype == np.float32
        assert np.linalg.norm(outputs[name] - value) <= 1e-6 * np.linalg.norm(value)


def refused(code: str, call: Callable[[], Any]) -> HetpartError:
    with pytest.raises(HetpartError) as caught:
        call()
    assert caught.value.code == code, caught.value
    return caught.value


def test_two_processors(toy: Path, plans: Any, x: np.ndarray) -> None:
    with Session(toy) as session:
        assert session.plan_used == "main"
        assert session.fallback_reason is None
        for scale in (1, 2, 3):
            assert_right(session.run({"x": scale * x}), plans.expected(scale * x))
        assert session.run_us > 0


@pytest.mark.parametrize(
    "options",
    [{"plan": "cpu"}, {"plan": "cpu", "threads": 3}, {"threads": 2}, {"pin": {}}, {"pin": {"gpu": [0], "cpu": [0]}},
     {"local_size_one": True}, {"trace": False}],
    ids=str,
)  # fmt: skip
def test_options_do_not_change_results(toy: Path, plans: Any, x: np.ndarray, options: dict[str, Any]) -> None:
    with Session(toy, **options) as session:
        for _ in range(5):
            assert_right(session.run({"x": x}), plans.expected(x))


def test_a_cached_program_is_used_and_a_bad_one_is_replaced(
    toy: Path, plans: Any, x: np.ndarray, tmp_path: Path
) -> None:
    def load_and_run() -> bytes:
        with Session(toy, cache_dir=tmp_path) as session:
            assert_right(session.run({"x": x}), plans.expected(x))
        (file,) = tmp_path.iterdir()
        return file.read_bytes()

    first = load_and_run()
    (file,) = tmp_path.iterdir()
    written = file.stat().st_ino
    assert load_and_run() == first
    assert file.stat().st_ino == written, "a good program was compiled again"
    device = first.index(b"\n", 40)  # the end of the device's name
    for damaged in (
        b"", first[:100], first[:-1], first[:-9] + b"?" * 9, first[:device] + b"?" + first[device + 1 :], b"x" * 9999
    ):  # fmt: skip
        file.write_bytes(damaged)
        assert damaged != load_and_run() != b""
        assert len(file.read_bytes()) > 1000
        assert file.read_bytes()[:24] == first[:24]
        assert file.read_bytes()[40:device] == first[40:device]


def test_a_cache_that_cannot_be_used_is_no_error(toy: Path, plans: Any, x: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for folder in (tmp_path / "missing", tmp_path / "file"):
        with Session(toy, cache_dir=folder) as session:
            assert_right(session.run({"x": x}), plans.expected(x))


def test_threads_share_a_session(toy: Path, plans: Any, x: np.ndarray) -> None:
    wrong = []

    def work(scale: int) -> None:
        for _ in range(20):
            outputs = session.run({"x": scale * x})
            if not np.allclose(outputs["e"], plans.expected(scale * x)["e"], rtol=1e-4, atol=1e-5):
                wrong.append(scale)

    with Session(toy, threads=2) as session:
        threads = [threading.Thread(target=work, args=(scale,)) for scale in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_two_sessions_at_once(toy: Path, plans: Any, x: np.ndarray) -> None:
    with Session(toy) as first, Session(toy, plan="cpu") as second:
        assert_right(first.run({"x": x}), plans.expected(x))
        assert_right(second.run({"x": x}), plans.expected(x))


def test_zip_runs_like_a_folder(toy: Path, plans: Any, x: np.ndarray, tmp_path: Path) -> None:
    bundle = read_bundle(toy)
    files = {name: toy / name for name in bundle.manifest.files}
    write_bundle(BundleContents(bundle.manifest, files), tmp_path / "toy.zip", zip=True)
    with Session(tmp_path / "toy.zip") as session:
        assert_right(session.run({"x": x}), plans.expected(x))


def test_inputs_need_not_be_contiguous(toy: Path, plans: Any, x: np.ndarray) -> None:
    with Session(toy) as session:
        assert_right(session.run({"x": x.T.copy().T}), plans.expected(x))


@pytest.mark.parametrize(
    "inputs",
    [{}, {"y": np.zeros(3, np.float32)}, {"x": np.zeros((24, 16))}, {"x": np.zeros((16, 24), np.float32)},
     {"x": [[1.0]]}, {"x": np.zeros((24, 16), np.float32), "y": np.zeros(1)},
     {"x": np.zeros((24, 16), np.dtype(">f4"))}],
)  # fmt: skip
def test_wrong_inputs_are_refused(toy: Path, inputs: dict[str, Any]) -> None:
    with Session(toy, plan="cpu") as session:
        error = refused("bad-input", lambda: session.run(inputs))
    assert error.hint is not None
    assert "x float32[24, 16]" in error.hint


def test_kernel_error_names_unit_and_kernel(toy: Path, plans: Any, x: np.ndarray) -> None:
    with Session(toy, threads=2) as session:
        error = refused("kernel-failed", lambda: session.run({"x": x + np.float32(2e30)}))
        assert "scale" in error.message
        assert "ValueError: affine: an element is too large" in error.message
        refused("no-trace", session.trace)
        assert_right(session.run({"x": x}), plans.expected(x))  # the session is still good


def test_trace(toy: Path, plans: Any, x: np.ndarray) -> None:
    with Session(toy) as session:
        refused("no-trace", session.trace)
        session.run({"x": x})
        session.run({"x": x})
        trace = session.trace()
    json.dumps(trace)
    events = trace["traceEvents"]
    rows = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    steps = {e["name"]: e for e in events if e["ph"] == "X" and e["cat"] == "step"}
    assert {name: rows[e["tid"]] for name, e in steps.items()} == {
        "scale": "cpu", plans.step_name: "cpu", "square": "gpu", "sum": "gpu", "difference": "gpu"
    }  # fmt: skip
    assert steps["difference"]["args"] == {"predicted_us": 7, "kernel": "sub"}
    order = ["scale", "sum", plans.step_name, "difference"]
    for before, after in pairwise(order):
        # the two clocks are aligned to within the latency of an idle queue, which may be long on a busy machine
        assert steps[before]["ts"] + steps[before]["dur"] <= steps[after]["ts"] + 2000
    assert [e["name"] for e in events if e.get("cat") == "transfer"] == ["x", "a", "c", "d", "e"]
    assert max(e["ts"] + e["dur"] for e in steps.values()) <= trace["otherData"]["run_ns"] / 1000 + 2000


def test_no_trace_unless_asked_for(toy: Path, x: np.ndarray) -> None:
    with Session(toy, plan="cpu", trace=False) as session:
        session.run({"x": x})
        refused("no-trace", session.trace)


def test_without_opencl(toy: Path, plans: Any, x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HETPART_OPENCL", "/nowhere/libOpenCL.so")
    error = refused("no-opencl", lambda: Session(toy))
    assert "HETPART_OPENCL" in error.message
    assert error.hint
    with Session(toy, cpu_fallback=True) as session:
        assert session.plan_used == "cpu"
        assert "HETPART_OPENCL" in (session.fallback_reason or "")
        assert_right(session.run({"x": x}), plans.expected(x))


def test_no_fallback_without_a_cpu_plan(make_toy: Make, plans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = make_toy({"main": plans.split()})
    monkeypatch.setenv("HETPART_OPENCL", "/nowhere/libOpenCL.so")
    refused("no-opencl", lambda: Session(toy, cpu_fallback=True))


def test_broken_opencl_source_falls_back_too(make_toy: Make) -> None:
    toy = make_toy(opencl="__kernel void square(__global float *x) { oops }")
    error = refused("opencl-failed", lambda: Session(toy))
    assert "oops" in error.message
    with Session(toy, cpu_fallback=True) as session:
        assert session.plan_used == "cpu"


def test_too_much_local_memory_is_refused(make_toy: Make) -> None:
    """PoCL would end the process."""
    opencl = """__kernel void square(__global const float *x, __global float *y) {
        __local float all[1 << 24];
        all[get_local_id(0)] = x[get_global_id(0)];
        barrier(CLK_LOCAL_MEM_FENCE);
        y[get_global_id(0)] = all[get_local_id(0) ^ 1];
    }"""
    error = refused("opencl-failed", lambda: Session(make_toy(opencl=opencl)))
    assert 'kernel "square" needs 67108864 bytes of local memory' in error.message
    assert "lower local_bytes" in error.message


def changed(plan: Plan, processor: str, index: int, **changes: Any) -> Plan:
    steps = list(plan.processors[processor])
    steps[index] = dataclasses.replace(steps[index], **changes)
    return dataclasses.replace(plan, processors=plan.processors | {processor: tuple(steps)})


@pytest.mark.parametrize(
    ("code", "text", "processor", "index", "changes"),
    [
        ("corrupt-plan", "waits for a step that waits for it", "gpu", 0, {"waits": (Wait("cpu", 2),)}),
        ("corrupt-plan", "a step that does not exist", "gpu", 0, {"waits": (Wait("cpu", 9),)}),
        ("corrupt-plan", "without having waited", "cpu", 1, {"waits": ()}),
        ("corrupt-plan", "an argument names no buffer", "cpu", 0, {"args": (0, 99)}),
        ("corrupt-plan", "writes to the weights", "cpu", 0, {"writes": (1,)}),
        ("corrupt-plan", "without work-items", "gpu", 0, {"global_size": (0, 1, 1)}),
        ("corrupt-plan", "does not divide", "gpu", 0, {"local_size": (7, 1, 1)}),
        ("corrupt-plan", "an OpenCL step without a kernel", "gpu", 0, {"kernel": ""}),
        ("cpu-module", '"nothing", which unit "scale" needs', "cpu", 0, {"kernel": "nothing"}),
        ("opencl-failed", "CL_INVALID_KERNEL_NAME", "gpu", 0, {"kernel": "nothing"}),
        ("opencl-failed", "CL_INVALID_ARG_INDEX", "gpu", 0, {"args": (0, 3, 3)}),
        ("opencl-failed", "local size", "gpu", 0, {"global_size": (1 << 20, 1, 1), "local_size": (1 << 20, 1, 1)}),
    ],
)
def test_impossible_plans_are_refused_at_load(
    make_toy: Make, plans: Any, code: str, text: str, processor: str, index: int, changes: dict[str, Any]
) -> None:
    toy = make_toy({"main": changed(plans.split(), processor, index, **changes)})
    assert text in refused(code, lambda: Session(toy)).message


def test_processor_without_a_driver(make_toy: Make, plans: Any) -> None:
    split = plans.split()
    dsp = dataclasses.replace(
        split, processors=split.processors | {"dsp": (Step("u", "k", ()),)}, kinds=split.kinds | {"dsp": "hexagon"}
    )
    assert "dsp" in refused("unsupported-processor", lambda: Session(make_toy({"main": dsp}))).message


def test_bad_options(toy: Path) -> None:
    refused("no-such-plan", lambda: Session(toy, plan="gpu"))
    refused("bad-pin", lambda: Session(toy, pin={"npu": [0]}))
    refused("bad-pin", lambda: Session(toy, pin={"cpu": [64]}))
    refused("thread-failed", lambda: Session(toy, plan="cpu", pin={"cpu": [63]}))
    refused("bad-argument", lambda: Session(toy, plan="cpu", threads=1000))
    refused("no-such-bundle", lambda: Session(toy / "nothing"))


def test_other_machines_bundle(make_toy: Make, host_module: dict[str, Module]) -> None:
    bundle = make_toy(modules={"aarch64-linux-android": next(iter(host_module.values()))})
    assert "no CPU kernels for" in refused("cpu-module", lambda: Session(bundle)).message


def test_bundle_without_its_module(toy: Path, tmp_path: Path) -> None:
    bundle = read_bundle(toy)
    files: dict[str, bytes | Path] = {n: toy / n for n in bundle.manifest.files if not n.startswith("cpu/")}
    write_bundle(BundleContents(bundle.manifest, files), tmp_path / "toy")
    assert "libmodel.so: No such file" in refused("bundle-file", lambda: Session(tmp_path / "toy")).message


def test_closed_session(toy: Path, x: np.ndarray) -> None:
    session = Session(toy, plan="cpu")
    session.close()
    session.close()
    refused("session-closed", lambda: session.run({"x": x}))


def test_model_without_weights_or_module(make_toy: Make, x: np.ndarray, plans: Any) -> None:
    """An identity: outputs that are the input's buffer, and no kernel at all."""
    split = plans.split()
    port = split.inputs[0]
    outputs = tuple(dataclasses.replace(port, name=name) for name in "de")
    empty = dataclasses.replace(
        split, processors={"cpu": (Step("outputs", "", ()),)}, kinds={"cpu": "cpu"}, outputs=outputs
    )
    with Session(make_toy({"main": empty})) as session:
        assert_right(session.run({"x": x}), {"d": x.astype(np.float64), "e": x.astype(np.float64)})
