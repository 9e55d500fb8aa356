r"""The plan as a file that the C runtime executes: a header, then tables of fixed-size little-endian records.

The same layout is declared in ``hetpart/runtime/src/plan.h``. All integers are unsigned unless said otherwise.

====================  =====  ==========================================================================================
table                 bytes  fields
====================  =====  ==========================================================================================
header                  112  magic ``HETPLAN\0``, u64 version, u64 XXH64 of all bytes behind this field, u64 file,
                             arena and weights bytes, u64 predicted_us, u64 digest of the module of CPU kernels, u32
                             lengths of the tables below, in their order
dims                      8  i64
processors               24  u32 name, kind (1 cpu, 2 opencl, 3 hexagon), first step, steps, threads, 0
images                   16  u32 width, height (texels of four channels), dtype, 0
parts                    24  u32 name, 0, u64 bytes, XXH64: what a file of the bundle must hold
buffers                  48  u32 name, root, space (0 arena, 1 weights, 2 image, 3 texture: weights as an image), dtype,
                             first dim, dims, u64 offset, size (in an image: of its columns), u32 image, 0
inputs, outputs          24  u32 name, buffer, dtype, first dim, dims, 0
steps                    84  u32 unit, kernel, first arg, args, first wait, waits, first transfer, transfers, flags
                             (1 ranged, 2 grouped), extent, global size x 3, local size x 3, offset x 3,
                             predicted_us, 0
waits                     8  u32 processor, count
transfers                 8  u32 buffer, source processor
args                      4  u32 buffer, with bit 31 set if the kernel writes it
strings                   1  UTF-8, each string closed by a NUL; a string is an offset into this table
====================  =====  ==========================================================================================

A dtype is DLPack's: code, bits << 8, lanes << 16. Equal plans give equal bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hetpart.bundle.digest import FileInfo, digest
from hetpart.errors import HetpartError, InternalError
from hetpart.plan.plan import Buffer, ImageShape, Plan, Port, Step, Transfer, Wait

VERSION = 3
MAGIC = b"HETPLAN\0"
KINDS = {"cpu": 1, "opencl": 2, "hexagon": 3}
SPACES = {"arena": 0, "weights": 1, "image": 2, "texture": 3}
DTYPES = {
    "int8": 0x10800, "int16": 0x11000, "int32": 0x12000, "int64": 0x14000,
    "uint8": 0x10801, "uint16": 0x11001, "uint32": 0x12001, "uint64": 0x14001,
    "float16": 0x11002, "float32": 0x12002, "float64": 0x14002, "bool": 0x10806,
}  # fmt: skip

_HEADER = struct.Struct("<8s7Q12I")
_RANGED = 1
_GROUPED = 2
_WRITTEN = 1 << 31
_UNCHECKED_BYTES = 24  # magic, version and the digest itself


@dataclass
class _Table:
    """Records of one kind, in the order they were added."""

    record: struct.Struct
    data: bytearray = field(default_factory=bytearray)

    @property
    def count(self) -> int:
        return len(self.data) // self.record.size

    def add(self, *values: int) -> None:
        self.data += self.record.pack(*values)


def _tables() -> dict[str, _Table]:
    formats = {
        "dims": "<q", "processors": "<6I", "images": "<4I", "parts": "<2I2Q", "buffers": "<6I2Q2I",
        "inputs": "<6I", "outputs": "<6I", "steps": "<21I", "waits": "<2I", "transfers": "<2I", "args": "<I",
        "strings": "<B",
    }  # fmt: skip
    return {name: _Table(struct.Struct(text)) for name, text in formats.items()}


class _Writer:
    """Fills the tables; strings are stored once each."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.tables = _tables()
        self.offsets: dict[str, int] = {}
        self.processors = {name: index for index, name in enumerate(plan.processors)}

    def string(self, text: str) -> int:
        if text not in self.offsets:
            if "\0" in text:
                raise HetpartError("nul-in-name", f"a name holds a NUL character: {text!r}", node=text)
            strings = self.tables["strings"]
            self.offsets[text] = strings.count
            strings.data += text.encode() + b"\0"
        return self.offsets[text]

    def shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        first = self.tables["dims"].count
        for extent in shape:
            self.tables["dims"].add(extent)
        return first, len(shape)

    def buffer(self, buffer: Buffer) -> None:
        self.tables["buffers"].add(
            self.string(buffer.name), self.string(buffer.root), SPACES[buffer.space], _dtype(buffer.dtype, buffer.name),
            *self.shape(buffer.shape), buffer.offset, buffer.size, max(0, buffer.image), 0,
        )  # fmt: skip

    def port(self, table: str, port: Port) -> None:
        dtype = _dtype(port.dtype, port.name)
        self.tables[table].add(self.string(port.name), port.buffer, dtype, *self.shape(port.shape), 0)

    def step(self, step: Step) -> None:
        tables = self.tables
        first = [tables[name].count for name in ("args", "waits", "transfers")]
        for position, buffer in enumerate(step.args):
            tables["args"].add(buffer | (_WRITTEN if position in step.writes else 0))
        for wait in step.waits:
            tables["waits"].add(self.processors[wait.processor], wait.count)
        for transfer in step.transfers:
            tables["transfers"].add(transfer.buffer, self.processors[transfer.source])
        tables["steps"].add(
            self.string(step.unit), self.string(step.kernel),
            first[0], len(step.args), first[1], len(step.waits), first[2], len(step.transfers),
            (_RANGED if step.ranged else 0) | (_GROUPED if step.grouped else 0), step.extent, *step.global_size,
            *step.local_size, *step.offset, step.predicted_us, 0,
        )  # fmt: skip

    def bytes(self, parts: Mapping[str, FileInfo], module: int) -> bytes:
        plan, tables = self.plan, self.tables
        self.string("")
        for name, steps in plan.processors.items():
            first, threads = tables["steps"].count, plan.threads.get(name, 1)
            tables["processors"].add(self.string(name), KINDS[plan.kinds[name]], first, len(steps), threads, 0)
            for step in steps:
                self.step(step)
        for image in plan.images:
            tables["images"].add(image.width, image.height, _dtype(image.dtype, "image"), 0)
        for name, part in parts.items():
            tables["parts"].add(self.string(name), 0, part.size, int(part.xxh64, 16))
        for buffer in plan.buffers:
            self.buffer(buffer)
        for table, ports in (("inputs", plan.inputs), ("outputs", plan.outputs)):
            for port in ports:
                self.port(table, port)
        body = b"".join(table.data for table in tables.values())
        counts = [table.count for table in tables.values()]
        size = _HEADER.size + len(body)
        sizes = (size, plan.arena_bytes, plan.weights_bytes, plan.predicted_us)
        checked = _HEADER.pack(MAGIC, VERSION, 0, *sizes, module, *counts)[_UNCHECKED_BYTES:] + body
        return struct.pack("<8sQQ", MAGIC, VERSION, digest(checked)) + checked


