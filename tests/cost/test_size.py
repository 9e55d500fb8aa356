"""Parameters and multiply-adds, beside the count of the sample networks and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from examples import zoo
from hetpart.cost.size import Size, model_size
from hetpart.frontend import import_model
from hetpart.passes.fuse import fuse
from hetpart.passes.pipeline import optimisation_level, run_pipeline
from tests.passes.support import draw, parse
from tests.unit_graphs import units_of


def test_by_hand() -> None:
    graph = units_of(
        "g (float[2,3,8,8] x) => (y) { c = Conv<pads=[1,1,1,1]>(x, w, b) y = Relu(c) }", w=(16, 3, 3, 3), b=(16,)
    )
    found = model_size(graph)
    assert found == Size(16 * 27 + 16, 2 * 16 * 27 * 64)
    assert found.flops == 2 * found.macs


def test_tied_weights_count_once_and_shapes_do_not() -> None:
    model = parse(
        "(float[1,8] x) => (float[2,4] y) { a = MatMul(x, w) b = MatMul(a, w) y = Reshape(b, s) }",
        w=draw(8, 8),
        s=np.array([2, 4]),
    )
    run_pipeline(model, optimisation_level("O1"))
    assert len([v for v in model.graph.initializers.values() if v.shape == (8, 8)]) == 2  # un-shared
    assert model_size(fuse(model)) == Size(64, 128)


NORMALISED = {"squeezenet": 0, "mobilenetv2": 17056, "resnet18": 4800, "bert_tiny": 0}
"""Channels behind convolutions without bias: folding turns scale and bias of a normalisation into one bias."""

POSITIONS_NOT_READ = {"bert_tiny": (512 - 128) * 128}


@pytest.mark.parametrize("name", NORMALISED)
def test_sample_networks(name: str) -> None:
    """The zoo counts on its own, in the files; hetpart counts what is left when everything constant is folded."""
    proto = zoo.build(name)
    model = import_model(proto)
    run_pipeline(model, optimisation_level("O1"))
    found = model_size(fuse(model))
    assert found.macs == zoo.macs(proto)
    assert found.parameters == zoo.parameters(proto) - NORMALISED[name] - POSITIONS_NOT_READ.get(name, 0)
