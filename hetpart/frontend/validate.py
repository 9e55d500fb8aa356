"""Refuse, by name and with a reason, what hetpart cannot compile: before anything else is done, and at the end."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import TensorProto, defs

from hetpart.errors import HetpartError

OLDEST_OPSET = 6
"""ONNX's converter knows what opset 7 changed (NumPy broadcasting); not all of what came before."""

SUPPORTED_DTYPES = frozenset(
    {
        TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE, TensorProto.BOOL,
        TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
        TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64,
    }
)  # fmt: skip

_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
_CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})
_DOMAIN_HINTS = {
    "ai.onnx.ml": "classical machine learning (trees, scalers, encoders) is out of hetpart's scope: keep it in the app",
    "com.microsoft": "these are ONNX Runtime's own: export without its optimiser, or with opset operators only",
    "org.pytorch.aten": "the exporter fell through to ATen: export with a newer PyTorch or opset",
}


def name_nodes(graph: onnx.GraphProto) -> None:
    """Give every node a unique name: its own, or ``<OpType>_<index>``; a repeated one gets a number.

    To be called whenever nodes were made: onnxslim tells nodes apart by their names.
    """
    given = {node.name for node in graph.node if node.name}
    taken: set[str] = set()
    for index, node in enumerate(graph.node):
        base = node.name or f"{node.op_type}_{index}"
        name = base
        attempt = 1
        while name in taken or (name in given and name != node.name):
            name = f"{base}_{attempt}"
            attempt += 1
        node.name = name
        taken.add(name)


def has_subgraphs(graph: onnx.GraphProto) -> bool:
    """Whether a node of `graph` carries a graph of its own (If, Loop, Scan)."""
    return any(attribute.HasField("g") for node in graph.node for attribute in node.attribute)


def check_source(model: onnx.ModelProto) -> None:
    """Refuse a model (a named skeleton, otherwise as the user gave it) that hetpart cannot import.

    Raises:
        HetpartError: ``opset-too-old``, ``opset-too-new``, ``unknown-domain``, ``unknown-operator``,
            ``random-operator``, ``training-mode``, ``unsupported-dtype``, ``sparse-initialiser``, ``duplicate-name``,
            ``missing-name``, ``undefined-value`` or ``no-outputs``.
    """
    _check_ir_version(model)
    if not model.graph.output:
        raise HetpartError("no-outputs", "the model has no outputs, so there is nothing to compute")
    functions = {(function.domain, function.name) for function in model.functions}
    _check_nodes(model.graph.node, _opset_version(model), functions)
    for function in model.functions:
        _check_nodes(function.node, _opset_version(function), functions)
    if model.graph.sparse_initializer:
        name = model.graph.sparse_initializer[0].values.name
        raise HetpartError("sparse-initialiser", "sparse initialisers are not supported", node=name,
                           hint="export the model with dense weights")  # fmt: skip
    for value in (*model.graph.input, *model.graph.output):
        _check_type(value)
    for tensor in model.graph.initializer:
        _check_dtype(tensor.data_type, f"initialiser '{tensor.name}'", tensor.name)
    _check_names(model.graph)


def check_valid(model: onnx.ModelProto) -> None:
    """Let ONNX's own checker find what `check_source` does not look for.

    Raises:
        HetpartError: ``invalid-model``.
    """
    for output in model.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.shape.SetInParent()  # the checker wants one; inference will find the true one
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise HetpartError("invalid-model", f"the ONNX checker refuses the model: {error}".strip()) from error


def check_control_flow(graph: onnx.GraphProto) -> None:
    """Refuse If, Loop and Scan that folding did not resolve.

    Raises:
        HetpartError: ``control-flow``.
    """
    if node := next((node for node in graph.node if node.op_type in _CONTROL_FLOW), None):
        raise HetpartError(
            "control-flow",
            f"{node.op_type} '{node.name}' depends on data that are known only at run time",
            node=node.name,
            hint="export the model without data-dependent control flow (tracing, not scripting)",
        )


