"""The phones' cost tables: derived from the law, and in agreement with it on whole networks."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.phones import derive
from benchmarks.phones.tables import PAGE, TARGETS, compare, networks, page
from hetpart.cost.predict import class_times, predict_latency
from hetpart.targets import load_target


@pytest.mark.parametrize("target", TARGETS)
def test_the_files_have_the_derived_figures(target: str) -> None:
    """A fit that changed asks for `make cost-tables`."""
    assert derive.rewritten(target) == (derive.FOLDER / f"{target}.toml").read_text()


def test_the_page_is_that_of_the_tables() -> None:
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("processor", ["cpu", "gpu"])
def test_a_kernel_class_takes_as_long_by_the_table_as_by_the_law(processor: str) -> None:
    """Less what is bound by bandwidth; on sd855, networks weighing the same."""
    table = load_target("sd855").processor(processor).cost
    assert table is not None
    setting = derive._best("sd855", processor, "fp32")
    layers = derive._weighed(setting)
    for name in ("conv", "conv1x1", "conv3x3"):
        law_ms = derive._sum_law(layers, {name})
        rate = table.peak_gflops * table.efficiency[name]
        compute_ms = derive._sum(layers, {name}, lambda layer, rate=rate: 2e-6 * layer.macs / rate)  # type: ignore[misc]  # as there
        assert 0.6 * law_ms < compute_ms <= 1.01 * law_ms, name


@pytest.mark.parametrize("target", ["sd855", "sd888"])
@pytest.mark.parametrize("processor", ["cpu", "gpu"])
def test_compile_and_predict_agree_on_whole_networks(target: str, processor: str) -> None:
    """Within 10 % at the median, where both stand for the same engine."""
    found = compare(target, processor, "hetpart", networks())
    assert np.median(found.ratio) == pytest.approx(1, abs=0.1)
    assert found.rank_correlation > 0.97


def test_parts_of_the_law_add_up() -> None:
    setting = derive._best("sd855", "cpu", "fp32")
    table = networks()["mobilenet_v2"]
    parts = [sum(class_times([layer], setting).values()) * count for layer, count in table]
    layers = [layer for layer, count in table for _ in range(count)]
    assert sum(parts) == pytest.approx(predict_latency(layers, setting).latency_us / 1e3)
