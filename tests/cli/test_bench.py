"""``hetpart bench``: latency, and how busy each processor was."""

from __future__ import annotations

from pathlib import Path

from tests.cli.support import Cli


def test_json(cli: Cli, gpu_bundle: Path) -> None:
    result = cli("bench", gpu_bundle, "--runs", 4, "--warmup", 0, "--seed", 3, "--json")
    report = result.json()
    assert (result.code, result.err, report["schema"], report["runs"], report["plan"]) == (0, "", 1, 4, "main")
    latency_us = report["latency_us"]
    assert 0 < latency_us["p10"] <= latency_us["median"] <= latency_us["p90"]
    assert set(report["processors"]) == {"cpu", "gpu"}
    assert 0 < report["processors"]["gpu"]["busy_us"] < latency_us["p90"]
    assert report["predicted_us"] == cli("inspect", gpu_bundle, "--json").json()["plans"]["main"]["predicted_us"]


def test_human_output_stands_beside_the_prediction(cli: Cli, host_bundle: Path) -> None:
    out = cli("bench", host_bundle, "--runs", 2).out
    assert "2 runs after 5 for warming up" in out
    assert "; predicted " in out
    assert "  cpu: busy " in out