def check_result(model: onnx.ModelProto) -> None:
    """Refuse what folding and inference left dynamic, untyped or undecided.

    Raises:
        HetpartError: ``control-flow``, ``training-mode``, ``dynamic-shape``, ``impossible-shape`` or
            ``unsupported-dtype``, naming the node and the value.
    """
    check_control_flow(model.graph)
    types = {value.name: value for value in (*model.graph.input, *model.graph.value_info, *model.graph.output)}
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2] and not _is_false(model, node.input[2]):
            raise HetpartError("training-mode", f"Dropout '{node.name}' is in training mode", node=node.name,
                               hint="export the model for inference (model.eval())")  # fmt: skip
        for name in node.output:
            if not name or name in constants:
                continue
            if name not in types:
                raise HetpartError("dynamic-shape", f"the type of value '{name}' cannot be inferred", node=node.name)
            _check_type(types[name])
            _check_static(types[name], node)
            _check_possible(types[name], node)


def _check_ir_version(model: onnx.ModelProto) -> None:
    if model.ir_version > onnx.IR_VERSION:
        raise HetpartError(
            "opset-too-new", f"the model has IR version {model.ir_version}; the onnx package knows {onnx.IR_VERSION}",
            hint="update the onnx package, or export with an older opset",
        )  # fmt: skip


