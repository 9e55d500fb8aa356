"""Ratios, means and the table of the benchmarks."""

import json
import math

import pytest

from benchmarks.models import document
from benchmarks.table import Row, geometric_mean, markdown
from benchmarks.turns import Result

ROW = Row(
    "net",
    {
        "hetpart": Result("measured", error=1e-6, cpu_ms=6.0, wall_ms=4.0, runs=5),
        "onnxruntime": Result("measured", error=0.0, cpu_ms=8.0, wall_ms=3.2, runs=5),
        "mnn": Result("measured", error=1e-6, cpu_ms=120.0, wall_ms=120.0, runs=5),
        "ncnn": Result("wrong", "relative L2 error 2.0e-01", 0.2),
        "iree": Result("absent", "iree-base-compiler is not installed"),
    },
)


def test_ratios_are_hetpart_s_time_over_the_other_s() -> None:
    assert ROW.ratio("onnxruntime") == 0.75
    assert ROW.ratio("mnn") == 0.05
    assert ROW.ratio("ncnn") is None
    assert ROW.ratio("openvino") is None
    assert ROW.fastest_other == "onnxruntime"


def test_several_cores_are_compared_by_wall_time() -> None:
    assert Row("net", ROW.results, wall=True).ratio("onnxruntime") == 1.25


def test_a_model_that_hetpart_cannot_run_has_no_ratio() -> None:
    row = Row("net", ROW.results | {"hetpart": Result("failed", "no kernel")})
    assert row.ratio(row.fastest_other) is None
    assert "| net | failed | 8.00 |" in markdown([row], ["hetpart", "onnxruntime"])


def test_geometric_mean() -> None:
    assert geometric_mean([0.5, None, 2.0, 8.0]) == pytest.approx(2.0)
    assert geometric_mean([None]) is None


def test_the_table_says_who_was_not_measured_and_why() -> None:
    assert markdown([ROW, Row("other", {"onnxruntime": ROW.results["onnxruntime"]})], list(ROW.results)) == "\n".join(
        [
            "| model | hetpart ms | onnxruntime ms | mnn ms | ncnn ms | iree ms | hetpart / onnxruntime "
            "| hetpart / fastest other |",
            "| --- | --: | --: | --: | --: | --: | --: | --: |",
            "| net | 6.00 | 8.00 | 120.0 | wrong | absent | 0.75 | 0.75 (onnxruntime) |",
            "| other | – | 8.00 | – | – | – | – | – |",
            "| **geometric mean of hetpart / it** |  | 0.75 | 0.05 | – | – | 0.75 | 0.75 |",
            "",
            "- iree: absent: iree-base-compiler is not installed",
            "- ncnn, net: wrong: relative L2 error 2.0e-01",
        ]
    )


def test_the_document_holds_everything_and_is_json() -> None:
    data = json.loads(json.dumps(document({"date": "today"}, [150.04], [ROW])))
    assert data["peak_gflops"] == [150.0]
    assert data["models"]["net"]["engines"]["ncnn"]["reason"] == "relative L2 error 2.0e-01"
    assert data["models"]["net"]["ratio_fastest_other"] == 0.75
    assert math.isclose(data["geometric_mean"]["ratio_onnxruntime"], 0.75)
