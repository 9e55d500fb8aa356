"""The conditions that engines put on operators: attributes, shapes, constants.

A profile's data name a condition and its argument, ``output-rank:2,4``. Each answers with a sentence that says what is
not as it must be, or with None. Shapes are ONNX's, channels first; engines that put channels last are translated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hetpart.oracle.profiles.site import Site, is_constant, shape

Check = Callable[[Site, str], str | None]


@dataclass(frozen=True)
class Condition:
    """A check and what a user can do where it fails."""

    check: Check
    hint: str


def violated(condition: str, site: Site) -> tuple[str, str, str] | None:
    """(reason code, message, hint) if `site` violates `condition`, which is a name or ``name:argument``."""
    name, _, argument = condition.partition(":")
    message = CONDITIONS[name].check(site, argument)
    return None if message is None else (name, message, CONDITIONS[name].hint)


def _numbers(argument: str) -> tuple[int, ...]:
    return tuple(int(text) for text in argument.split(","))


def _input_rank(site: Site, argument: str) -> str | None:
    rank = len(shape(site.x))
    return None if rank in _numbers(argument) else f"the input has {rank} dimensions, not {_either(argument)}"


def _output_rank(site: Site, argument: str) -> str | None:
    for value in site.outputs():
        if (rank := len(shape(value))) not in _numbers(argument):
            return f"the output has {rank} dimensions, not {_either(argument)}"
    return None


def _same_rank(site: Site, argument: str) -> str | None:
    for value in site.inputs():
        form = shape(value)
        if math.prod(form) > 1 and len(form) not in (1, int(argument)):
            return f"{value.name} has {len(form)} dimensions, not {argument} (or 1)"
    return None


def _constant_rank(site: Site, argument: str) -> str | None:
    for value in site.inputs():
        form = shape(value)
        if is_constant(value) and math.prod(form) > 1 and len(form) not in _numbers(argument):
            return f"constant {value.name} has {len(form)} dimensions, not {_either(argument)}"
    return None


def _broadcast(site: Site, argument: str) -> str | None:
    moving = [shape(value) for value in site.inputs() if not is_constant(value)]
    small, large = min(moving, key=len, default=()), max(moving, key=len, default=())
    if len(small) == len(large) or math.prod(small) == 1:
        return None
    if len(large) == 4 and large[0] == 1 and len(small) == 3:
        return None
    return f"shapes {list(small)} and {list(large)} are not broadcast"


def _max_inputs(site: Site, argument: str) -> str | None:
    count = len(site.inputs())
    return None if count <= int(argument) else f"it has {count} inputs, more than {argument}"


def _constant_weight(site: Site, argument: str) -> str | None:
    return None if is_constant(site.inputs()[1]) else "the second factor is no constant"


def _index_rank(site: Site, argument: str) -> str | None:
    rank = len(shape(site.inputs()[1]))
    return None if rank == int(argument) else f"the indices have {rank} dimensions, not {argument}"


def _axis(site: Site, argument: str) -> str | None:
    rank = len(shape(site.x))
    axis = site.integer("axis") % rank
    return None if axis == int(argument) else f"it works along axis {axis}, not along the channels"


def _last_axis(site: Site, argument: str) -> str | None:
    rank = len(shape(site.x))
    axis = site.integer("axis", -1) % rank
    return None if axis == rank - 1 else f"it works along axis {axis}, not along the last one"


def _input_channels_of_many(site: Site, argument: str) -> str | None:
    channels = [shape(value)[1] for value in site.inputs()]
    if len(channels) <= 2 or not any(count % int(argument) for count in channels):
        return None
    return f"of more than two inputs each must have a multiple of {argument} channels, not {channels}"


def _output_channels(site: Site, argument: str) -> str | None:
    channels = [shape(value)[1] for value in site.outputs()]
    if not any(count % int(argument) for count in channels):
        return None
    return f"each output must have a multiple of {argument} channels, not {channels}"


def _equal_parts(site: Site, argument: str) -> str | None:
    axis = site.integer("axis")
    sizes = [shape(value)[axis] for value in site.outputs()]
    return None if len(set(sizes)) == 1 else f"its parts are {sizes}"


def _group(site: Site, argument: str) -> str | None:
    group = site.integer("group", 1)
    return None if group == int(argument) else f"it has {group} groups"


def _depthwise(site: Site, argument: str) -> str | None:
    group, channels = site.integer("group", 1), shape(site.x)[1]
    return None if group == channels else f"it has {group} groups of {channels} channels"


def _depth_multiplier(site: Site, argument: str) -> str | None:
    multiplier = shape(site.outputs()[0])[1] // shape(site.x)[1]
    return None if multiplier == int(argument) else f"every channel makes {multiplier} channels, not {argument}"


def _dilation(site: Site, argument: str) -> str | None:
    dilations = site.ints("dilations")
    return f"it is dilated by {list(dilations)}" if any(d != int(argument) for d in dilations) else None


def _max_stride(site: Site, argument: str) -> str | None:
    strides = site.ints("strides")
    return f"its stride is {list(strides)}, more than {argument}" if max(strides, default=1) > int(argument) else None


def _dilation_or_stride(site: Site, argument: str) -> str | None:
    if max(site.ints("dilations"), default=1) == 1 or max(site.ints("strides"), default=1) == 1:
        return None
    return "it has both a dilation and a stride"


def _kernel(site: Site) -> tuple[int, ...]:
    return site.ints("kernel_shape") or shape(site.inputs()[1])[2:]


def _filter_width(site: Site, argument: str) -> str | None:
    width = _kernel(site)[-1]
    return None if width == int(argument) else f"its filter is {width} wide, not {argument}"


def _padding_same_or_valid(site: Site, argument: str) -> str | None:
    kernel = _kernel(site)
    count = len(kernel)
    auto = site.text("auto_pad", "NOTSET")
    pads = site.ints("pads") or (0,) * 2 * count
    if auto != "NOTSET" or not any(pads):
        return None
    strides = site.ints("strides") or (1,) * count
    caffe = tuple(size // 2 for size in kernel) * 2
    totals = [
        max((math.ceil(size / step) - 1) * step + width - size, 0)
        for size, step, width in zip(shape(site.x)[2:], strides, kernel, strict=True)
    ]
    tensorflow = (*(total // 2 for total in totals), *(total - total // 2 for total in totals))
    return None if pads in (caffe, tensorflow) else f"its padding {list(pads)} is neither SAME nor VALID"


def _clip_range(site: Site) -> tuple[float, float]:
    low, high = site.constant(1), site.constant(2)
    return (
        -math.inf if low is None else float(low.item()),
        math.inf if high is None else float(high.item()),
    )


def _clip(site: Site, argument: str) -> str | None:
    wanted = tuple(float(text) for text in argument.split(","))
    low, high = _clip_range(site)
    return None if (low, high) == wanted else f"it clips to [{low:g}, {high:g}]"


def _clip_from_zero(site: Site, argument: str) -> str | None:
    low, _ = _clip_range(site)
    return None if low == 0 else f"it clips from {low:g}, not from 0"


def _keepdims(site: Site, argument: str) -> str | None:
    kept = site.node.op_type.startswith("Global") or site.integer("keepdims", 1)
    return None if kept else "it drops the reduced dimensions"


def _reduce_axes(site: Site, argument: str) -> str | None:
    rank, axes = len(shape(site.x)), site.axes()
    if rank == 4 and axes in ((2, 3), (1,)):
        return None
    return f"it reduces axes {list(axes)} of {rank}, neither height and width nor the channels of 4"


def _pad_mode(site: Site, argument: str) -> str | None:
    mode = site.text("mode", "constant")
    return None if mode in argument.split(",") else f"its mode is {mode}"


def _only_mode(site: Site, argument: str) -> str | None:
    mode = site.text("mode", "DCR")
    return None if mode == argument else f"its mode is {mode}"


def _resize_mode(site: Site, argument: str) -> str | None:
    mode, rank = site.text("mode", "nearest"), len(shape(site.x))
    if rank != 4:
        return f"it resizes {rank} dimensions"
    return None if mode == argument else f"its mode is {mode}"


def _coordinates(site: Site, argument: str) -> str | None:
    mode = site.text("coordinate_transformation_mode", "half_pixel")
    return None if mode in argument.split(",") else f"its coordinate transformation is {mode}"


def _max_output_side(site: Site, argument: str) -> str | None:
    side = max(shape(site.outputs()[0])[2:])
    return None if side <= int(argument) else f"its output is {side} wide or high, more than {argument}"


def _only(site: Site, argument: str) -> str | None:
    op = site.node.op_type
    return None if op in argument.split(",") else f"{op} is not among them: {argument.replace(',', ', ')}"


def _not(site: Site, argument: str) -> str | None:
    op = site.node.op_type
    return f"{op} is not supported there" if op in argument.split(",") else None


def _square_root(site: Site, argument: str) -> str | None:
    exponent = site.constant(1)
    if site.node.op_type != "Pow" or (exponent is not None and np.all(exponent == 0.5)):
        return None
    return "of all powers only the square root is supported"


def _not_affine(site: Site, argument: str) -> str | None:
    scale, bias = site.constant(1), site.constant(2)
    plain = scale is not None and bias is not None and np.all(scale == 1) and not np.any(bias)
    return None if plain else "it has a scale and a bias"


def _cast(site: Site, argument: str) -> str | None:
    allowed = {"float32", "int32", "bool"}
    kinds = [str(value.dtype.numpy()) for value in (site.x, site.outputs()[0]) if value.dtype is not None]
    return None if set(kinds) <= allowed else f"it casts {kinds[0]} to {kinds[-1]}"


def _level(site: Site, argument: str) -> str | None:
    return None if site.level >= int(argument) else f"it is supported from feature level {argument} on"


def _either(argument: str) -> str:
    return argument.replace(",", " or ")


_SHAPE = "reshape around it, so that the tensor has the dimensions that are supported"
_CHANNELS = "round the number of channels up to such a multiple"
_GROUPS = "split it into convolutions without groups, or make it depthwise"
_OTHER = "express it in operators that are supported there"
_PADDING = "pad as SAME does, or with a Pad before it"

CONDITIONS: dict[str, Condition] = {
    "input-rank": Condition(_input_rank, _SHAPE),
    "output-rank": Condition(_output_rank, _SHAPE),
    "same-rank": Condition(_same_rank, _SHAPE),
    "constant-rank": Condition(_constant_rank, "reshape the constant"),
    "broadcast": Condition(_broadcast, _SHAPE),
    "max-inputs": Condition(_max_inputs, "write it as several operators of two inputs"),
    "constant-weight": Condition(_constant_weight, "make it an initialiser"),
    "index-rank": Condition(_index_rank, "reshape the indices"),
    "axis": Condition(_axis, "transpose, so that it works along the channels"),
    "last-axis": Condition(_last_axis, "transpose, so that it works along the last axis"),
    "input-channels-of-many": Condition(_input_channels_of_many, _CHANNELS),
    "output-channels": Condition(_output_channels, _CHANNELS),
    "equal-parts": Condition(_equal_parts, "split into equal parts"),
    "group": Condition(_group, _GROUPS),
    "depthwise": Condition(_depthwise, _GROUPS),
    "depth-multiplier": Condition(_depth_multiplier, _GROUPS),
    "dilation": Condition(_dilation, "use a larger filter or a stride instead of a dilation"),
    "max-stride": Condition(_max_stride, "use a smaller stride"),
    "dilation-or-stride": Condition(_dilation_or_stride, "use one of the two"),
    "filter-width": Condition(_filter_width, "use a filter of that width"),
    "padding-same-or-valid": Condition(_padding_same_or_valid, _PADDING),
    "clip": Condition(_clip, _OTHER),
    "clip-from-zero": Condition(_clip_from_zero, _OTHER),
    "keepdims": Condition(_keepdims, "keep the dimensions, and reshape behind it"),
    "reduce-axes": Condition(_reduce_axes, "reduce height and width, or the channels, of a 4-D tensor"),
    "pad-mode": Condition(_pad_mode, "pad with another mode"),
    "only-mode": Condition(_only_mode, "export it with the other mode"),
    "resize-mode": Condition(_resize_mode, "resize height and width with another mode"),
    "coordinates": Condition(_coordinates, "export it with another coordinate transformation"),
    "max-output-side": Condition(_max_output_side, "resize to less, or leave it to the CPU"),
    "activation": Condition(_only, "use one of these activations"),
    "only": Condition(_only, _OTHER),
    "not": Condition(_not, _OTHER),
    "square-root": Condition(_square_root, _OTHER),
    "not-affine": Condition(_not_affine, "multiply and add behind it"),
    "cast": Condition(_cast, "cast between float32, int32 and bool only"),
    "level": Condition(_level, "it needs a newer Android"),
}
"""All conditions by name; the name is the reason code of the verdict."""
