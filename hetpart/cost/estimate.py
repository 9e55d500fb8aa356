"""From a unit to microseconds: by the law of published kernels or by a roofline, as the target says; transfers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hetpart.cost.fitted import as_published, class_times
from hetpart.cost.law import CPU_COMPUTE, GPU_COMPUTE, LAUNCH
from hetpart.cost.layers import Layer, kernel
from hetpart.cost.phones import DTYPE_BYTES, Setting
from hetpart.cost.work import Work, work
from hetpart.errors import InternalError
from hetpart.graph.layout import Layout
from hetpart.graph.units import Unit, UnitGraph
from hetpart.targets.schema import MEMORY_CLASSES, UNTUNED_CLASSES, CostTable, KernelLaw, Link, OpenclCodegen, Processor


@dataclass(frozen=True)
class Cost:
    """Predicted time of one unit on one processor.

    Attributes:
        latency_us: from the start of the launch to the end of the kernel.
        launch_us: the part of it that launching takes, whatever the size of the work.
        origin: ``measured`` on the device (a profile) or ``estimated`` from what the target states.
        bound: what dominates.
        kernel_class: the class whose efficiency was applied (see hetpart.targets.schema).
    """

    latency_us: float
    launch_us: float
    origin: Literal["estimated", "measured"]
    bound: Literal["compute", "memory", "launch"]
    kernel_class: str


def estimate(
    unit: Unit,
    layouts: Mapping[str, Layout],
    graph: UnitGraph,
    processor: Processor,
    *,
    shared: bool = False,
    half: bool = False,
) -> Cost:
    """``launch + work`` by the law that the target names, or by its roofline; a view costs nothing.

    Where the target bounds the length of a kernel, each of the parts that it is cut into is launched.

    Args:
        unit: what to predict; it must be supported there (see hetpart.oracle).
        layouts: layout of every activation; a value without one counts with its logical size.
        graph: the graph of the unit.
        processor: where it would run.
        shared: on shared buffers, though the processor has private memory.
        half: with weights in float16.

    Raises:
        InternalError: ``no-cost-table`` if the target states no costs for the processor.
    """
    table = processor.cost
    if table is None:
        raise InternalError("no-cost-table", f"the target states no costs for {processor.name}")
    todo = work(unit, graph, layouts, half=half)
    if todo.kernel_class == "view":
        return Cost(0.0, 0.0, "estimated", "launch", "view")
    name = _class_there(todo, processor)
    if table.law is None or name in UNTUNED_CLASSES:
        compute_us, memory_us, busy_us = _by_roofline(todo, name, table, shared)
    else:
        setting = _setting(unit, todo, processor, table.law)
        layer = kernel(unit, graph, layouts, DTYPE_BYTES[setting.dtype])
        compute_us, memory_us, busy_us = _by_law(layer, setting, table.share(name, shared=shared))
    bound: Literal["compute", "memory", "launch"] = "compute" if compute_us >= memory_us else "memory"
    if table.launch_us > busy_us:
        bound = "launch"
    parts = 1
    if isinstance(processor.codegen, OpenclCodegen) and processor.codegen.max_kernel_us:
        parts = max(1, math.ceil(busy_us / processor.codegen.max_kernel_us))
    return Cost(parts * table.launch_us + busy_us, table.launch_us, "estimated", bound, name)


_HALF = {"conv": "fp16_conv", "conv1x1": "fp16_conv", "conv3x3": "fp16_conv", "depthwise": "fp16_depthwise"}
"""What a CPU computes in float16, as classes of their own. A GPU computes in float32 whatever is stored."""


def _class_there(todo: Work, processor: Processor) -> str:
    if not todo.half:
        return todo.kernel_class
    codegen = processor.codegen
    if isinstance(codegen, OpenclCodegen):  # Winograd's transform, which is in the share of conv3x3, is off
        return "conv" if codegen.tile_items and todo.kernel_class == "conv3x3" else todo.kernel_class
    return _HALF.get(todo.kernel_class, todo.kernel_class)


_Busy = tuple[float, float, float]
"""Microseconds of arithmetic, of traffic, and of both as they overlap."""


def _by_roofline(todo: Work, kernel_class: str, table: CostTable, shared: bool) -> _Busy:
    """``max(flops / (peak * efficiency), bytes / bandwidth)``, slower on small maps, faster from caches."""
    efficiency = table.share(kernel_class, shared=shared)
    compute_us, bandwidth_share = 0.0, efficiency
    if kernel_class not in MEMORY_CLASSES:
        compute_us = 2 * todo.macs / todo.utilisation / (table.peak_gflops * efficiency * 1e3)
        if todo.pixels:
            compute_us *= 1 + table.half_speed_pixels.get(kernel_class, 0) / todo.pixels
        bandwidth_share = table.efficiency["generic_memory"] if kernel_class == "generic" else 1.0
    memory_us = _traffic_us(todo, table) / bandwidth_share
    return compute_us, memory_us, max(compute_us, memory_us)


def _traffic_us(todo: Work, table: CostTable) -> float:
    """Activations by the caches that they fit into; weights are as cold as a whole network makes them."""
    left, done, us = todo.read_bytes + todo.write_bytes - todo.constant_bytes, 0, 0.0
    for cache in table.caches:
        here = min(left, cache.size_bytes - done)
        us += here / (cache.gb_per_s * 1e3)
        left, done = left - here, cache.size_bytes
    return us + (left + todo.constant_bytes) / (table.bandwidth_gb_per_s * 1e3)


def _by_law(layer: Layer, setting: Setting, share: float) -> _Busy:
    """The law adds arithmetic and traffic: published latencies are those of sums of layers, which do not tell more."""
    parts = {name: 1e3 * ms / share for name, ms in class_times([layer], setting).items() if name != LAUNCH}
    compute_us = sum(us for name, us in parts.items() if name in (*CPU_COMPUTE, *GPU_COMPUTE))
    busy_us = sum(parts.values())
    return compute_us, busy_us - compute_us, busy_us


def _setting(unit: Unit, todo: Work, processor: Processor, law: KernelLaw) -> Setting:
    """How the law's engine would run `unit`: a CPU in integers or float16 where the unit does, a GPU in float32."""
    if processor.kind != "cpu":
        return as_published(Setting(law.chip, law.fp32, "gpu", "fp32", 0))
    dtype = "int8" if unit.quantised is not None else "fp16" if todo.half else "fp32"
    return Setting(law.chip, law.engine(dtype), "cpu", dtype, processor.threads)


def transfer_us(link: Link, size_bytes: int) -> float:
    """Time until `size_bytes` that one processor wrote are visible to the other."""
    return link.fixed_us + size_bytes / (link.gb_per_s * 1e3)