def _opset_version(model: onnx.ModelProto | onnx.FunctionProto) -> int | None:
    """The checked version of the main operator set, or None where only others are imported."""
    version = next((int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)
    if version is None:
        return None
    nodes = model.graph.node if isinstance(model, onnx.ModelProto) else model.node
    if version < OLDEST_OPSET and not all(_is_unchanged(node, version) for node in nodes):
        raise HetpartError(
            "opset-too-old", f"the model uses opset {version}; hetpart reads opset {OLDEST_OPSET} and up",
            hint="export it again with a newer opset, or run onnx.version_converter on it",
        )  # fmt: skip
    if version > defs.onnx_opset_version():
        raise HetpartError(
            "opset-too-new", f"the model uses opset {version}; the onnx package knows {defs.onnx_opset_version()}",
            hint="update the onnx package, or export with an older opset",
        )  # fmt: skip
    return version


def _is_unchanged(node: onnx.NodeProto, version: int) -> bool:
    """Whether `node`, of opset `version`, means the same in `OLDEST_OPSET`."""
    try:
        old, new = (defs.get_schema(node.op_type, v).since_version for v in (version, OLDEST_OPSET))
    except defs.SchemaError:
        return False
    return old == new


def _check_nodes(nodes: Iterable[onnx.NodeProto], version: int | None, functions: set[tuple[str, str]]) -> None:
    for node in nodes:
        domain = "" if node.domain == "ai.onnx" else node.domain
        if (node.domain, node.op_type) not in functions:
            if version is None and not domain:
                raise HetpartError("invalid-model", "the model does not say which ONNX opset it uses", node=node.name)
            _check_operator(node, domain, version or 0)
            _check_inference_only(node, version or 0)
        for attribute in node.attribute:
            for subgraph in (attribute.g, *attribute.graphs):
                _check_nodes(subgraph.node, version, functions)


def _check_operator(node: onnx.NodeProto, domain: str, version: int) -> None:
    if domain:
        raise HetpartError(
            "unknown-domain",
            f"{node.op_type} '{node.name}' is from the operator set '{domain}', not from ONNX's main one",
            node=node.name,
            hint=_DOMAIN_HINTS.get(domain, "export with standard operators, or as a model-local function"),
        )
    try:
        deprecated = defs.get_schema(node.op_type, version).deprecated
    except defs.SchemaError:
        deprecated = True
    if deprecated:
        raise HetpartError(
            "unknown-operator",
            f"{node.op_type} '{node.name}': ONNX opset {version} has no such operator, or no longer supports it",
            node=node.name,
            hint="the opset that the model declares may be wrong; or export with standard operators",
        )


def _check_inference_only(node: onnx.NodeProto, version: int) -> None:
    if node.op_type in _RANDOM:
        raise HetpartError("random-operator", f"{node.op_type} '{node.name}' makes outputs random", node=node.name,
                           hint="export the model for inference, with noise as an input if it is needed")  # fmt: skip
    if node.op_type == "BatchNormalization":
        flag = any(attribute.name == "training_mode" and attribute.i for attribute in node.attribute)
        statistics = version < 14 and any(node.output[1:])  # before opset 14 the outputs said so
        if flag or statistics:
            raise HetpartError(
                "training-mode", f"BatchNormalization '{node.name}' is in training mode", node=node.name,
                hint="export the model for inference (model.eval())",
            )  # fmt: skip


def _check_type(value: onnx.ValueInfoProto) -> None:
    kind = value.type.WhichOneof("value")
    if kind is None:
        return  # an output without a type: inference finds it
    if kind != "tensor_type":
        what = kind.removesuffix("_type").replace("_", " ")
        raise HetpartError("unsupported-dtype", f"value '{value.name}' is a {what}, not a tensor", node=value.name)
    _check_dtype(value.type.tensor_type.elem_type, f"value '{value.name}'", value.name)


def _check_dtype(dtype: int, what: str, name: str) -> None:
    if dtype not in SUPPORTED_DTYPES:
        text = TensorProto.DataType.Name(dtype).lower()
        raise HetpartError("unsupported-dtype", f"{what} has the element type {text}", node=name,
                           hint="float, integers of 8 bits and more, and bool are supported")  # fmt: skip


def _check_names(graph: onnx.GraphProto) -> None:
    """Every value is made once, has a name, and is made before it is read."""
    made: set[str] = set()

    def define(name: str, what: str) -> None:
        if not name:
            raise HetpartError("missing-name", f"{what} has no name")
        if name in made:
            raise HetpartError("duplicate-name", f"value '{name}' is made twice: again by {what}", node=name)
        made.add(name)

    for value in graph.input:
        define(value.name, "a graph input")
    for tensor in graph.initializer:
        define(tensor.name, "an initialiser")
    later = {name for node in graph.node for name in node.output}
    for node in graph.node:
        for name in node.input:
            if name and name not in made:
                fault = "comes later in the file" if name in later else "nothing makes"
                raise HetpartError(
                    "undefined-value", f"{node.op_type} '{node.name}' reads '{name}', which {fault}", node=node.name,
                    hint="the file is not valid ONNX: nodes must be in topological order",
                )  # fmt: skip
        for name in node.output:
            if name:
                define(name, f"node '{node.name}'")
    for output in graph.output:
        if output.name not in made:
            raise HetpartError("undefined-value", f"nothing makes the graph output '{output.name}'", node=output.name)


def _check_static(value: onnx.ValueInfoProto, node: onnx.NodeProto) -> None:
    tensor = value.type.tensor_type
    if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        return
    shape = ",".join(str(dim.dim_value) if dim.HasField("dim_value") else "?" for dim in tensor.shape.dim)
    shown = f"the shape {shape}" if tensor.HasField("shape") else "no known rank"
    raise HetpartError(
        "dynamic-shape", f"value '{value.name}' of {node.op_type} '{node.name}' has {shown} at compile time",
        node=node.name, hint="its shape depends on data: hetpart compiles static shapes only",
    )  # fmt: skip


def _check_possible(value: onnx.ValueInfoProto, node: onnx.NodeProto) -> None:
    """Inference subtracts sizes and does not ask if anything is left; no engine convolves to maps without pixels."""
    sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    if min(sizes, default=0) < 0 or (node.op_type.endswith("Conv") and 0 in sizes[2:]):
        raise HetpartError(
            "impossible-shape",
            f"{node.op_type} '{node.name}' would make '{value.name}' of the shape {','.join(map(str, sizes))}",
            node=node.name, hint="its window or what it cuts off is larger than its input: is the input too small?",
        )  # fmt: skip


def _is_false(model: onnx.ModelProto, name: str) -> bool:
    tensor = next((tensor for tensor in model.graph.initializer if tensor.name == name), None)
    return tensor is not None and not onnx.numpy_helper.to_array(tensor).any()
