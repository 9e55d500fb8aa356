"""What hetpart knows of a phone: the data types of a target.

A target is data only. Sources of the figures stand as comments in the files; the meaning and unit of every field
stands here. Numbers of a `CostTable` are estimates unless a profile replaces them (see hetpart.cost).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hetpart.errors import HetpartError

PROCESSOR_KINDS = ("cpu", "opencl", "hexagon")

COMPUTE_CLASSES = (
    "conv", "conv1x1", "conv3x3", "conv_grouped", "conv_transpose", "depthwise", "dense", "matmul", "generic",
)  # fmt: skip
"""Kernel classes whose efficiency is a share of peak arithmetic.

``conv3x3`` has stride 1, which Winograd's transform speeds up: as the plain algorithm's multiply-adds are counted, its
share may exceed 1. ``generic`` is TVM's untuned code.
"""

INT8_CLASSES = {"int8_conv": "conv", "int8_depthwise": "depthwise", "int8_dense": "dense"}
"""Kernel classes in 8-bit integers, and the float32 class whose efficiency counts where a target does not state theirs.

Their efficiency is a share of the float32 peak too, and may well exceed 1.
"""

HALF_CLASSES = {"fp16_conv": "conv", "fp16_depthwise": "depthwise"}
"""Kernel classes in float16 arithmetic (``--precision fp16``), likewise; ``fp16_conv``: any filter, no groups."""

UNTUNED_CLASSES = ("generic", "generic_memory")
"""Kernel classes of TVM's untuned code, which no engine publishes latencies of."""

MEMORY_CLASSES = ("memory", "norm", "generic_memory")
"""Kernel classes without multiply-adds, whose efficiency is a share of bandwidth.

``memory`` copies or computes elementwise, ``norm`` is softmax and normalisation, ``generic_memory`` TVM's untuned code.
"""


Percentile = Literal["p5", "median", "p95"]
"""Of a time that varies from run to run."""


@dataclass(frozen=True)
class CpuCodegen:
    """How code for a CPU is made.

    Attributes:
        triples: LLVM target triples to build for; ``("native",)`` is the machine that hetpart runs on.
        mcpu: LLVM processor name, ``native`` likewise.
        mattr: extra LLVM attributes.
        lanes: float32 lanes of a vector register; equals the target's channel block.
        registers: architectural vector registers.
        l2_bytes: a core's own second-level cache.
    """

    triples: tuple[str, ...]
    mcpu: str
    mattr: tuple[str, ...]
    lanes: int
    registers: int
    l2_bytes: int

    @property
    def native(self) -> bool:
        return self.triples == ("native",)


@dataclass(frozen=True)
class OpenclCodegen:
    """How OpenCL kernels are shaped (the first three and the last: see `hetpart.kernels.kernel.Device`).

    Attributes:
        tile_items: one work-item computes a whole register tile (CPU-like devices), else items are small and many.
        registers: vector registers, of one channel block each, that one work-item may keep live.
        work_group: preferred local size (x, y, z).
        max_buffer_bytes: no single buffer may be larger (CL_DEVICE_MAX_MEM_ALLOC_SIZE).
        memory: where maps that only the GPU sees lie: ``buffer`` or ``image``.
        storage: how they are stored: ``float32`` or ``float16``; kernels compute in float32 either way. With
            ``--precision fp16`` images are of float16 whatever this says, and maps in buffers are shared.
        max_kernel_us: no launch may be predicted to take longer, so that the GPU can draw the screen in between;
            longer kernels and copies are launched in parts. 0 sets no bound.
        max_image: no image may be wider or higher (CL_DEVICE_IMAGE2D_MAX_WIDTH, _HEIGHT), in texels.
        local_bytes: with `tile_items`, local memory that a work-item may use for itself: a core's own cache, and no
            more than CL_DEVICE_LOCAL_MEM_SIZE. 0: none.
    """

    tile_items: bool
    registers: int
    work_group: tuple[int, int, int]
    max_buffer_bytes: int
    memory: str = "buffer"
    storage: str = "float32"
    max_image: int = 16384
    max_kernel_us: int = 0
    local_bytes: int = 0

    @property
    def private(self) -> bool:
        """Whether the GPU keeps maps in a form of its own, which no other processor can read."""
        return self.memory == "image" or self.storage == "float16"


