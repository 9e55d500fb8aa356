"""ONNX's backend tests, as plain data: model, inputs, expected outputs, and whether they are in the static subset."""

from __future__ import annotations

import gc
import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.backend.test.loader import load_model_tests

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
"""Suites of the onnx wheel that need no download."""

_STANDARD = frozenset(
    {
        TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE, TensorProto.BOOL,
        TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
        TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64,
    }
)  # fmt: skip

_CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})
_DATA_DEPENDENT_SHAPE = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


@dataclass(frozen=True)
class Case:
    """One test.

    Attributes:
        name: ONNX's name of it.
        kind: one of `KINDS`.
        model: what is run.
        data: pairs of inputs and expected outputs; what is no array (a sequence, say) stays what it is.
        rtol: ONNX's relative tolerance.
        atol: ONNX's absolute tolerance.
    """

    name: str
    kind: str
    model: onnx.ModelProto
    data: list[tuple[list[Any], list[Any]]]
    rtol: float
    atol: float

    @property
    def operator(self) -> str:
        """The operator under test: that of the first node; of an expanded function, the function."""
        if self.kind != "node":
            return self.kind
        if "_expanded" in self.name:
            return "(function bodies)"
        return self.model.graph.node[0].op_type if self.model.graph.node else "(empty)"

    @property
    def shard(self) -> int:
        """A number from 0 to 15 that depends on the name only."""
        return hashlib.sha256(self.name.encode()).digest()[0] % 16


def load_cases() -> list[Case]:
    """All tests of `KINDS`, by name. Takes about ten seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the tests compute infinities on purpose
        found = [(kind, case) for kind in KINDS for case in load_model_tests(kind=kind)]
    cases = []
    for kind, case in found:
        folder = None if case.model_dir is None else Path(case.model_dir)
        model = case.model if folder is None else onnx.load(folder / "model.onnx")
        data = (
            [(list(map(_plain, given)), list(map(_plain, wanted))) for given, wanted in case.data_sets]
            if folder is None
            else [_data_set(path) for path in sorted(folder.glob("test_data_set_*"))]
        )
        cases.append(Case(case.name, kind, model, data, case.rtol, case.atol))
    gc.freeze()  # a million objects that stay, through which the garbage collector need not go every time
    return sorted(cases, key=lambda case: case.name)


def why_not_static(case: Case) -> str | None:
    """Why a test is outside of the static subset: what hetpart does not set out to compile; None if it is inside."""
    for node in _nodes(case.model.graph.node):
        if node.domain not in ("", "ai.onnx"):
            return "another operator set"
        if node.op_type in _CONTROL_FLOW:
            return "control flow"
        if node.op_type in _DATA_DEPENDENT_SHAPE:
            return "a shape that depends on data"
        if node.op_type in _RANDOM:
            return "random"
    if _trains(case):
        return "training"
    for value in (*case.model.graph.input, *case.model.graph.output):
        if (kind := value.type.WhichOneof("value")) != "tensor_type":
            return str(kind).removesuffix("_type")
        if (dtype := value.type.tensor_type.elem_type) not in _STANDARD:
            return f"element type {TensorProto.DataType.Name(dtype).lower()}"
    return None


def _trains(case: Case) -> bool:
    for node in case.model.graph.node:
        if any(attribute.name == "training_mode" and attribute.i for attribute in node.attribute):
            return True
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
            position = [value.name for value in case.model.graph.input].index(node.input[2])
            if any(np.any(inputs[position]) for inputs, _ in case.data):
                return True
    return False


def _nodes(nodes: Any) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            yield from _nodes(attribute.g.node)


def _plain(value: Any) -> Any:
    """`value`, or its array where a test is written with messages."""
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value


def _data_set(folder: Path) -> tuple[list[Any], list[Any]]:
    def read(stem: str) -> list[Any]:
        files = sorted(folder.glob(f"{stem}_*.pb"), key=lambda path: int(path.stem.split("_")[-1]))
        return [_array(path.read_bytes()) for path in files]

    return read("input"), read("output")


def _array(data: bytes) -> Any:
    tensor = TensorProto()
    try:
        tensor.ParseFromString(data)
        return numpy_helper.to_array(tensor)
    except Exception:  # a sequence or an optional: its model is refused before the data matter
        return data
