"""Reports on profiles: shares, partitions and hand-overs of a model that can be counted by hand, and the text."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import onnx_ir as ir
import pytest
from rich.console import Console

from hetpart.oracle.profiles import load_profile
from hetpart.report.profiles import ProfileReport, profile_report
from hetpart.report.profiles_text import render_profiles
from hetpart.targets import load_target
from tests.oracle.profiles.support import model_of

TARGET = load_target("sd855")
MAP = 4 * 8 * 8 * 8  # bytes of every map

TEXT = """g (float[1,8,8,8] x) => (y) {
    a = Conv(x, w)
    b = Relu(a)
    t = Transpose<perm=[0,1,3,2]>(b)
    h = HardSwish(t)
    y = Conv(h, w)
}"""


def model() -> ir.Model:
    return model_of(TEXT, w=(8, 8, 1, 1))


def report(*profiles: str) -> ProfileReport:
    return profile_report(model(), [load_profile(name) for name in profiles], TARGET)


def rendered(found: ProfileReport, width: int = 110) -> str:
    console = Console(width=width, file=io.StringIO())
    with console.capture() as capture:
        console.print(render_profiles(found))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def test_shares_partitions_and_hand_overs() -> None:
    found = report("mace-gpu", "tflite-gpu", "mace-cpu")
    gpu, tflite, cpu = found.summaries
    assert (gpu.unsupported_share, gpu.accelerated_share) == (pytest.approx(2 / 5), pytest.approx(3 / 5))
    assert gpu.unsupported_mac_share == 0
    assert gpu.partitions == 3
    assert gpu.transfer_bytes == 4 * MAP  # in, out of the GPU and back, out
    assert gpu.without == ("HardSwish",)
    assert (tflite.unsupported_share, tflite.partitions, tflite.transfer_bytes) == (0, 1, 2 * MAP)
    assert (cpu.unsupported_share, cpu.transfer_bytes) == (pytest.approx(1 / 5), 0)
    assert found.exit_code == 1
    assert report("tflite-gpu").exit_code == 0


def test_a_folded_node_has_its_host_s_verdict() -> None:
    nodes = {node.name: node for node in report("mace-gpu").nodes}
    assert [node.op for node in nodes.values()] == ["Conv", "Relu", "Transpose", "HardSwish", "Conv"]
    assert nodes["Relu_1"].verdicts == nodes["Conv_0"].verdicts
    assert (nodes["Conv_0"].macs, nodes["Relu_1"].macs) == (8 * 8 * 8 * 8, 0)


def test_json() -> None:
    plain = json.loads(json.dumps(report("mace-gpu", "nnapi-3").to_json()))
    assert (plain["schema"], plain["target"]) == (1, "sd855")
    assert list(plain["profiles"]) == ["mace-gpu", "nnapi-3"]
    assert plain["profiles"]["mace-gpu"]["without"] == ["HardSwish"]
    assert plain["profiles"]["mace-gpu"]["title"] == "MACE on the GPU, image memory"
    transpose = plain["nodes"][2]["verdicts"]["mace-gpu"]
    assert (transpose["level"], transpose["reason"]) == ("unsupported", "no-kernel")
    assert transpose["hint"]


def test_text(golden: Callable[[str], None]) -> None:
    golden(rendered(report("mace-gpu", "mace-dsp", "tflite-gpu")))


def test_text_of_a_model_without_operators() -> None:
    empty = ProfileReport("sd855", (), ())
    assert rendered(empty) == "the model has no operators\n"
