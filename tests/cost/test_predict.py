"""The law of phone latencies: stored parameters, what is refused, and what must hold for any prediction."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks.phones.fit import designs, fit
from benchmarks.phones.layers import read_tables, tabulate
from benchmarks.phones.networks import NETWORKS
from benchmarks.phones.report import PAGE, page
from benchmarks.phones.rows import read_rows
from hetpart.compiler import Options, prepare
from hetpart.cost import fitted, predict
from hetpart.cost.law import latency_ms
from hetpart.cost.layers import layers
from hetpart.cost.phones import Setting
from hetpart.errors import HetpartError
from hetpart.phases import Phases

SETTING = Setting("sd855", "ncnn", "cpu", "fp16", 1)


@pytest.fixture(scope="module")
def tables():
    return read_tables()


def flat(table):
    return [layer for layer, count in table for _ in range(count)]


def test_refit_gives_the_stored_parameters(tables) -> None:
    rows = read_rows()
    stored = fitted.stored()["effects"]
    design = designs(rows, tables)
    found = fit(rows, design)
    assert found.keys() == stored.keys()
    for terms in design:
        fresh, kept = (sum(latency_ms(terms, effects).values()) for effects in (found, stored))
        assert fresh == pytest.approx(kept, rel=1e-2)


@pytest.mark.parametrize("name", ["mobilenet_v2", "shufflenet_v1", "blazeface"])
def test_layer_tables_are_those_of_the_graphs(name, tables) -> None:
    graph, _ = prepare(NETWORKS[name](), Options(), Phases())
    assert tabulate(layers(graph)) == tables[name]


@pytest.mark.parametrize(
    ("network", "millions"),
    [("mobilenet_v1-1.0-224", 569), ("mobilenet_v2", 301), ("inception_v3", 5713), ("inception_v4", 12254)],
)
def test_published_multiply_adds(network, millions, tables) -> None:
    macs = sum(layer.macs * count for layer, count in tables[network])
    assert macs / 1e6 == pytest.approx(millions, rel=0.005)


def test_known_latency_is_met(tables) -> None:
    """ncnn, SD855+, one thread, fp16: ResNet-50 takes 65.93 ms (Tencent/ncnn, benchmark/README.md)."""
    found = predict.predict_latency(flat(tables["resnet50-caffe"]), replace(SETTING, chip="sd855plus"))
    assert found.latency_us == pytest.approx(65930, rel=0.15)
    assert found.low_us < found.latency_us < found.high_us
    assert sum(found.shares.values()) == pytest.approx(1)
    assert not found.extrapolated


def test_more_layers_take_longer(tables) -> None:
    half, whole = (predict.predict_latency(flat(tables[n]), SETTING) for n in ("vgg13", "vgg19"))
    assert half.latency_us < whole.latency_us


def test_without_data_it_says_so_and_widens_the_band(tables) -> None:
    near = predict.predict_latency(flat(tables["resnet50"]), replace(SETTING, processor="gpu", threads=0))
    far = predict.predict_latency(
        flat(tables["resnet50"]), replace(SETTING, chip="kirin985", processor="gpu", threads=0)
    )
    assert "kirin985" in far.extrapolated
    assert far.high_us / far.latency_us > near.high_us / near.latency_us


def test_the_band_is_the_chips_where_enough_is_published(tables) -> None:
    table, errors = flat(tables["resnet50"]), fitted.stored()["errors"]
    for chip, key in (("sd835", "family/cpu/sd835"), ("kirin990-5g", "family/cpu")):
        found = predict.predict_latency(table, replace(SETTING, chip=chip, engine="paddle-lite", dtype="fp32"))
        assert not found.extrapolated
        assert math.log(found.high_us / found.latency_us) == pytest.approx(errors[key]["p80_log"])
        assert math.log(found.latency_us / found.low_us) == pytest.approx(errors[key]["p80_log"])
        assert str(errors[key]["rows"]) in found.band_of
        assert (chip in found.band_of) == key.endswith(chip)


def test_own_engine_is_the_fastest_published(tables) -> None:
    own = predict.predict_latency(flat(tables["resnet50"]), replace(SETTING, engine="hetpart"))
    other = predict.predict_latency(flat(tables["resnet50"]), SETTING)
    assert own.engine == "hetpart"
    assert own.setting.engine in fitted.engines("cpu")
    assert own.latency_us <= other.latency_us


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"chip": "host"}, "unknown-chip"),
        ({"engine": "caffe"}, "unknown-engine"),
        ({"processor": "dsp"}, "unknown-processor"),
        ({"dtype": "int4"}, "unknown-dtype"),
        ({"dtype": "int8", "processor": "gpu"}, "unknown-dtype"),
        ({"threads": 9}, "bad-threads"),
    ],
)
def test_refused(change, code, tables) -> None:
    with pytest.raises(HetpartError) as caught:
        predict.predict_latency(flat(tables["vgg13"]), replace(SETTING, **change))
    assert caught.value.code == code


def test_the_page_is_that_of_the_stored_errors() -> None:
    assert PAGE.read_text() == page()
