"""Decides how every value lies in memory, before anything is placed.

The layout does not depend on the processor: CPU and GPU kernels read and write the same blocked form, so a tensor
crosses between them without a transform. Four decisions, in this order:

1. *Form*: each unit works on Blocked or on Plain tensors; where maker and reader differ, a ``repack`` unit goes
   between, shared by all readers (`_convert`). A transposition between NCHW and NHWC is such a change of form itself.
2. *Concatenation without copies*: the makers of a blocked concat's inputs write into slices of its output
   (hetpart.graph.inplace).
3. *Halo*: every blocked value gets the border its widest consumer wants.
4. *Views*: what only products and transpositions read is found in another value by strides (hetpart.graph.strided).
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace

from hetpart.errors import InternalError
from hetpart.graph.halo import window
from hetpart.graph.halved import half_values
from hetpart.graph.inplace import Pieces, Slice, place_concats
from hetpart.graph.layout import Blocked, Halo, Layout, Plain
from hetpart.graph.quantised import LIMITS
from hetpart.graph.strided import strided_views
from hetpart.graph.units import TensorType, Unit, UnitGraph

CHANNELS_LAST = (0, 2, 3, 1)
"""Transposition of NCHW to NHWC."""

CHANNELS_FIRST = (0, 3, 1, 2)
"""Transposition of NHWC to NCHW."""

_BLOCKED = frozenset(
    {"channels", "conv", "conv_transpose", "pool", "global_pool", "instance_norm", "resize", "pad", "qconv", "qpool"}
)
_FLEXIBLE = frozenset({"eltwise", "concat", "qeltwise"})


@dataclass
class Assignment:
    """Units with layouts.

    Attributes:
        fused: the unit graph as it came.
        graph: the same with repack units inserted; a unit's `inputs` name what it really reads.
        layouts: layout of every activation value.
        slices: values that share the bytes of another value instead of having their own.
        free: units that move no data: views, also by strides, concats whose inputs are all in place, repacks that
            change no byte.
        reads: (unit, value as its ONNX nodes name it) -> value it really reads, where the two differ.
        ports: graph output -> plain value that holds it.
        copies: blocked concat unit -> the inputs that it must copy, the others being in place.
        half: whether float32 maps, the weights of convolutions and dense layers, and row-major tensors where that can
            be, are stored in float16.
    """

    fused: UnitGraph
    graph: UnitGraph
    layouts: dict[str, Layout]
    slices: dict[str, Slice] = field(default_factory=dict)
    free: frozenset[str] = frozenset()
    reads: dict[tuple[str, str], str] = field(default_factory=dict)
    ports: dict[str, str] = field(default_factory=dict)
    copies: dict[str, tuple[str, ...]] = field(default_factory=dict)
    half: bool = False

    def source(self, unit: str, value: str) -> str:
        """The value that `unit` reads where its ONNX node says `value`."""
        return self.reads.get((unit, value), value)

    def root(self, value: str) -> tuple[str, int]:
        """The value whose allocation holds `value`, and the byte offset in it."""
        offset = 0
        while (part := self.slices.get(value)) is not None:
            value, offset = part.whole, offset + part.offset
        return value, offset

    def kernel_reads(self, unit: Unit) -> tuple[str, ...]:
        """The values whose bytes the unit's kernels need.

        A concat that copies some inputs needs the others, which are in place, as well: its copies may share a channel
        block with them.
        """
        return () if unit.name in self.free else unit.inputs

    def written_parts(self, value: str) -> tuple[tuple[str | None, str], ...]:
        """Who wrote the bytes of `value`: (unit, value it wrote) pairs, the unit None for a model input.

        Looks through units that move no data: a view's part is its input's, a concat in place has one per input.
        """
        maker = self.graph.producer.get(value)
        if maker is None or maker not in self.free:
            return ((maker, value),)
        parts = (part for v in self.graph.units[maker].inputs for part in self.written_parts(v))
        return tuple(dict.fromkeys(parts))


def assign(graph: UnitGraph, block: int, *, half: bool = False) -> Assignment:
    """Layouts for all activations of `graph`; `block` is the target's channel block.

    With `half` float32 maps are stored in float16, twice as many channels to a block: as many bytes; and so is what
    lies row-major between kernels of ours (hetpart.graph.halved).
    """
    block = 2 * block if half else block
    converted, blocked, reads, ports = _convert(graph)
    fills = _fills(converted)
    pieces = place_concats(converted, blocked, reads, fills, block)
    views = strided_views(converted, blocked)
    roots = {value: root for value, (root, _) in views.items()}
    halved = half_values(converted, blocked, ports.values(), roots) if half else frozenset()
    layouts = _layouts(converted, blocked, fills, pieces, block, half, halved)
    slices = pieces.resolve(layouts)
    free = {u.name for u in converted if u.kind == "concat" and u.name in pieces.placed and not pieces.copied(u)}
    for unit in converted:
        if unit.kind == "view" or (unit.kind == "repack" and _same_bytes(unit, layouts, slices)):
            slices[unit.outputs[0]] = Slice(unit.inputs[0], 0)
            free.add(unit.name)
    for value, (root, view) in views.items():
        layouts[value] = replace(view, dtype=layouts[root].dtype)
        slices[value] = Slice(root, 0)
        free.add(converted.producer[value])
    return Assignment(graph, converted, layouts, slices, frozenset(free), reads, ports, pieces.placed, half)


def _convert(
    graph: UnitGraph,
) -> tuple[UnitGraph, set[str], dict[tuple[str, str], str], dict[str, str]]:
    """Inserts repack units; returns the new graph, the blocked values, the renamed reads and the output ports."""
    units: dict[str, Unit] = {}
    types = dict(graph.types)
    blocked: set[str] = set()
    renamed: dict[tuple[str, bool], str] = {}
    reads: dict[tuple[str, str], str] = {}

    def as_form(value: str, want_blocked: bool) -> str:
        if (value in blocked) == want_blocked:
            return value
        if (value, want_blocked) not in renamed:
            if want_blocked and len(types[value].shape) != 4:
                raise InternalError("layout-rank", "only a 4-D value can be blocked", node=value)
            name = f"{value}:{'blocked' if want_blocked else 'plain'}"
            renamed[value, want_blocked] = name
            types[name] = types[value]
            units[f"repack:{name}"] = Unit(f"repack:{name}", "repack", (), (value,), (name,))
            if want_blocked:
                blocked.add(name)
        return renamed[value, want_blocked]

    for unit in graph:
        reads_blocked = makes_blocked = unit.kind in _BLOCKED or (
            unit.kind in _FLEXIBLE and any(v in blocked for v in unit.inputs) and _can_block(unit, graph, types)
        )
        if unit.kind == "transpose":
            reads_blocked, makes_blocked = _transpose_forms(unit, graph, blocked)
        inputs = tuple(as_form(v, reads_blocked) for v in unit.inputs)
        reads.update({(unit.name, old): new for old, new in zip(unit.inputs, inputs, strict=True) if old != new})
        units[unit.name] = replace(unit, inputs=inputs)
        if makes_blocked:
            blocked.update(unit.outputs)
    ports = {v: as_form(v, False) for v in graph.outputs}
    return UnitGraph(graph.model, units, types), blocked, reads, ports


def _transpose_forms(unit: Unit, graph: UnitGraph, blocked: set[str]) -> tuple[bool, bool]:
    """Whether a transposition reads and whether it makes a blocked value: NCHW of NHWC is blocked, where that helps."""
    (data,), (out,) = unit.inputs, unit.outputs
    perm = tuple(unit.anchor.attributes.get_ints("perm", ()))
    if perm == CHANNELS_LAST:
        return data in blocked, False
    if perm == CHANNELS_FIRST and graph.types[out].dtype == "float32" and data not in blocked:
        return False, any(graph.units[reader].kind in _BLOCKED for reader in graph.consumers.get(out, ()))
    return False, False


def _can_block(unit: Unit, graph: UnitGraph, types: Mapping[str, TensorType]) -> bool:
    """Whether a flexible unit can work on blocked tensors: 4-D, operands that broadcast over pixels only."""
    out = types[unit.outputs[0]]
    if len(out.shape) != 4 or out.dtype not in ("float32", *LIMITS):
        return False
    if unit.kind == "concat":
        axis = unit.anchor.attributes.get_int("axis", 0)
        return axis in (1, -3) and not any(graph.is_constant(v.name or "") for v in unit.anchor.inputs if v)
    if types[unit.inputs[0]].shape != out.shape:
        return False
    for value in unit.operands:
        if graph.is_constant(value):
            continue
        shape = types[value].shape
        if len(shape) != 4 or shape[1] not in (1, out.shape[1]):
            return False
    return True


def _layouts(
    graph: UnitGraph,
    blocked: set[str],
    fills: Mapping[str, int],
    pieces: Pieces,
    block: int,
    half: bool,
    halved: Set[str],
) -> dict[str, Layout]:
    halos: dict[str, Halo] = {}
    for unit in graph:
        if unit.kind in ("conv", "qconv"):
            data = unit.inputs[0]
            weight = graph.model.graph.initializers[_weight(unit)].shape
            if weight is None:
                raise InternalError("weight-shape", "a convolution weight has no shape", node=unit.name)
            _, inputs, height, width = weight.numpy()
            geometry = window(unit.anchor, (height, _read_columns(unit, inputs, width)))
            reach = geometry.reach(graph.types[data].shape[2:], graph.types[unit.outputs[0]].shape[2:])
            halos[data] = halos.get(data, Halo()).union(reach)
    layouts: dict[str, Layout] = {}
    for value, kind in graph.types.items():
        if value in blocked:
            n, c, h, w = kind.shape
            dtype = "float16" if half and kind.dtype == "float32" else kind.dtype
            size = _narrow_block(c, dtype) if _narrow_input(graph, value, dtype, block) else block
            layouts[value] = Blocked(n, c, h, w, size, halos.get(value, Halo()), dtype, fills.get(value, 0))
        elif not graph.is_constant(value) or value in graph.outputs:  # an output without elements is a constant
            layouts[value] = Plain(kind.shape, "float16" if value in halved else kind.dtype)
    return pieces.share_halo(layouts)


def _fills(graph: UnitGraph) -> dict[str, int]:
    """What stands for zero in the halo of each quantised map that a convolution reads."""
    return {
        unit.inputs[0]: scheme.zero_point
        for unit in graph
        if unit.kind == "qconv" and unit.quantised is not None and (scheme := unit.quantised.inputs[0]) is not None
    }


def _read_columns(unit: Unit, inputs: int, width: int) -> int:
    """Kernel columns that a kernel reads: those of a quantised depthwise convolution come in fours."""
    dilation = unit.anchor.attributes.get_ints("dilations", (1, 1))[1]
    fours = unit.kind == "qconv" and inputs == 1 and dilation == 1
    return -(-width // 4) * 4 if fours else width


def _narrow_input(graph: UnitGraph, value: str, dtype: str, block: int) -> bool:
    """Whether this is an image with few channels that only dense convolutions read: it gets a block of its own.

    Blocks of 4 stay: they are read as whole vectors, and an RGB image wastes little of them.
    """
    maker, channels = graph.producer.get(value), graph.types[value].shape[1]
    if block <= 4 or _narrow_block(channels, dtype) >= block or maker is None:
        return False
    if graph.units[maker].kind not in ("repack", "transpose"):
        return False
    for name in graph.consumers.get(value, []):
        unit = graph.units[name]
        only_data = unit.inputs == (value,) and all(graph.is_constant(operand) for operand in unit.operands)
        if unit.kind not in ("conv", "qconv") or not only_data or unit.anchor.attributes.get_int("group", 1) != 1:
            return False
    return True


def _narrow_block(channels: int, dtype: str) -> int:
    """The least power of two that holds the channels; at least 2 of float32, else 4: 4 bytes, or a GPU's half4."""
    return max(2 if dtype == "float32" else 4, 1 << (channels - 1).bit_length())


def _same_bytes(unit: Unit, layouts: Mapping[str, Layout], slices: Mapping[str, Slice]) -> bool:
    """A repack between Plain and Blocked of single pixels is the identity when no lane is spare."""
    if unit.outputs[0] in slices:
        return False
    pair = (layouts[unit.inputs[0]], layouts[unit.outputs[0]])
    if pair[0].dtype != pair[1].dtype:
        return False
    for form in pair:
        if isinstance(form, Blocked) and (form.h * form.w != 1 or form.halo or (form.n > 1 and form.c % form.block)):
            return False
    return pair[1].size_bytes <= pair[0].size_bytes


def _weight(unit: Unit) -> str:
    """The initialiser with the weights of a convolution."""
    if unit.quantised is not None and unit.quantised.weights is not None:
        return unit.quantised.weights.value
    value = unit.anchor.inputs[1]
    if value is None or value.name is None:
        raise InternalError("missing-input", "a convolution without weights", node=unit.name)
    return value.name
