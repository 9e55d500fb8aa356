"""The conditions that engines put on operators: attributes, shapes, constants.

A profile's data name a condition and its argument, ``output-rank:2,4``. Each answers with a sentence that says what is
not as it must be, or with None. Shapes are ONNX's, channels first; engines that put channels last are translated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hetpart.oracle.profiles import attributes, tensors
from hetpart.oracle.profiles.site import Site

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


_SHAPE = "reshape around it, so that the tensor has the dimensions that are supported"
_CHANNELS = "round the number of channels up to such a multiple"
_GROUPS = "split it into convolutions without groups, or make it depthwise"
_OTHER = "express it in operators that are supported there"
_PADDING = "pad as SAME does, or with a Pad before it"

CONDITIONS: dict[str, Condition] = {
    "input-rank": Condition(tensors.input_rank, _SHAPE),
    "output-rank": Condition(tensors.output_rank, _SHAPE),
    "same-rank": Condition(tensors.same_rank, _SHAPE),
    "constant-rank": Condition(tensors.constant_rank, "reshape the constant"),
    "broadcast": Condition(tensors.broadcast, _SHAPE),
    "max-inputs": Condition(tensors.max_inputs, "write it as several operators of two inputs"),
    "constant-weight": Condition(tensors.constant_weight, "make it an initialiser"),
    "index-rank": Condition(tensors.index_rank, "reshape the indices"),
    "axis": Condition(attributes.axis, "transpose, so that it works along the channels"),
    "last-axis": Condition(attributes.last_axis, "transpose, so that it works along the last axis"),
    "input-channels-of-many": Condition(tensors.input_channels_of_many, _CHANNELS),
    "output-channels": Condition(tensors.output_channels, _CHANNELS),
    "equal-parts": Condition(tensors.equal_parts, "split into equal parts"),
    "group": Condition(attributes.group, _GROUPS),
    "depthwise": Condition(attributes.depthwise, _GROUPS),
    "depth-multiplier": Condition(tensors.depth_multiplier, _GROUPS),
    "dilation": Condition(attributes.dilation, "use a larger filter or a stride instead of a dilation"),
    "max-stride": Condition(attributes.max_stride, "use a smaller stride"),
    "dilation-or-stride": Condition(attributes.dilation_or_stride, "use one of the two"),
    "filter-width": Condition(attributes.filter_width, "use a filter of that width"),
    "padding-same-or-valid": Condition(attributes.padding_same_or_valid, _PADDING),
    "clip": Condition(attributes.clip, _OTHER),
    "clip-from-zero": Condition(attributes.clip_from_zero, _OTHER),
    "keepdims": Condition(attributes.keepdims, "keep the dimensions, and reshape behind it"),
    "reduce-axes": Condition(attributes.reduce_axes, "reduce height and width, or the channels, of a 4-D tensor"),
    "pad-mode": Condition(attributes.pad_mode, "pad with another mode"),
    "only-mode": Condition(attributes.only_mode, "export it with the other mode"),
    "resize-mode": Condition(attributes.resize_mode, "resize height and width with another mode"),
    "coordinates": Condition(attributes.coordinates, "export it with another coordinate transformation"),
    "max-output-side": Condition(tensors.max_output_side, "resize to less, or leave it to the CPU"),
    "activation": Condition(attributes.one_of, "use one of these activations"),
    "only": Condition(attributes.one_of, _OTHER),
    "not": Condition(attributes.none_of, _OTHER),
    "square-root": Condition(attributes.square_root, _OTHER),
    "not-affine": Condition(attributes.not_affine, "multiply and add behind it"),
    "cast": Condition(tensors.cast, "cast between float32, int32 and bool only"),
    "level": Condition(attributes.level, "it needs a newer Android"),
}
"""All conditions by name; the name is the reason code of the verdict."""