@dataclass(frozen=True)
class HexagonCodegen:
    """How code for a Hexagon DSP would be made: its LLVM processor name."""

    mcpu: str


@dataclass(frozen=True)
class Cluster:
    """Equal cores of a processor."""

    name: str
    cores: int
    clock_mhz: int


PUBLISHED_CHIPS = (
    "sd835", "sd845", "sd855", "sd855plus", "sd865", "sd888", "kirin970", "kirin980", "kirin985", "kirin990",
    "kirin990-5g",
)  # fmt: skip
PUBLISHED_ENGINES = ("bolt", "mace", "mnn", "ncnn", "paddle-lite", "tflite", "tnn", "tvm")
"""What a `KernelLaw` may name: chips and engines that hetpart.cost.fitted knows."""


@dataclass(frozen=True)
class KernelLaw:
    """Published kernels that hetpart's are taken to be as fast as: the law of hetpart.cost.fitted tells their times.

    Attributes:
        chip: one of `PUBLISHED_CHIPS`.
        fp32, fp16, int8: one of `PUBLISHED_ENGINES` for each type that kernels compute in. Empty: as fp32.
    """

    chip: str
    fp32: str
    fp16: str = ""
    int8: str = ""

    def engine(self, dtype: str) -> str:
        """The engine for ``fp32``, ``fp16`` or ``int8``."""
        return {"fp16": self.fp16, "int8": self.int8}.get(dtype) or self.fp32


@dataclass(frozen=True)
class Cache:
    """What of a unit's activations lies within the first `size_bytes` moves at `gb_per_s`, 1e9 bytes per second."""

    size_bytes: int
    gb_per_s: float


@dataclass(frozen=True)
class CostTable:
    """What kernels take on a processor: by a law of published kernels, or else by a roofline.

    Attributes:
        peak_gflops: arithmetic roof in GFLOP/s (a multiply-add is two), for the threads that a kernel uses; 0 where
            the law tells of everything that hetpart emits.
        bandwidth_gb_per_s: memory roof, 1e9 bytes per second; likewise.
        caches: smallest first; the roof of activations that fit into one, those beyond all of them and weights have the
            memory's. Without a law only, as the next.
        half_speed_pixels: per kernel class, the pixels of an output map with which kernels reach half of their
            efficiency (they reach all of it with infinitely many); 0 where none is stated.
        launch_us: fixed cost of one kernel call.
        law: of all classes but `UNTUNED_CLASSES`; None where the roofline is that of these too.
        efficiency: per kernel class, the share of the law's speed that kernels reach, 1 where none is stated; without a
            law that of the roof. The latter is an effective share: an algorithm that saves multiplications (Winograd)
            may exceed 1.
        shared: the same, where it differs, for a unit that works on shared buffers on a processor that has private
            memory (`OpenclCodegen.private`).
        convert_gb_per_s: speed of a copy between shared and private memory, 1e9 bytes of float32 per second; 0 if
            there is no private memory. It is the median's; those of the percentiles are 0 where none is known.
        convert_fixed_us: what such a copy takes whatever its size; None (in every file: a profile measures it) stands
            for `launch_us`.
        contention: factor on the time of a kernel while another processor computes: they share the memory's bandwidth.
        power_w: watts of the phone while this processor computes and the others idle; 0 where it is not known.
    """

    peak_gflops: float = 0.0
    bandwidth_gb_per_s: float = 0.0
    caches: tuple[Cache, ...] = ()
    half_speed_pixels: Mapping[str, int] = field(default_factory=dict)
    launch_us: float = 0.0
    law: KernelLaw | None = None
    efficiency: Mapping[str, float] = field(default_factory=dict)
    shared: Mapping[str, float] = field(default_factory=dict)
    convert_gb_per_s: float = 0.0
    convert_p5_gb_per_s: float = 0.0
    convert_p95_gb_per_s: float = 0.0
    convert_fixed_us: float | None = None
    contention: float = 1.0
    power_w: float = 0.0

    def share(self, kernel_class: str, *, shared: bool = False) -> float:
        """The efficiency of a class, on shared buffers if `shared`."""
        stated = self.shared if shared and kernel_class in self.shared else self.efficiency
        return stated[kernel_class] if self.law is None else stated.get(kernel_class, 1.0)

    def convert_us(self, size_bytes: int) -> float:
        """Median time of a copy between shared and private memory."""
        return self.convert_start_us + size_bytes / (self.convert_gb_per_s * 1e3)

    @property
    def convert_start_us(self) -> float:
        """What a copy of no bytes takes."""
        return self.launch_us if self.convert_fixed_us is None else self.convert_fixed_us

    def convert_speed(self, percentile: Percentile) -> float:
        """`convert_gb_per_s` at a percentile of the time that copies take."""
        spread = {"p5": self.convert_p5_gb_per_s, "p95": self.convert_p95_gb_per_s}
        return spread.get(percentile) or self.convert_gb_per_s


