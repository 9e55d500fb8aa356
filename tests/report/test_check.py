from __future__ import annotations

import io
import json
from collections.abc import Callable

import numpy as np
import pytest
from rich.console import Console

from examples import zoo
from hetpart.compiler import assess
from hetpart.fallback import price_fallbacks
from hetpart.frontend import import_model
from hetpart.graph.units import UnitGraph
from hetpart.passes.fuse import fuse
from hetpart.passes.pipeline import optimisation_level, run_pipeline
from hetpart.phases import Phases
from hetpart.report.check import CheckReport, check_report
from hetpart.report.text import render_check
from hetpart.targets import load_target
from tests.unit_graphs import units_of

TARGET = load_target("sd855")


def chain() -> UnitGraph:
    """Conv+Relu on the GPU, CumSum only on the CPU, Relu on the GPU, Reshape anywhere."""
    return units_of(
        """g (float[1,3,8,8] x) => (y) {
            c = Conv<pads=[1,1,1,1]>(x, w)
            r = Relu(c)
            s = CumSum(r, axis)
            t = Relu(s)
            y = Reshape(t, shape)
        }""",
        w=(4, 3, 3, 3),
        axis=np.array(1),
        shape=np.array([4, 64]),
    )


def rendered(graph: UnitGraph, width: int = 100) -> str:
    return text_of(check_report(graph, TARGET), width)


def text_of(report: CheckReport, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO())
    with console.capture() as capture:
        console.print(render_check(report))
    return capture.get()


def test_shares_count_nodes_and_macs() -> None:
    report = check_report(chain(), TARGET)
    assert [node.op for node in report.nodes] == ["Conv", "Relu", "CumSum", "Relu", "Reshape"]
    assert report.unsupported_share("cpu") == 0
    assert report.unsupported_share("gpu") == pytest.approx(1 / 5)
    assert report.unsupported_share("dsp") == 1
    assert report.unsupported_mac_share("gpu") == 0
    assert report.unsupported_mac_share("dsp") == 1


def test_greedy_placement_is_priced() -> None:
    report = check_report(chain(), TARGET)
    assert [node.greedy for node in report.nodes] == ["gpu", "gpu", "cpu", "gpu", "gpu"]
    assert report.partitions == 3
    image, feature_map = 4 * 3 * 64, 4 * 4 * 64
    assert report.transfer_bytes == image + 3 * feature_map  # in; to the CPU and back; the view's bytes out


def test_a_value_crosses_once_per_destination() -> None:
    graph = units_of(
        """g (float[1,4,8,8] x) => (y) {
            a = Relu(x)
            p = CumSum(a, axis)
            q = ReduceMin(a, axis1)
            y = Add(p, q)
        }""",
        axis=np.array(1),
        axis1=np.array([1]),
    )
    report = check_report(graph, TARGET)
    assert [node.greedy for node in report.nodes] == ["gpu", "cpu", "cpu", "gpu"]
    full, row = 4 * 4 * 64, 4 * 64
    assert report.transfer_bytes == full + full + (full + row) + full


def test_exit_codes() -> None:
    assert check_report(chain(), TARGET).exit_code == 1
    assert check_report(units_of("g (float[1,3] x) => (y) { y = Relu(x) }"), TARGET).exit_code == 0
    nowhere = units_of("g (float[1,3] x) => (y) { y = LpNormalization(x) }")
    assert check_report(nowhere, TARGET).exit_code == 2


def test_json_is_plain_and_complete() -> None:
    data = json.loads(json.dumps(check_report(chain(), TARGET).to_json()))
    assert (data["schema"], data["target"], data["partitions"]) == (1, "sd855", 3)
    node = data["nodes"][2]
    assert (node["op"], node["unit"]) == ("CumSum", node["name"])
    assert set(node["verdicts"]) == {"cpu", "gpu", "dsp"}
    assert set(node["verdicts"]["gpu"]) == {"level", "reason", "hint", "message"}
    assert data["unsupported_share"]["gpu"] == pytest.approx(0.2)


def test_text_groups_operators_and_tells_every_reason_once() -> None:
    text = rendered(chain())
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    assert text.count("gpu: no-opencl-kernel (1 node:") == 1
    assert "cpu: generic-kernel" in text
    assert "3 partitions" in text
    assert "20.0%" in text


def test_fallbacks_are_marked_with_their_price(golden: Callable[[str], None]) -> None:
    graph = chain()
    report = check_report(graph, TARGET, price_fallbacks(assess(graph, TARGET, Phases()), TARGET))
    data = report.to_json()
    assert [node["fallback"] for node in data["nodes"]] == [None, None, 0, None, None]
    (fallback,) = data["fallbacks"]
    assert (fallback["units"], fallback["accelerator"], fallback["transfers"]) == (("CumSum_2",), "gpu", 2)
    assert data["greedy_us"] - data["without_fallbacks_us"] == fallback["added_us"] > 0
    golden(text_of(report))


def test_text_does_not_grow_with_the_model() -> None:
    nodes = "a0 = CumSum(x, axis) " + " ".join(f"a{i + 1} = CumSum(a{i}, axis)" for i in range(60))
    long = units_of(f"g (float[4,4] x) => (a60) {{ {nodes} }}", axis=np.array(1))
    assert len(rendered(long).splitlines()) <= len(rendered(chain()).splitlines())
    assert "and 58 more" in rendered(long)


def test_model_without_operators() -> None:
    empty = CheckReport("sd855", ("gpu", "dsp"), (), partitions=0, transfer_bytes=0)
    assert empty.exit_code == 0
    assert empty.to_json()["unsupported_share"] == {}
    assert "no operators" in text_of(empty)


@pytest.mark.parametrize("name", ["mobilenetv3_small", "shufflenetv2", "bert_tiny"])
def test_published_networks_run_somewhere(name: str) -> None:
    model = import_model(zoo.build(name))
    run_pipeline(model, optimisation_level("O1"))
    report = check_report(fuse(model), TARGET)
    assert report.exit_code in (0, 1)
    assert report.unsupported_share("cpu") == 0
    assert report.unsupported_mac_share("gpu") == 0