def _dtype(name: str, node: str) -> int:
    if name not in DTYPES:
        raise HetpartError("unsupported-dtype", f"the runtime has no tensors of type {name}", node=node)
    return DTYPES[name]


def encode_plan(plan: Plan, parts: Mapping[str, FileInfo] | None = None, module: int = 0) -> bytes:
    """The file's bytes.

    Args:
        plan: what to run.
        parts: the files of the bundle that the runtime may load for it, by name.
        module: digest of the module of CPU kernels that it calls.

    Raises HetpartError for a dtype or a name that the file cannot hold, InternalError for a plan that refers to
    something it does not have or whose numbers are out of range.
    """
    try:
        return _Writer(plan).bytes(parts or {}, module)
    except (KeyError, struct.error) as error:
        raise InternalError("unencodable-plan", f"the plan cannot be written down: {error}") from error


class _Reader:
    """The records of a checked file, by table."""

    def __init__(self, data: bytes, counts: tuple[int, ...]) -> None:
        self.records: dict[str, list[tuple[Any, ...]]] = {}
        offset = _HEADER.size
        self.strings = b""
        for (name, table), count in zip(_tables().items(), counts, strict=True):
            part = data[offset : offset + count * table.record.size]
            if name == "strings":
                self.strings = part
            else:
                self.records[name] = list(table.record.iter_unpack(part))
            offset += len(part)

    def string(self, offset: int) -> str:
        return self.strings[offset : self.strings.index(b"\0", offset)].decode()

    def shape(self, first: int, count: int) -> tuple[int, ...]:
        return tuple(extent for (extent,) in self.records["dims"][first : first + count])

    def buffers(self) -> Iterator[Buffer]:
        spaces = {number: name for name, number in SPACES.items()}
        for name, root, space, dtype, first, count, offset, size, image, _ in self.records["buffers"]:
            yield Buffer(
                self.string(name), spaces[space], offset, size, _NAMES[dtype], self.shape(first, count),
                self.string(root), image if spaces[space] == "image" else -1,
            )  # fmt: skip

    def ports(self, table: str) -> Iterator[Port]:
        for name, buffer, dtype, first, count, _ in self.records[table]:
            yield Port(self.string(name), buffer, _NAMES[dtype], self.shape(first, count))

    def steps(self, first: int, count: int, processors: list[str]) -> Iterator[Step]:
        for record in self.records["steps"][first : first + count]:
            unit, kernel, arg, args, wait, waits, transfer, transfers, flags, extent = record[:10]
            words = [word for (word,) in self.records["args"][arg : arg + args]]
            yield Step(
                unit=self.string(unit),
                kernel=self.string(kernel),
                args=tuple(word & ~_WRITTEN for word in words),
                extent=extent,
                ranged=bool(flags & _RANGED),
                global_size=record[10:13],
                local_size=record[13:16],
                offset=record[16:19],
                grouped=bool(flags & _GROUPED),
                waits=tuple(Wait(processors[p], n) for p, n in self.records["waits"][wait : wait + waits]),
                transfers=tuple(
                    Transfer(buffer, processors[source])
                    for buffer, source in self.records["transfers"][transfer : transfer + transfers]
                ),
                predicted_us=record[19],
                writes=tuple(position for position, word in enumerate(words) if word & _WRITTEN),
            )


