"""The plan: what each processor runs, in which order, on which bytes. Pure data; the C runtime executes it as it is.

Memory. All activations that processors share lie in one arena, all constants in the weights file; a `Buffer` is a typed
view of one of the two. Buffers may overlap only if their lifetimes do not, or if one is a view of the other. A GPU may
also keep activations in a pool of images, which nobody else sees, and read constants as images.

Order. `Step` s are listed per processor and run in that order. Where a step needs something from another processor
it waits until that processor has finished a given number of its steps; there are no other events.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Buffer:
    """A view of memory as a kernel sees it.

    Attributes:
        name: the ONNX value or constant it holds (scratch: the unit's name and a suffix).
        space: ``arena``; ``weights`` for the read-only constants file; ``texture``, constants that the GPU reads as an
            image; ``image``, a view of one of the plan's images.
        offset: bytes from the start of the space, a multiple of 64 (128 for buffers the GPU reads or writes).
        size: bytes.
        dtype: numpy name.
        shape: physical shape (see hetpart.graph.layout).
            In an image: the first column and the number of columns, in texels of shape (rows, columns, 4).
        root: name of the value whose bytes this one shares (a view, or a slice of a concatenation); empty if it has
            its own. Buffers with one root may overlap at any time, others only while one of them is dead.
        image: index of the plan's image, -1 outside of images.
    """

    name: str
    space: str
    offset: int
    size: int
    dtype: str
    shape: tuple[int, ...]
    root: str = ""
    image: int = -1


@dataclass(frozen=True)
class ImageShape:
    """An image of four channels; `dtype` is ``float32`` or ``float16``, width and height count texels."""

    width: int
    height: int
    dtype: str

    @property
    def texels(self) -> int:
        return self.width * self.height


@dataclass(frozen=True)
class Wait:
    """Do not start before `processor` has finished its first `count` steps."""

    processor: str
    count: int


@dataclass(frozen=True)
class Transfer:
    """Make `buffer` (index) visible to this step's processor after `source` wrote it."""

    buffer: int
    source: str


@dataclass(frozen=True)
class Step:
    """One kernel call.

    Attributes:
        unit: the unit it belongs to (its trace name).
        kernel: symbol in the processor's module.
        args: buffer indices in argument order.
        extent: CPU: number of work items, handed out to the threads as [lo, hi) ranges.
        ranged: CPU: the kernel ends with the two ints lo, hi; if not, it does all its work in one call.
        global_size, local_size: OpenCL launch in work-items; zeros on the CPU.
        offset: OpenCL: the first work-item, where a kernel is launched in several parts.
        grouped: OpenCL: the kernel works with this local size only.
        waits: at most one per other processor.
        transfers: what must cross over after the waits and before the kernel.
        predicted_us: the cost model's figure.
        writes: positions in `args` that the kernel writes; it reads all others.
    """

    unit: str
    kernel: str
    args: tuple[int, ...]
    extent: int = 1
    ranged: bool = True
    global_size: tuple[int, int, int] = (0, 0, 0)
    local_size: tuple[int, int, int] = (0, 0, 0)
    waits: tuple[Wait, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    predicted_us: int = 0
    writes: tuple[int, ...] = ()
    offset: tuple[int, int, int] = (0, 0, 0)
    grouped: bool = False


@dataclass(frozen=True)
class Port:
    """A model input or output: plain row-major data in a buffer of the arena.

    `shape` is the logical ONNX shape; `buffer` indexes the plan's buffers. Ports belong to the CPU: an output that
    the GPU made is transferred by a closing CPU step without a kernel (``kernel == ""``).
    """

    name: str
    buffer: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """A complete static schedule.

    Attributes:
        processors: name -> its steps, in order.
        kinds: name -> ``cpu``, ``opencl`` or ``hexagon``.
        images: the pool of images of the GPU's values.
        threads: name -> threads (cores) that the steps' times are predicted for; 1 where it says nothing.
    """

    processors: dict[str, tuple[Step, ...]]
    buffers: tuple[Buffer, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    arena_bytes: int
    weights_bytes: int
    predicted_us: int = 0
    kinds: dict[str, str] = field(default_factory=dict)
    threads: dict[str, int] = field(default_factory=dict)
    images: tuple[ImageShape, ...] = ()
