"""Conditions on tensors: ranks, shapes, channels, types, and which are constant.

Each takes the node and the argument that the profile's data give, and says in a sentence what is not as it must be, or
None: see `hetpart.oracle.profiles.conditions`, which names them all.
"""

from __future__ import annotations

import math

from hetpart.oracle.profiles.site import Site, is_constant, shape


def _numbers(argument: str) -> tuple[int, ...]:
    return tuple(int(text) for text in argument.split(","))


def _either(argument: str) -> str:
    return argument.replace(",", " or ")


def input_rank(site: Site, argument: str) -> str | None:
    rank = len(shape(site.x))
    return None if rank in _numbers(argument) else f"the input has {rank} dimensions, not {_either(argument)}"


def output_rank(site: Site, argument: str) -> str | None:
    for value in site.outputs():
        if (rank := len(shape(value))) not in _numbers(argument):
            return f"the output has {rank} dimensions, not {_either(argument)}"
    return None


def same_rank(site: Site, argument: str) -> str | None:
    for value in site.inputs():
        form = shape(value)
        if math.prod(form) > 1 and len(form) not in (1, int(argument)):
            return f"{value.name} has {len(form)} dimensions, not {argument} (or 1)"
    return None


def constant_rank(site: Site, argument: str) -> str | None:
    for value in site.inputs():
        form = shape(value)
        if is_constant(value) and math.prod(form) > 1 and len(form) not in _numbers(argument):
            return f"constant {value.name} has {len(form)} dimensions, not {_either(argument)}"
    return None


def broadcast(site: Site, argument: str) -> str | None:
    moving = [shape(value) for value in site.inputs() if not is_constant(value)]
    small, large = min(moving, key=len, default=()), max(moving, key=len, default=())
    if len(small) == len(large) or math.prod(small) == 1:
        return None
    if len(large) == 4 and large[0] == 1 and len(small) == 3:
        return None
    return f"shapes {list(small)} and {list(large)} are not broadcast"


def max_inputs(site: Site, argument: str) -> str | None:
    count = len(site.inputs())
    return None if count <= int(argument) else f"it has {count} inputs, more than {argument}"


def constant_weight(site: Site, argument: str) -> str | None:
    return None if is_constant(site.inputs()[1]) else "the second factor is no constant"


def index_rank(site: Site, argument: str) -> str | None:
    rank = len(shape(site.inputs()[1]))
    return None if rank == int(argument) else f"the indices have {rank} dimensions, not {argument}"


def input_channels_of_many(site: Site, argument: str) -> str | None:
    channels = [shape(value)[1] for value in site.inputs()]
    if len(channels) <= 2 or not any(count % int(argument) for count in channels):
        return None
    return f"of more than two inputs each must have a multiple of {argument} channels, not {channels}"


def output_channels(site: Site, argument: str) -> str | None:
    channels = [shape(value)[1] for value in site.outputs()]
    if not any(count % int(argument) for count in channels):
        return None
    return f"each output must have a multiple of {argument} channels, not {channels}"


def equal_parts(site: Site, argument: str) -> str | None:
    axis = site.integer("axis")
    sizes = [shape(value)[axis] for value in site.outputs()]
    return None if len(set(sizes)) == 1 else f"its parts are {sizes}"


def depth_multiplier(site: Site, argument: str) -> str | None:
    multiplier = shape(site.outputs()[0])[1] // shape(site.x)[1]
    return None if multiplier == int(argument) else f"every channel makes {multiplier} channels, not {argument}"


def max_output_side(site: Site, argument: str) -> str | None:
    side = max(shape(site.outputs()[0])[2:])
    return None if side <= int(argument) else f"its output is {side} wide or high, more than {argument}"


def cast(site: Site, argument: str) -> str | None:
    allowed = {"float32", "int32", "bool"}
    kinds = [str(value.dtype.numpy()) for value in (site.x, site.outputs()[0]) if value.dtype is not None]
    return None if set(kinds) <= allowed else f"it casts {kinds[0]} to {kinds[-1]}"
