"""Conditions on attributes, and on constants that say how to compute.

Each takes the node and the argument that the profile's data give, and says in a sentence what is not as it must be, or
None: see `hetpart.oracle.profiles.conditions`, which names them all.
"""

from __future__ import annotations

import math

import numpy as np

from hetpart.oracle.profiles.site import Site, shape


def axis(site: Site, argument: str) -> str | None:
    rank = len(shape(site.x))
    axis = site.integer("axis") % rank
    return None if axis == int(argument) else f"it works along axis {axis}, not along the channels"


def last_axis(site: Site, argument: str) -> str | None:
    rank = len(shape(site.x))
    axis = site.integer("axis", -1) % rank
    return None if axis == rank - 1 else f"it works along axis {axis}, not along the last one"


def group(site: Site, argument: str) -> str | None:
    group = site.integer("group", 1)
    return None if group == int(argument) else f"it has {group} groups"


def depthwise(site: Site, argument: str) -> str | None:
    group, channels = site.integer("group", 1), shape(site.x)[1]
    return None if group == channels else f"it has {group} groups of {channels} channels"


def dilation(site: Site, argument: str) -> str | None:
    dilations = site.ints("dilations")
    return f"it is dilated by {list(dilations)}" if any(d != int(argument) for d in dilations) else None


def max_stride(site: Site, argument: str) -> str | None:
    strides = site.ints("strides")
    return f"its stride is {list(strides)}, more than {argument}" if max(strides, default=1) > int(argument) else None


def dilation_or_stride(site: Site, argument: str) -> str | None:
    if max(site.ints("dilations"), default=1) == 1 or max(site.ints("strides"), default=1) == 1:
        return None
    return "it has both a dilation and a stride"


def _kernel(site: Site) -> tuple[int, ...]:
    return site.ints("kernel_shape") or shape(site.inputs()[1])[2:]


def filter_width(site: Site, argument: str) -> str | None:
    width = _kernel(site)[-1]
    return None if width == int(argument) else f"its filter is {width} wide, not {argument}"


def padding_same_or_valid(site: Site, argument: str) -> str | None:
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


def clip(site: Site, argument: str) -> str | None:
    wanted = tuple(float(text) for text in argument.split(","))
    low, high = _clip_range(site)
    return None if (low, high) == wanted else f"it clips to [{low:g}, {high:g}]"


def clip_from_zero(site: Site, argument: str) -> str | None:
    low, _ = _clip_range(site)
    return None if low == 0 else f"it clips from {low:g}, not from 0"


def keepdims(site: Site, argument: str) -> str | None:
    kept = site.node.op_type.startswith("Global") or site.integer("keepdims", 1)
    return None if kept else "it drops the reduced dimensions"


def reduce_axes(site: Site, argument: str) -> str | None:
    rank, axes = len(shape(site.x)), site.axes()
    if rank == 4 and axes in ((2, 3), (1,)):
        return None
    return f"it reduces axes {list(axes)} of {rank}, neither height and width nor the channels of 4"


def pad_mode(site: Site, argument: str) -> str | None:
    mode = site.text("mode", "constant")
    return None if mode in argument.split(",") else f"its mode is {mode}"


def only_mode(site: Site, argument: str) -> str | None:
    mode = site.text("mode", "DCR")
    return None if mode == argument else f"its mode is {mode}"


def resize_mode(site: Site, argument: str) -> str | None:
    mode, rank = site.text("mode", "nearest"), len(shape(site.x))
    if rank != 4:
        return f"it resizes {rank} dimensions"
    return None if mode == argument else f"its mode is {mode}"


def coordinates(site: Site, argument: str) -> str | None:
    mode = site.text("coordinate_transformation_mode", "half_pixel")
    return None if mode in argument.split(",") else f"its coordinate transformation is {mode}"


def one_of(site: Site, argument: str) -> str | None:
    op = site.node.op_type
    return None if op in argument.split(",") else f"{op} is not among them: {argument.replace(',', ', ')}"


def none_of(site: Site, argument: str) -> str | None:
    op = site.node.op_type
    return f"{op} is not supported there" if op in argument.split(",") else None


def square_root(site: Site, argument: str) -> str | None:
    exponent = site.constant(1)
    if site.node.op_type != "Pow" or (exponent is not None and np.all(exponent == 0.5)):
        return None
    return "of all powers only the square root is supported"


def not_affine(site: Site, argument: str) -> str | None:
    scale, bias = site.constant(1), site.constant(2)
    plain = scale is not None and bias is not None and np.all(scale == 1) and not np.any(bias)
    return None if plain else "it has a scale and a bias"


def level(site: Site, argument: str) -> str | None:
    return None if site.level >= int(argument) else f"it is supported from feature level {argument} on"
