"""`onnx.backend.base.Backend` on top of the compiler: prepare is compile, run is the C runtime.

hetpart compiles static shapes. Where a model's shapes, or parameters that its kernels need at compile time, are inputs
of the model (the shape of a Reshape, the axes of a reduction: see `hetpart.backend.parameters`), the model is compiled
at `run`, for the values it is given, and again whenever these change. All other inputs stay inputs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep, Device, DeviceType, namedtupledict

from hetpart.api import compile, load
from hetpart.backend.parameters import parameter_inputs
from hetpart.compiler import Options
from hetpart.errors import HetpartError
from hetpart.runtime.session import Session

_KEPT = 4
"""Compiled variants that a `HetpartRep` keeps, one per set of parameter values."""


class HetpartRep(BackendRep):
    """A prepared model.

    Attributes:
        parameters: names of the inputs for whose values the model is compiled anew.
    """

    def __init__(self, model: onnx.ModelProto, options: Options, verify: str) -> None:
        initialised = {tensor.name for tensor in model.graph.initializer}
        self._model = model
        self._options = options
        self._verify = verify
        self._inputs = [value for value in model.graph.input if value.name not in initialised]
        self._sessions: dict[tuple[Any, ...], Session] = {}
        self.parameters = parameter_inputs(model)
        if not self.parameters and all(_is_static(value) for value in self._inputs):
            self._sessions[()] = self._compile({}, {})

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Outputs in the model's order, as a named tuple.

        Args:
            inputs: arrays in the order of the model's inputs, or by name.
            kwargs: none are known.

        Raises:
            HetpartError: the inputs are not the model's, or the model cannot be compiled for them.
        """
        arrays = self._arrays(inputs)
        session = self._session(arrays)
        wanted = {port.name for port in session.manifest.inputs}
        outputs = session.run({name: array for name, array in arrays.items() if name in wanted})
        names = [output.name for output in self._model.graph.output]
        return namedtupledict("Outputs", names)(*(outputs[name] for name in names))

    def _arrays(self, inputs: Any) -> dict[str, np.ndarray]:
        names = [value.name for value in self._inputs]
        given = dict(inputs) if isinstance(inputs, dict) else dict(zip(names, inputs, strict=False))
        if len(inputs) != len(names) or given.keys() != set(names):
            raise HetpartError(
                "bad-input", f"the model has the inputs {', '.join(names) or 'none'}; {len(inputs)} given"
            )
        for name, array in given.items():
            if not isinstance(array, np.ndarray | np.generic):
                raise HetpartError("unsupported-dtype", f"input '{name}' is a {type(array).__name__}, not an array")
        return {name: np.asarray(given[name]) for name in names}

    def _session(self, arrays: dict[str, np.ndarray]) -> Session:
        if () in self._sessions:
            return self._sessions[()]
        key = tuple(
            (array.shape, str(array.dtype), array.tobytes() if name in self.parameters else b"")
            for name, array in arrays.items()
        )
        if key not in self._sessions:
            values = {name: arrays[name] for name in self.parameters}
            dynamic = {value.name for value in self._inputs if not _is_static(value)}.difference(self.parameters)
            shapes = {name: arrays[name].shape for name in dynamic}
            session = self._compile(values, shapes)
            while len(self._sessions) >= _KEPT:
                self._sessions.pop(next(iter(self._sessions))).close()
            self._sessions[key] = session
        return self._sessions[key]

    def _compile(self, values: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]]) -> Session:
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        for name, array in values.items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        inputs = [value for value in model.graph.input if value.name not in values]
        del model.graph.input[:]
        model.graph.input.extend(inputs)
        with tempfile.TemporaryDirectory(prefix="hetpart-") as folder:
            path = Path(folder) / "model.hetpart"
            options = replace(self._options, shapes=shapes)
            compile(model, "host", output=path, options=options, verify=self._verify)
            return load(path)  # the runtime maps what it needs: the files may go


class HetpartBackend(Backend):
    """The backend; all its methods are class methods, as ONNX has it.

    Keyword arguments of `prepare`, `run_model` and `run_node`:
        strategy: where the units run, see `hetpart.partition.STRATEGIES`; ``cpu`` by default.
        verify: what is compared with onnxruntime before the first run, see `hetpart.rehearse.MODES`.
        use_cache: reuse compiled kernels.
    """

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether `prepare` would take the model; with parameters as inputs, that shows only at `run`."""
        try:
            cls.prepare(model, device, **kwargs)
        except HetpartError:
            return False
        return True

    @classmethod
    def prepare(
        cls,
        model: onnx.ModelProto,
        device: str = "CPU",
        *,
        strategy: str = "cpu",
        verify: str = "outputs",
        use_cache: bool = True,
        **kwargs: Any,
    ) -> HetpartRep:
        """Compile `model` for this machine.

        Raises:
            HetpartError: the model cannot be compiled; the code says why. ``bad-option`` for another device or an
                unknown keyword.
        """
        if not cls.supports_device(device):
            raise HetpartError("bad-option", f"there is no device '{device}'", hint="the device of this backend is CPU")
        if kwargs:
            raise HetpartError("bad-option", f"there is no option '{min(kwargs)}'")
        return HetpartRep(model, Options(strategy=strategy, use_cache=use_cache, workers=1), verify)

    @classmethod
    def run_node(  # type: ignore[override]  # onnx's signature says that each keyword is a dict
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype, tuple[int, ...]]] | None = None,
        *,
        opset_version: int | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Outputs of one node for `inputs`, arrays in the order of the node's inputs that are not left out."""
        names = list(dict.fromkeys(name for name in node.input if name))
        arrays = [np.asarray(array) for array in inputs]
        if len(names) != len(arrays):
            raise HetpartError("bad-input", f"{node.op_type} reads {len(names)} inputs; {len(arrays)} given")
        helper = onnx.helper
        values = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in zip(names, arrays, strict=True)
        ]
        results = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = helper.make_graph([node], node.op_type, values, results)
        version = opset_version or onnx.defs.onnx_opset_version()
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid(node.domain, version)])
        typed = onnx.shape_inference.infer_shapes(model)  # the checker wants types on outputs
        return cls.prepare(typed, device, **kwargs).run(arrays)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Whether `device` is the CPU: what else a model runs on is up to its placement."""
        try:
            return bool(Device(device).type == DeviceType.CPU)
        except (AttributeError, ValueError):
            return False


def _is_static(value: onnx.ValueInfoProto) -> bool:
    tensor = value.type.tensor_type
    return value.type.WhichOneof("value") != "tensor_type" or (
        tensor.HasField("shape") and all(dim.dim_value > 0 for dim in tensor.shape.dim)
    )
