"""A model without its large weights: what the importer works on.

ONNX's C++ helpers and the simplifier take and return whole protobuf messages. To keep gigabytes out of these copies
(and below protobuf's 2 GiB), every initialiser above `LARGE_BYTES` is taken out and stands as a graph input of the
same name, type and shape until `Skeleton.attach` puts it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import Message

from hetpart.errors import HetpartError

LARGE_BYTES = 64 * 1024
"""Weights above this size are taken out; no shape, axis or index list that folding needs is that large."""


@dataclass(frozen=True)
class Skeleton:
    """`model` in which every name of `weights` is a graph input; all other initialisers are inside and in memory."""

    model: onnx.ModelProto
    weights: dict[str, ir.TensorProtocol]

    @classmethod
    def of_proto(cls, source: onnx.ModelProto, base_dir: str | Path) -> Skeleton:
        """The skeleton of `source`, which is not changed; external data lie relative to `base_dir`."""
        model = onnx.ModelProto()
        _copy_fields(source, model, without="graph")
        _copy_fields(source.graph, model.graph, without="initializer")
        _lift_large_constants(model.graph)
        lifted = list(model.graph.initializer)
        del model.graph.initializer[:]
        skeleton = cls(model, {})
        for proto in (*source.graph.initializer, *lifted):
            _check_proto(proto)
            try:
                tensor = ir.serde.deserialize_tensor(proto, base_dir)
            except (TypeError, ValueError, ir.serde.SerdeError) as error:
                why = error.__cause__ or error  # a SerdeError says only where
                raise HetpartError("invalid-model", f"an initialiser is malformed: {why}", node=proto.name) from error
            skeleton._add(tensor)
        skeleton._declare_weights()
        return skeleton

    @classmethod
    def of_ir(cls, source: ir.Model) -> Skeleton:
        """The skeleton of `source`, which is not changed; tensors are shared with it."""
        clone = source.clone()
        tensors = []
        for name, value in list(clone.graph.initializers.items()):
            if value.const_value is None:
                raise HetpartError("initialiser-without-data", "an initialiser has no data", node=name)
            tensors.append((name, value.const_value))
            clone.graph.initializers.pop(name)
        skeleton = cls(ir.to_proto(clone), {})
        for name, tensor in tensors:
            skeleton._add(tensor, name)
        skeleton._declare_weights()
        return skeleton

    def attach(self, model: onnx.ModelProto) -> ir.Model:
        """`model`, made from this skeleton's, with its weights; those that nothing reads any more are dropped."""
        read = {name for node in model.graph.node for name in node.input}
        read.update(output.name for output in model.graph.output)
        result = ir.from_proto(model)
        for value in list(result.graph.inputs):
            if value.name in self.weights:
                result.graph.inputs.remove(value)
                if value.name in read:
                    value.const_value = self.weights[value.name]
                    result.graph.register_initializer(value)
        return result

    def _add(self, tensor: ir.TensorProtocol, name: str | None = None) -> None:
        name = name or tensor.name or ""
        _check_data(tensor, name)
        if tensor.nbytes > LARGE_BYTES:
            if name in self.weights:
                raise HetpartError("duplicate-name", "two initialisers have one name", node=name)
            self.weights[name] = tensor
        else:
            proto = ir.to_proto(ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=name))
            self.model.graph.initializer.append(proto)

    def _declare_weights(self) -> None:
        """Make graph inputs of the large weights, and only of them (IR 3 lists all initialisers as inputs too)."""
        if self.model.ir_version == 3:
            self.model.ir_version = 4  # from which on initialisers need not be inputs
        graph = self.model.graph
        initialized = self.weights.keys() | {tensor.name for tensor in graph.initializer}
        for value in [value for value in graph.input if value.name in initialized]:
            graph.input.remove(value)
        for name, tensor in self.weights.items():
            shape = [int(size) for size in tensor.shape.numpy()]
            graph.input.append(onnx.helper.make_tensor_value_info(name, tensor.dtype, shape))


def _copy_fields(source: Message, target: Message, *, without: str) -> None:
    """Copy all set fields but one, without ever copying that one."""
    for field, value in source.ListFields():
        if field.name == without:
            continue
        if field.is_repeated:
            getattr(target, field.name).extend(value)
        elif field.message_type:
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)


def _lift_large_constants(graph: onnx.GraphProto) -> None:
    """Some exporters keep weights in Constant nodes: make initialisers of the large ones."""
    for node in [node for node in graph.node if node.op_type == "Constant" and len(node.output) == 1]:
        for attribute in node.attribute:
            if attribute.name == "value" and attribute.t.ByteSize() > LARGE_BYTES:
                tensor = graph.initializer.add()
                tensor.CopyFrom(attribute.t)
                tensor.name = node.output[0]
                graph.node.remove(node)
                break


def _check_proto(proto: onnx.TensorProto) -> None:
    if proto.data_type == onnx.TensorProto.STRING:
        raise HetpartError("unsupported-dtype", "an initialiser holds strings", node=proto.name)
    fields = {field.name for field, _ in proto.ListFields()}
    if 0 not in proto.dims and not any(name.endswith("_data") for name in fields):  # "external_data" is one too
        raise HetpartError("initialiser-without-data", "an initialiser has no data", node=proto.name)


def _check_data(tensor: ir.TensorProtocol, name: str) -> None:
    """Refuse a tensor whose data are missing, too short, or outside the model's directory."""
    if isinstance(tensor, ir.ExternalTensor):
        _check_external(tensor, name)
    try:
        tensor.numpy()  # a view: maps an external file, copies no raw data
    except (ValueError, AssertionError) as error:  # the latter: of a field that its type does not use
        code = "external-data-unsafe" if isinstance(tensor, ir.ExternalTensor) else "initialiser-without-data"
        raise HetpartError(code, f"the data of an initialiser cannot be used: {error}", node=name) from error


def _check_external(tensor: ir.ExternalTensor, name: str) -> None:
    path = Path(tensor.path)
    if not path.is_file():
        raise HetpartError(
            "external-data-missing",
            f"the weights of initialiser '{name}' should be in '{path}', which does not exist",
            node=name,
            hint="keep the external data file beside the .onnx file, and import the model by its path",
        )
    end = (tensor.offset or 0) + tensor.nbytes
    size_bytes = path.stat().st_size
    if end > size_bytes or (tensor.length is not None and tensor.length != tensor.nbytes):
        raise HetpartError(
            "external-data-truncated",
            f"initialiser '{name}' needs bytes up to {end} of '{path}', which has {size_bytes} (recorded length: "
            f"{tensor.length}, needed by its shape: {tensor.nbytes})",
            node=name,
            hint="fetch or export the model again",
        )
