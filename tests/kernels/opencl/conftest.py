"""Runs generated OpenCL kernels on PoCL and checks what every kernel owes to its neighbours.

The rig fills spare lanes of the inputs with NaN, starts from outputs full of NaN, keeps guard bytes around every
output, and checks after the run that the guards are untouched and that the halo is exactly zero. It runs every kernel
once more, launched in parts as for a target with `max_kernel_us`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from hetpart.codegen.parts import in_parts
from hetpart.graph.layout import Blocked, Image, Layout, Split, pack, unpack
from hetpart.kernels.kernel import Device, Launch, Texture
from hetpart.kernels.opencl import generator
from hetpart.kernels.spec import Spec
from hetpart.plan.invocation import Invocation

TILE = Device(tile_items=True, registers=32, work_group=(1, 1, 1))
SIMT = Device(tile_items=False, registers=24, work_group=(8, 4, 2))
GUARD_BYTES = 256

STYLES = [pytest.param((TILE, 16), id="tile16"), pytest.param((SIMT, 4), id="simt4")]


@dataclass
class Rig:
    """A queue on one PoCL core, and how to run a spec on it."""

    cl: Any
    context: Any
    queue: Any

    def build(self, source: str) -> Any:
        return self.cl.Program(self.context, source).build()

    def buffer(self, data: np.ndarray) -> Any:
        flags = self.cl.mem_flags
        return self.cl.Buffer(self.context, flags.READ_WRITE | flags.COPY_HOST_PTR, hostbuf=np.ascontiguousarray(data))

    def stored(
        self,
        spec: Spec,
        device: Device,
        inputs: Sequence[np.ndarray],
        constants: Mapping[str, np.ndarray],
        out: np.ndarray | None = None,
        local_size: tuple[int, int, int] | None = None,
    ) -> np.ndarray:
        """The physical output of `spec` for logical `inputs` (operands last), from an output full of NaN or `out`.

        A kernel that is launched in parts must make the same, bit for bit.
        """
        module = generator(spec)
        launch: Launch = module.launch(spec, device)
        if local_size:
            launch = replace(launch, local_size=local_size)
        layouts = (*spec.inputs, *getattr(spec, "operands", ()))
        args = [self.argument(with_garbage(x, layout), layout) for x, layout in zip(inputs, layouts, strict=True)]
        args += [self.constant(part) for part in module.pack(spec, device, constants)]
        kernel = self.build(module.source(spec, device, "kernel_under_test")).kernel_under_test
        whole = Invocation("", (), (), global_size=launch.global_size, local_size=launch.local_size)
        groups = math.prod(launch.global_size) // math.prod(launch.local_size)
        found = self.written(kernel, [whole], args, spec.outputs[0], out)
        if groups > 1:
            parts = in_parts(whole, -(-groups // 3))
            again = self.written(kernel, parts, args, spec.outputs[0], out)
            assert again.tobytes() == found.tobytes(), "in parts it makes something else"
        return found

    def written(
        self, kernel: Any, launches: Sequence[Invocation], args: Sequence[Any], form: Layout, out: np.ndarray | None
    ) -> np.ndarray:
        """What the launches make of an output full of NaN, or of `out`."""

        def run(output: Any) -> None:
            for one in launches:
                kernel(self.queue, one.global_size, one.local_size, *args, output, global_offset=one.offset)

        if isinstance(form, Image):
            return self.stored_image(run, form)
        physical = np.full(form.physical_shape, np.nan if form.dtype.startswith("float") else 1).astype(form.dtype)
        if out is not None:
            physical[...] = out
        guard = np.full(GUARD_BYTES, 0xA5, np.uint8)
        whole = self.buffer(np.concatenate([guard, np.frombuffer(physical.tobytes(), np.uint8), guard]))
        run(whole.get_sub_region(GUARD_BYTES, physical.nbytes))
        found = np.empty(physical.nbytes + 2 * GUARD_BYTES, np.uint8)
        self.cl.enqueue_copy(self.queue, found, whole)
        assert np.array_equal(found[:GUARD_BYTES], guard)
        assert np.array_equal(found[-GUARD_BYTES:], guard)
        return found[GUARD_BYTES:-GUARD_BYTES].view(form.dtype).reshape(form.physical_shape)

    def argument(self, stored: np.ndarray, layout: Layout) -> Any:
        """`stored` as the kernel wants it; an image has NaN all around it."""
        if not isinstance(layout, Image):
            return self.buffer(stored)
        return self.image(surrounded(stored, layout))

    def constant(self, packed: np.ndarray | Texture) -> Any:
        return self.image(packed.data) if isinstance(packed, Texture) else self.buffer(packed)

    def image(self, texels: np.ndarray) -> Any:
        cl = self.cl
        kind = {"float32": cl.channel_type.FLOAT, "float16": cl.channel_type.HALF_FLOAT}[str(texels.dtype)]
        form = cl.ImageFormat(cl.channel_order.RGBA, kind)
        flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
        shape = texels.shape[1::-1]
        return cl.create_image(self.context, flags, form, shape=shape, hostbuf=np.ascontiguousarray(texels))

    def stored_image(self, run: Callable[[Any], Any], layout: Image) -> np.ndarray:
        """The map that `run` writes into an image, of which it must leave the rest alone."""
        before = surrounded(np.full(layout.physical_shape, np.nan, layout.dtype), layout)
        image = self.image(before)
        run(image)
        found = np.empty_like(before)
        self.cl.enqueue_copy(self.queue, found, image, origin=(0, 0), region=before.shape[1::-1])
        rows, columns = interior(layout)
        around = np.ones(found.shape[:2], bool)
        around[rows, columns] = False
        assert np.isnan(found[around]).all()
        return found[rows, columns]

    def run(
        self,
        spec: Spec,
        device: Device,
        inputs: Sequence[np.ndarray],
        constants: Mapping[str, np.ndarray] | None = None,
        local_size: tuple[int, int, int] | None = None,
    ) -> np.ndarray:
        """The logical output; the halo has been checked."""
        found = self.stored(spec, device, inputs, constants or {}, local_size=local_size)
        (form,) = spec.outputs
        if isinstance(form, Blocked) and not isinstance(form, Image):
            assert not halo_of(found, form).any(), "halo is not zero"
        logical = unpack(found, form)
        return logical.astype(np.float32) if form.dtype == "float16" else logical

    @staticmethod
    def onnx(op: str, inputs: Sequence[np.ndarray | None], opset: int = 19, **attributes: Any) -> np.ndarray:
        """The first output of one ONNX operator in onnxruntime."""
        names = ["" if x is None else f"i{k}" for k, x in enumerate(inputs)]
        feeds = {name: x for name, x in zip(names, inputs, strict=True) if x is not None}
        node = onnx.helper.make_node(op, names, ["o"], **attributes)
        forms = [
            onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
            for name, x in feeds.items()
        ]
        out = onnx.helper.make_empty_tensor_value_info("o")
        graph = onnx.helper.make_graph([node], "one", forms, [out])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=9)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        found: np.ndarray = session.run(None, feeds)[0]
        return found


def interior(layout: Image) -> tuple[slice, slice]:
    """Rows and columns of the map in its image."""
    start = layout.first * layout.w
    return slice(0, layout.n * layout.h), slice(start, start + layout.blocks * layout.w)


def surrounded(texels: np.ndarray, layout: Image) -> np.ndarray:
    """A larger image that holds the map where it belongs, and NaN elsewhere."""
    rows, columns = interior(layout)
    image = np.full((rows.stop + 2, columns.stop + 3, 4), np.nan, texels.dtype)
    image[rows, columns] = texels
    return image


def in_memory(spec: Any, memory: str) -> Any:
    """`spec` with its maps in images (not at their beginning), in buffers of half, or there in blocks twice as wide."""
    kind, _, dtype = memory.partition("-")

    def moved(layout: Any) -> Any:
        if not isinstance(layout, Blocked):
            return layout
        if kind == "image":
            return Image.of(layout, dtype, first=2)
        if kind == "wide":
            return Split.of(replace(layout, dtype=dtype, block=2 * layout.block), layout.block)
        return replace(layout, dtype=dtype)

    reads = {"xs": tuple(map(moved, spec.xs))} if hasattr(spec, "xs") else {"x": moved(spec.x)}
    changes = {**reads, "out": moved(spec.out)}
    if getattr(spec, "operands", ()):
        changes["operands"] = tuple(map(moved, spec.operands))
    return replace(spec, **changes)


def rounded(array: np.ndarray, memory: str) -> np.ndarray:
    """`array` as that memory holds it."""
    return array.astype(memory.partition("-")[2]).astype(np.float32)


def with_garbage(array: np.ndarray, layout: Layout) -> np.ndarray:
    """`array` as it lies in memory, with NaN in the lanes beyond the last channel."""
    stored = pack(array, layout)
    if isinstance(layout, Image):
        spare = layout.blocks * layout.block - layout.c
        if spare:
            stored[:, -layout.w :, -spare:] = np.nan
        return stored
    if isinstance(layout, Blocked) and (spare := layout.stored.blocks * layout.stored.block - layout.c):
        top, left = layout.halo.top, layout.halo.left
        stored[:, -1, top : top + layout.h, left : left + layout.w, -spare:] = np.nan
    return stored


def halo_of(stored: np.ndarray, layout: Blocked) -> np.ndarray:
    """All values of the halo, flat, without vectors of spare lanes."""
    mask = np.ones(layout.physical_shape, bool)
    top, left = layout.halo.top, layout.halo.left
    mask[:, :, top : top + layout.h, left : left + layout.w] = False
    used = layout.blocks * layout.block - (layout.stored.blocks - 1) * layout.stored.block
    mask[:, -1, ..., used:] = False
    return stored[mask]


@pytest.fixture(scope="session")
def rig() -> Rig:
    """One PoCL core; skips where there is no OpenCL platform."""
    os.environ["POCL_MAX_PTHREAD_COUNT"] = "1"
    cl = pytest.importorskip("pyopencl")
    try:
        device = cl.get_platforms()[0].get_devices()[0]
    except (cl.Error, IndexError):
        pytest.skip("no OpenCL platform; pip install hetpart[opencl]")
    context = cl.Context([device])
    return Rig(cl, context, cl.CommandQueue(context))


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest) -> tuple[Device, int]:
    """A device and the block that its target uses."""
    style: tuple[Device, int] = request.param
    return style


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
