"""docs/fallback.md holds what the command makes, and what it says of the tables is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fallback import (
    INT8_HEAD,
    NETWORKS,
    PROFILES_HEAD,
    QUANTISED,
    SCHEMES_HEAD,
    imported,
    int8_row,
    profiles_row,
    schemes_row,
)
from hetpart.oracle.profiles.schemes import SCHEMES, Scheme, count
from hetpart.targets import load_target

PAGE = (Path(__file__).parents[2] / "docs" / "fallback.md").read_text().splitlines()
CASES = [pytest.param(n, marks=[pytest.mark.slow] if n == "vgg16" else []) for n in NETWORKS]


@pytest.mark.parametrize("network", CASES)
def test_the_page_is_up_to_date(network: str) -> None:
    for row in (schemes_row(network), profiles_row(network)):
        assert row in PAGE, "run `make fallback-report`"


@pytest.mark.parametrize("network", QUANTISED)
def test_the_page_is_up_to_date_on_quantised_networks(network: str) -> None:
    assert int8_row(network) in PAGE, "run `make fallback-report`"


def test_the_page_has_all_rows_and_no_other() -> None:
    assert {*SCHEMES_HEAD, *PROFILES_HEAD, *INT8_HEAD} <= set(PAGE)
    for name, networks in (("schemes", NETWORKS), ("profiles", NETWORKS), ("int8", QUANTISED)):
        rows = PAGE[PAGE.index(f"<!-- {name} -->") + 3 : PAGE.index(f"<!-- end of {name} -->")]
        assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(networks)


@pytest.mark.parametrize("network", CASES)
def test_parallel_schemes_support_less_than_one_processor_with_the_same_kernels(network: str) -> None:
    target = load_target("sd855")
    model = imported(network)
    for scheme in SCHEMES:
        if scheme.parallel:
            alone = [count(model, Scheme("alone", (profile,)), target).share for profile in scheme.profiles]
            assert count(model, scheme, target).share > max(alone)


def test_the_words_about_resnet50_are_its_numbers() -> None:
    words = " ".join(PAGE)
    target, model = load_target("sd855"), imported("resnet50")
    counts = {scheme.name: count(model, scheme, target) for scheme in SCHEMES}
    buffer, image, layers = (f"{counts[n].share:.0%}" for n in ("CoDL, buffer", "CoDL, image", "muLayer, buffer"))
    alone = f"{counts['CoDL, buffer'].own_share:.0%}"
    spaced = [share.replace("%", " %") for share in (buffer, image, layers, alone)]
    assert (
        "ResNet-50 under CoDL: {} with buffers, {} with images; {} under muLayer. "
        "Without the added operators {}.".format(*spaced)
    ) in " ".join(words.split())
    nodes = [node.op_type for node in model.graph if node.op_type != "BatchNormalization"]
    divided = sum(op in ("Conv", "MaxPool", "Gemm") for op in nodes)
    assert (
        f"ONNX nodes instead ({len(nodes)} after folding batch normalisation), of which {divided} can be divided, "
        f"gives {1 - divided / len(nodes):.0%}".replace("%", " %")
    ) in " ".join(words.split())