@dataclass(frozen=True)
class Processor:
    """A processor of the target.

    Attributes:
        name: ``cpu``, ``gpu``, ``dsp``.
        kind: one of `PROCESSOR_KINDS`: decides rules, code generator and runtime.
        title: for people.
        codegen: options of its code generator.
        clusters: its cores.
        threads: cores that one kernel uses.
        core: core id that the host bench pins it to, driver included, so that its launches cost the host nothing; None
            leaves that to the operating system.
        facts: further facts for ``hetpart targets``, free text.
        cost: what its kernels take; None where hetpart emits no code yet.
    """

    name: str
    kind: str
    title: str
    codegen: CpuCodegen | OpenclCodegen | HexagonCodegen
    clusters: tuple[Cluster, ...] = ()
    threads: int = 1
    core: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    cost: CostTable | None = None


@dataclass(frozen=True)
class Law:
    """A time that grows with the size: ``fixed_us`` and the bytes at ``gb_per_s`` (1e9 bytes per second)."""

    fixed_us: float
    gb_per_s: float


@dataclass(frozen=True)
class Link:
    """What it costs to make bytes that `source` wrote visible to `target`.

    Attributes:
        fixed_us, gb_per_s: the law of the median time, as in `Law`.
        p5, p95: the laws that one in twenty transfers is quicker than, and slower than; None where no spread is known.
        loading: the share of it for which the reader's first kernel takes longer; only a profile knows it.
    """

    source: str
    target: str
    fixed_us: float
    gb_per_s: float
    p5: Law | None = None
    p95: Law | None = None
    loading: float = 0.0

    def law(self, percentile: Percentile) -> Law:
        """The law of a percentile; the median's where no spread is known."""
        return {"p5": self.p5, "p95": self.p95}.get(percentile) or Law(self.fixed_us, self.gb_per_s)


@dataclass(frozen=True)
class Target:
    """A phone or machine.

    Attributes:
        block: channels of a layout block (float32 lanes of a vector).
        unified_memory: all processors address the same RAM.
        processors: the CPU that runs the application first.
        links: one per ordered pair of processors that exchange data.
        facts: of the chip as a whole, for ``hetpart targets``, free text.
    """

    name: str
    title: str
    block: int
    unified_memory: bool
    processors: tuple[Processor, ...]
    links: tuple[Link, ...]
    facts: Mapping[str, str] = field(default_factory=dict)

    def processor(self, name: str) -> Processor:
        for processor in self.processors:
            if processor.name == name:
                return processor
        known = ", ".join(processor.name for processor in self.processors)
        raise HetpartError("unknown-processor", f"target {self.name} has no processor {name!r}", hint=f"it has {known}")

    def link(self, source: str, target: str) -> Link:
        for link in self.links:
            if (link.source, link.target) == (source, target):
                return link
        raise HetpartError("no-link", f"target {self.name} states no link from {source} to {target}")

    @property
    def host(self) -> Processor:
        """The CPU: model inputs and outputs live there, and it launches the kernels of the others."""
        return self.processors[0]
