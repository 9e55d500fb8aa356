"""Which kernels a unit becomes: Unit + layouts -> kernel calls, as data.

Here ONNX attributes end; a `KernelCall` names a spec, the values or constants it reads and the values it writes.
Importing this file does not import tvm.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx

from hetpart.errors import InternalError
from hetpart.graph.assign import Assignment
from hetpart.graph.extract import unit_model
from hetpart.graph.halo import window
from hetpart.graph.layout import Blocked, Layout, Plain, Strided, pack
from hetpart.graph.units import Unit
from hetpart.kernels.call import Context, KernelCall, Source
from hetpart.kernels.coordinates import resize_lines
from hetpart.kernels.select_quantised import quantised_spec
from hetpart.kernels.spec import (
    ChannelsSpec,
    ConcatSpec,
    ConvSpec,
    ConvTransposeSpec,
    DenseSpec,
    EltwiseSpec,
    GlobalPoolSpec,
    InstanceNormSpec,
    LayerNormSpec,
    MatmulSpec,
    OnnxSpec,
    PadSpec,
    PoolSpec,
    RepackSpec,
    ResizeSpec,
    SoftmaxSpec,
    TransposeSpec,
)


def select(unit: Unit, assignment: Assignment) -> tuple[KernelCall, ...]:
    """The kernel calls of `unit`, in order; none if it moves no data."""
    if unit.name in assignment.free:
        return ()
    return _SELECTORS[unit.kind](Context(unit, assignment))


def _convolution(at: Context) -> tuple[KernelCall, ...]:
    constants = at.constants(w=1, b=2)
    kernel = _pair(constants["w"].shape[2:])
    geometry = window(at.node, kernel)
    layouts, sources = at.operands()
    kind = ConvSpec if at.unit.kind == "conv" else ConvTransposeSpec
    spec = kind(
        at.blocked(at.source(0)), at.blocked(at.output), kernel, geometry.strides, geometry.dilations, geometry.pads,
        at.node.attributes.get_int("group", 1), "b" in constants, at.unit.steps, _all_blocked(layouts),
    )  # fmt: skip
    return (KernelCall(spec, (at.source(0), *sources), (at.output,), constants),)


def _dense(at: Context) -> tuple[KernelCall, ...]:
    x, out = at.plain(at.source(0)), at.plain(at.output)
    constants = at.constants(w=1, b=2)
    k, n = constants["w"].shape
    if "b" in constants:
        constants["b"] = np.broadcast_to(constants["b"].reshape(-1), (n,))
    layouts, sources = at.operands()
    m = math.prod(x.shape) // k
    weights = "float16" if at.assignment.half else "float32"
    spec = DenseSpec(x, out, m, k, n, "b" in constants, at.unit.steps, _all_plain(layouts), weights)
    return (KernelCall(spec, (at.source(0), *sources), (at.output,), constants),)


def _matmul(at: Context) -> tuple[KernelCall, ...]:
    layouts, sources = at.operands()
    spec = MatmulSpec(
        at.strided(at.source(0)), at.strided(at.source(1)), at.plain(at.output), at.unit.steps, _all_plain(layouts)
    )
    return (KernelCall(spec, (at.source(0), at.source(1), *sources), (at.output,)),)


def _pool(at: Context) -> tuple[KernelCall, ...]:
    x, out = at.blocked(at.source(0)), at.blocked(at.output)
    kernel = _pair(at.node.attributes.get_ints("kernel_shape", ()))
    geometry = window(at.node, kernel)
    mode = {"MaxPool": "max", "AveragePool": "average"}[at.node.op_type]
    include_pad = bool(at.node.attributes.get_int("count_include_pad", 0))
    spec = PoolSpec(x, out, mode, kernel, geometry.strides, geometry.dilations, geometry.pads, include_pad)
    return (KernelCall(spec, (at.source(0),), (at.output,)),)


def _global_pool(at: Context) -> tuple[KernelCall, ...]:
    mode = {"GlobalAveragePool": "average", "GlobalMaxPool": "max"}[at.node.op_type]
    spec = GlobalPoolSpec(at.blocked(at.source(0)), at.blocked(at.output), mode)
    return (KernelCall(spec, (at.source(0),), (at.output,)),)


def _softmax(at: Context) -> tuple[KernelCall, ...]:
    x, out = at.plain(at.source(0)), at.plain(at.output)
    axis = at.node.attributes.get_int("axis", -1) % len(x.shape)
    spec = SoftmaxSpec(
        x, out, math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]),
        at.node.op_type == "LogSoftmax",
    )  # fmt: skip
    return (KernelCall(spec, (at.source(0),), (at.output,)),)


def _layer_norm(at: Context) -> tuple[KernelCall, ...]:
    x, out = at.plain(at.source(0)), at.plain(at.output)
    axis = at.node.attributes.get_int("axis", -1) % len(x.shape)
    length = math.prod(x.shape[axis:])
    constants = {
        role: np.broadcast_to(data, x.shape[axis:]).reshape(length) for role, data in at.constants(scale=1, b=2).items()
    }
    spec = LayerNormSpec(
        x, out, math.prod(x.shape[:axis]), length, at.node.attributes.get_float("epsilon", 1e-5),
        "b" in constants, at.node.op_type == "RMSNormalization",
    )  # fmt: skip
    return (KernelCall(spec, (at.source(0),), (at.output,), constants),)


def _instance_norm(at: Context) -> tuple[KernelCall, ...]:
    layouts, sources = at.operands()
    epsilon = at.node.attributes.get_float("epsilon", 1e-5)
    x, out = at.blocked(at.source(0)), at.blocked(at.output)
    spec = InstanceNormSpec(x, out, epsilon, at.unit.steps, _all_blocked(layouts))
    return (KernelCall(spec, (at.source(0), *sources), (at.output,), at.constants(scale=1, b=2)),)


def _eltwise(at: Context) -> tuple[KernelCall, ...]:
    layouts, sources = at.operands()
    start = at.unit.inputs[0]
    spec = EltwiseSpec(at.layout(start), at.out, at.unit.steps, layouts)
    return (KernelCall(spec, (start, *sources), (at.output,)),)


def _concat(at: Context) -> tuple[KernelCall, ...]:
    names = [at.source(i) for i in range(len(at.node.inputs))]
    out = at.out
    if isinstance(out, Plain):
        sources: list[Source] = []
        forms = []
        for name in names:
            if at.assignment.graph.is_constant(name):
                data = at.assignment.graph.constant(name)
                forms.append(Plain(tuple(data.shape), out.dtype))
                sources.append(pack(data, forms[-1]))
            else:
                forms.append(at.plain(name))
                sources.append(name)
        axis = at.node.attributes.get_int("axis", 0) % len(out.shape)
        return (KernelCall(ConcatSpec(tuple(forms), out, axis), tuple(sources), (at.output,)),)
    calls = []
    channel = 0
    for name in names:
        form = at.blocked(name)
        if name in at.assignment.copies[at.unit.name]:
            calls.append(KernelCall(RepackSpec(form, out, channel), (name,), (at.output,)))
        channel += form.c
    return tuple(calls)


def _channels(at: Context) -> tuple[KernelCall, ...]:
    calls = []
    for value, picks in zip(at.unit.outputs, at.unit.picks, strict=True):
        read = sorted({number for number, _ in picks})
        names = tuple(at.unit.inputs[number] for number in read)
        spec = ChannelsSpec(
            tuple(at.blocked(name) for name in names),
            at.blocked(value),
            tuple((read.index(number), channel) for number, channel in picks),
        )
        calls.append(KernelCall(spec, names, (value,)))
    return tuple(calls)


def _repack(at: Context) -> tuple[KernelCall, ...]:
    source = at.unit.inputs[0]
    return (KernelCall(RepackSpec(at.layout(source), at.out), (source,), (at.output,)),)


def _transpose(at: Context) -> tuple[KernelCall, ...]:
    given = at.layout(at.source(0))
    if isinstance(given, Blocked) or isinstance(at.out, Blocked):
        return (KernelCall(RepackSpec(given, at.out, nhwc=True), (at.source(0),), (at.output,)),)
    x = at.strided(at.source(0))
    perm = tuple(int(p) for p in at.node.attributes.get_ints("perm", tuple(reversed(range(len(x.shape))))))
    return (KernelCall(TransposeSpec(x, at.plain(at.output), perm), (at.source(0),), (at.output,)),)


def _resize(at: Context) -> tuple[KernelCall, ...]:
    x, out = at.blocked(at.source(0)), at.blocked(at.output)
    vertical, horizontal = out.h / x.h, out.w / x.w
    scales = at.constant(2)
    if scales is not None and scales.size:
        vertical, horizontal = (float(factor) for factor in scales[-2:])
    spec = ResizeSpec(
        x, out, at.node.attributes.get_string("mode", "nearest") or "nearest",
        resize_lines(at.node, x.h, out.h, vertical), resize_lines(at.node, x.w, out.w, horizontal),
    )  # fmt: skip
    return (KernelCall(spec, (at.source(0),), (at.output,)),)


def _pad(at: Context) -> tuple[KernelCall, ...]:
    if at.node.op_type == "Slice":
        spec = PadSpec(at.blocked(at.source(0)), at.blocked(at.output), "constant", _cropped(at))
        return (KernelCall(spec, (at.source(0),), (at.output,)),)
    amounts = at.constant(1)
    if amounts is None:
        raise InternalError("pad-amounts", "Pad without constant pads", node=at.unit.name)
    top, left, bottom, right = (int(amounts[i]) for i in (2, 3, 6, 7))
    value = at.constant(2)
    mode = at.node.attributes.get_string("mode", "constant") or "constant"
    fill = float(value.reshape(-1)[0]) if value is not None and value.size else 0.0
    spec = PadSpec(at.blocked(at.source(0)), at.blocked(at.output), mode, (top, left, bottom, right), fill)
    return (KernelCall(spec, (at.source(0),), (at.output,)),)


def _cropped(at: Context) -> tuple[int, int, int, int]:
    """The pads, none of them positive, that leave what a Slice keeps of height and width."""
    data = at.blocked(at.source(0))
    bounds = [at.constant(index) for index in (1, 2, 3)]
    pads = [0, 0, 0, 0]
    for start, end, axis in zip(*(values.tolist() for values in bounds if values is not None), strict=True):
        first, last, _ = slice(start, end).indices(data.shape[axis % 4])
        pads[axis % 4 - 2], pads[axis % 4] = -first, last - data.shape[axis % 4]
    return pads[0], pads[1], pads[2], pads[3]


def _other(at: Context) -> tuple[KernelCall, ...]:
    fused = at.assignment.fused
    model = _anonymous(unit_model(fused, fused.units[at.unit.name]))
    xs = tuple(at.plain(v) for v in at.unit.inputs)
    spec = OnnxSpec(model, xs, tuple(at.plain(v) for v in at.unit.outputs))
    return (KernelCall(spec, at.unit.inputs, at.unit.outputs),)


def _anonymous(proto: onnx.ModelProto) -> bytes:
    """The model without names of its own, so that equal operators give equal specs and share one kernel."""
    graph = proto.graph
    names: dict[str, str] = {"": ""}
    for prefix, values in (("x", graph.input), ("c", graph.initializer), ("y", graph.output)):
        for value in values:
            value.name = names.setdefault(value.name, f"{prefix}{len(names)}")
    for index, node in enumerate(graph.node):
        node.name = f"n{index}"
        node.doc_string = ""
        node.ClearField("metadata_props")
        for names_of in (node.input, node.output):
            names_of[:] = [names.setdefault(name, f"t{len(names)}") for name in names_of]
    graph.ClearField("value_info")
    graph.name = "unit"
    serialised: bytes = onnx.shape_inference.infer_shapes(proto, strict_mode=True).SerializeToString(deterministic=True)
    return serialised


def _quantised(at: Context) -> tuple[KernelCall, ...]:
    spec, constants = quantised_spec(at)
    start = at.unit.inputs[0]
    return (KernelCall(spec, (start, *at.operands()[1]), (at.output,), constants),)


_SELECTORS: dict[str, Callable[[Context], tuple[KernelCall, ...]]] = {
    "channels": _channels,
    "concat": _concat,
    "conv": _convolution,
    "conv_transpose": _convolution,
    "dense": _dense,
    "eltwise": _eltwise,
    "global_pool": _global_pool,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "matmul": _matmul,
    "other": _other,
    "pad": _pad,
    "pool": _pool,
    "qconv": _quantised,
    "qdense": _quantised,
    "qeltwise": _quantised,
    "qpool": _quantised,
    "repack": _repack,
    "resize": _resize,
    "softmax": _softmax,
    "transpose": _transpose,
}


def _pair(values: Sequence[int]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def _all_blocked(layouts: tuple[Layout, ...]) -> tuple[Blocked, ...]:
    blocked = tuple(form for form in layouts if isinstance(form, Blocked))
    if len(blocked) < len(layouts):
        raise InternalError("layout-form", "an operand of a blocked kernel is row-major")
    return blocked


def _all_plain(layouts: tuple[Layout, ...]) -> tuple[Plain, ...]:
    plain = tuple(form for form in layouts if isinstance(form, Plain) and not isinstance(form, Strided))
    if len(plain) < len(layouts):
        raise InternalError("layout-form", "an operand of a row-major kernel is blocked")
    return plain
