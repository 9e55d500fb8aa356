"""Independent check of a finished `Plan`; shares no code with what builds it.

`check_plan` looks at each part by itself here (indices, sizes, alignment, launches, ports), then at the order of steps
(hetpart.plan.order) and at who touches which bytes when (hetpart.plan.hazards).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NoReturn

import numpy as np

from hetpart.errors import InternalError
from hetpart.plan.hazards import check_hazards
from hetpart.plan.order import execution_order
from hetpart.plan.plan import Buffer, Plan, Port, Step

_ALIGNMENT = 64
"""Bytes: one cache line, and the widest vector load that kernels assume aligned."""

_DEVICE_ALIGNMENT = 128
"""Bytes: where an OpenCL sub-buffer or a Hexagon vector may start."""

_KINDS = ("cpu", "opencl", "hexagon")

_TEXELS = ("float32", "float16")
"""What a texel may be made of."""


def check_plan(plan: Plan) -> None:
    """Returns if `plan` runs to its end and every kernel reads what is meant for it, on every timing.

    Raises:
        InternalError: ``plan-deadlock``, or ``bad-plan`` with the violation; `node` is the unit concerned.
    """
    host = _check_processors(plan)
    for image in plan.images:
        if min(image.width, image.height) < 1 or image.dtype not in _TEXELS:
            _fail(f"there can be no image {image}")
    for buffer in plan.buffers:
        _check_buffer(buffer, plan)
    for processor, steps in plan.processors.items():
        for step in steps:
            _check_step(step, processor, host, plan)
            _check_launch(step, plan.kinds[processor])
    _check_ports(plan)
    check_hazards(plan, host, execution_order(plan))


def _check_processors(plan: Plan) -> str:
    """The name of the host."""
    if set(plan.kinds) != set(plan.processors):
        _fail(f"kinds are given for {sorted(plan.kinds)}, steps for {sorted(plan.processors)}")
    for processor, kind in plan.kinds.items():
        if kind not in _KINDS:
            _fail(f"{processor} is of the unknown kind {kind}")
    hosts = [processor for processor, kind in plan.kinds.items() if kind == "cpu"]
    if len(hosts) != 1:
        _fail(f"exactly one processor must be of kind cpu, not {hosts}")
    return hosts[0]


def _check_buffer(buffer: Buffer, plan: Plan) -> None:
    if buffer.space == "image":
        _check_view(buffer, plan)
        return
    spaces = {"arena": plan.arena_bytes, "weights": plan.weights_bytes, "texture": plan.weights_bytes}
    if buffer.space not in spaces:
        _fail(f"buffer {buffer.name} is in the unknown space {buffer.space}")
    if buffer.offset < 0 or buffer.size < 0 or buffer.offset + buffer.size > spaces[buffer.space]:
        end = buffer.offset + buffer.size
        _fail(f"buffer {buffer.name} is bytes {buffer.offset} to {end} of {spaces[buffer.space]} in {buffer.space}")
    if buffer.offset % _ALIGNMENT:
        _fail(f"buffer {buffer.name} starts at {buffer.offset}, not a multiple of {_ALIGNMENT} bytes")
    if buffer.size < (needed := _bytes(buffer.dtype, buffer.shape, buffer.name)):
        _fail(f"buffer {buffer.name} has {buffer.size} bytes, its shape needs {needed}")


def _check_view(buffer: Buffer, plan: Plan) -> None:
    """A view of an image: its columns and rows, in texels."""
    if not 0 <= buffer.image < len(plan.images):
        _fail(f"buffer {buffer.name} is in image {buffer.image} of {len(plan.images)}")
    image = plan.images[buffer.image]
    rows, columns, channels = buffer.shape
    if buffer.offset < 0 or buffer.size != columns or buffer.offset + columns > image.width or rows > image.height:
        _fail(
            f"buffer {buffer.name} is columns {buffer.offset} to {buffer.offset + buffer.size}, {rows} rows of {image}"
        )
    if channels != 4 or buffer.dtype != image.dtype:
        _fail(f"buffer {buffer.name} of {buffer.dtype}[{channels}] is in {image}")


def _check_images(step: Step, processor: str, plan: Plan) -> None:
    """Images belong to the GPU, and no kernel reads and writes one."""
    spaces = {plan.buffers[index].space for index in (*step.args, *(t.buffer for t in step.transfers))}
    if plan.kinds[processor] != "opencl" and spaces & {"image", "texture"}:
        _fail(f"a step of {processor} uses an image", step.unit)
    views = [(position, plan.buffers[index]) for position, index in enumerate(step.args)]
    written = {buffer.image for position, buffer in views if position in step.writes}
    if both := {buffer.image for position, buffer in views if position not in step.writes} & written - {-1}:
        _fail(f"kernel {step.kernel} reads and writes image {min(both)}", step.unit)


def _check_step(step: Step, processor: str, host: str, plan: Plan) -> None:
    unit = step.unit
    if not step.kernel and (step.args or processor != host):
        _fail(f"a step without a kernel has arguments or runs on {processor}", unit)
    for index in (*step.args, *(transfer.buffer for transfer in step.transfers)):
        if not 0 <= index < len(plan.buffers):
            _fail(f"there is no buffer {index}", unit)
        sub_buffer = plan.kinds[processor] != "cpu" and plan.buffers[index].space != "image"
        if sub_buffer and plan.buffers[index].offset % _DEVICE_ALIGNMENT:
            _fail(f"{processor} needs buffer {plan.buffers[index].name} on {_DEVICE_ALIGNMENT} bytes", unit)
    _check_images(step, processor, plan)
    if any(not 0 <= position < len(step.args) for position in step.writes) or len(set(step.writes)) < len(step.writes):
        _fail(f"writes {step.writes} are not distinct positions of {len(step.args)} arguments", unit)
    if step.kernel and not step.writes:
        _fail(f"kernel {step.kernel} writes nothing", unit)
    for position in step.writes:
        if plan.buffers[step.args[position]].space in ("weights", "texture"):
            _fail(f"kernel {step.kernel} writes to the constant {plan.buffers[step.args[position]].name}", unit)
    if len({wait.processor for wait in step.waits}) < len(step.waits):
        _fail("it waits twice for one processor", unit)
    for wait in step.waits:
        if wait.processor == processor or wait.processor not in plan.processors:
            _fail(f"a step of {processor} waits for {wait.processor}", unit)
        if not 0 < wait.count <= len(plan.processors[wait.processor]):
            have = len(plan.processors[wait.processor])
            _fail(f"it waits for {wait.count} steps of {wait.processor}, which has {have}", unit)
    for transfer in step.transfers:
        if transfer.source == processor or transfer.source not in plan.processors:
            _fail(f"a step of {processor} has a transfer from {transfer.source}", unit)
        if plan.buffers[transfer.buffer].space != "arena":
            _fail(f"{plan.buffers[transfer.buffer].name} in {plan.buffers[transfer.buffer].space} is transferred", unit)


def _check_launch(step: Step, kind: str) -> None:
    if step.predicted_us < 0:
        _fail(f"a step cannot take {step.predicted_us} us", step.unit)
    if kind == "cpu" and step.extent < 1:
        _fail(f"kernel {step.kernel} has {step.extent} work items", step.unit)
    if kind == "opencl":
        sizes = list(zip(step.global_size, step.local_size, strict=True))
        if any(size < 1 or group < 1 or size % group for size, group in sizes):
            _fail(f"global size {step.global_size} is no multiple of local size {step.local_size}", step.unit)


def _check_ports(plan: Plan) -> None:
    for ports in (plan.inputs, plan.outputs):
        names = [port.name for port in ports]
        if len(set(names)) < len(names):
            _fail(f"two ports have one name: {names}")
        for port in ports:
            _check_port(port, plan)
    spans = sorted((plan.buffers[p.buffer].offset, plan.buffers[p.buffer].size, p.name) for p in plan.inputs)
    for (offset, size, first), (start, _, second) in pairwise(spans):
        if start < offset + size:
            _fail(f"inputs {first} and {second} share memory")


def _check_port(port: Port, plan: Plan) -> None:
    if not 0 <= port.buffer < len(plan.buffers):
        _fail(f"there is no buffer {port.buffer}", port.name)
    buffer = plan.buffers[port.buffer]
    if buffer.space != "arena":
        _fail(f"its buffer {buffer.name} is in {buffer.space}, not in the arena", port.name)
    if port.dtype != buffer.dtype or _bytes(port.dtype, port.shape, port.name) > buffer.size:
        _fail(f"{port.dtype}{list(port.shape)} is not what its buffer {buffer.name} holds", port.name)


def _bytes(dtype: str, shape: tuple[int, ...], name: str) -> int:
    try:
        return math.prod(shape) * np.dtype(dtype).itemsize
    except TypeError:
        _fail(f"{name} has the unknown dtype {dtype}")


def _fail(message: str, node: str | None = None) -> NoReturn:
    raise InternalError("bad-plan", f"the plan is wrong: {message}", node=node)
