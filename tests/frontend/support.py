"""What the frontend's tests share: models from text, and the check that importing keeps a model's meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper, parser

from examples import zoo
from hetpart.errors import HetpartError, InternalError
from hetpart.frontend import import_model
from tests.numerics import relative_error
from tests.passes.support import evaluate


def model_of(text: str, opset: int = 20, domain: str = "", **constants: np.ndarray) -> onnx.ModelProto:
    """A model as an exporter leaves it, from ``(float[1,3] x) => (float[1,3] y) { y = Relu(x) }``; nodes unnamed."""
    extra = f', "{domain}" : 1' if domain else ""
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}{extra}]> test {text}')
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items())
    return model


@contextmanager
def refused(code: str, *mentions: str, node: str | None = None) -> Iterator[None]:
    """The block raises a HetpartError, the user's and not ours, with this code, node and these words in its text."""
    with pytest.raises(HetpartError) as caught:
        yield
    assert not isinstance(caught.value, InternalError)
    assert caught.value.code == code
    assert node is None or caught.value.node == node
    for words in mentions:
        assert words in str(caught.value)


def same_function(
    source: onnx.ModelProto,
    *,
    tolerance: float = 1e-5,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    feeds: dict[str, np.ndarray] | None = None,
) -> ir.Model:
    """Import `source`, check that it is valid, typed and computes the same, and return the result."""
    imported = import_model(source, shapes=shapes, dims=dims)
    proto = ir.to_proto(imported)
    onnx.checker.check_model(proto, full_check=True)
    feeds = zoo.inputs(proto) if feeds is None else feeds
    expected = evaluate(source, feeds)
    for actual, wanted, value in zip(evaluate(proto, feeds), expected, imported.graph.outputs, strict=True):
        assert value.shape is not None
        assert tuple(value.shape.numpy()) == wanted.shape
        assert relative_error(actual, wanted) <= tolerance
    return imported


def op_types(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]