_NAMES = {number: name for name, number in DTYPES.items()}


def decode_plan(data: bytes, name: str = "plan.bin") -> Plan:
    """The plan in a file's bytes; `name` is for messages.

    Raises HetpartError ``corrupt-plan`` (damaged or not a plan) or ``version-mismatch``.
    """
    if len(data) < _HEADER.size or data[:8] != MAGIC:
        raise HetpartError("corrupt-plan", f"{name}: not a hetpart plan")
    _, version, checksum, size, arena, weights, predicted_us, _, *counts = _HEADER.unpack_from(data)
    if version != VERSION:
        raise HetpartError("version-mismatch", f"{name}: plan format {version}, this hetpart reads format {VERSION}")
    if size != len(data) or digest(data[_UNCHECKED_BYTES:]) != checksum:
        raise HetpartError("corrupt-plan", f"{name}: size or digest does not match: the file is damaged")
    reader = _Reader(data, tuple(counts))
    kinds = {number: kind for kind, number in KINDS.items()}
    try:
        rows = reader.records["processors"]
        names = [reader.string(row[0]) for row in rows]
        return Plan(
            processors={
                name: tuple(reader.steps(first, count, names))
                for name, (_, _, first, count, _, _) in zip(names, rows, strict=True)
            },
            buffers=tuple(reader.buffers()),
            inputs=tuple(reader.ports("inputs")),
            outputs=tuple(reader.ports("outputs")),
            arena_bytes=arena,
            weights_bytes=weights,
            predicted_us=predicted_us,
            kinds={name: kinds[row[1]] for name, row in zip(names, rows, strict=True)},
            threads={name: row[4] for name, row in zip(names, rows, strict=True)},
            images=tuple(ImageShape(w, h, _NAMES[dtype]) for w, h, dtype, _ in reader.records["images"]),
        )
    except (KeyError, IndexError, ValueError) as error:
        raise HetpartError("corrupt-plan", f"{name}: a record refers to nothing: {error}") from error
