"""What the phones' target files take from the law, and how compile and predict agree on it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.phones import derive
from benchmarks.phones.rows import networks
from benchmarks.phones.tables import PAGE, choices, ratio
from hetpart.cost.fitted import as_published, class_times
from hetpart.cost.predict import OWN, predict_latency
from hetpart.targets import load_target


@pytest.mark.parametrize("target", derive.TARGETS)
def test_the_files_have_the_derived_figures(target: str) -> None:
    """A fit that changed asks for `make cost-tables`."""
    assert derive.rewritten(target) == (derive.FOLDER / f"{target}.toml").read_text()


def test_the_page_is_that_of_the_fit() -> None:
    text = PAGE.read_text()
    assert [line for line in text.splitlines() if line in choices()] == choices()
    for network in ("mobilenetv2", "squeezenet"):
        assert f"| {network} | {ratio(network, 'cpu'):.2f} | {ratio(network, 'gpu'):.2f} |" in text


@pytest.mark.parametrize("processor", ["cpu", "gpu"])
@pytest.mark.parametrize("network", ["mobilenetv2", "squeezenet"])
def test_compile_and_predict_agree_where_kernels_are_the_same(network: str, processor: str) -> None:
    """hetpart fuses additions, so its sum is a little lower, and never much higher."""
    assert 0.85 < ratio(network, processor) < 1.02


@pytest.mark.parametrize("target", ["sd855", "sd888"])
@pytest.mark.parametrize("processor", ["cpu", "gpu"])
def test_predict_takes_no_slower_engine_than_the_target(target: str, processor: str) -> None:
    taken = derive.fastest(target, processor, "fp32")
    law = load_target(target).processor(processor).cost.law
    assert (law.chip, law.fp32) == (target, taken.engine)
    for table in list(networks().values())[:5]:
        flat = [layer for layer, count in table for _ in range(count)]
        own, other = (predict_latency(flat, replace(taken, engine=name)) for name in (OWN, taken.engine))
        assert own.latency_us <= other.latency_us


def test_parts_of_the_law_add_up() -> None:
    setting = as_published(derive.fastest("sd855", "cpu", "fp32"))
    table = networks()["mobilenet_v2"]
    parts = [sum(class_times([layer], setting).values()) * count for layer, count in table]
    layers = [layer for layer, count in table for _ in range(count)]
    assert sum(parts) == pytest.approx(predict_latency(layers, setting).latency_us / 1e3)
