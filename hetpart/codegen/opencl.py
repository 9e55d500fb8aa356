"""The GPU processor's module: kernel calls -> invocations and one readable kernels.cl."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hetpart.codegen.cpu import arguments
from hetpart.codegen.names import symbol_of
from hetpart.graph.assign import Assignment
from hetpart.graph.layout import Blocked, Layout, Split
from hetpart.kernels.call import KernelCall
from hetpart.kernels.kernel import Device, OpenclGenerator, Texture
from hetpart.kernels.opencl import generator
from hetpart.kernels.spec import RepackSpec, Spec
from hetpart.plan.invocation import Argument, Constant, Invocation, Private, Value
from hetpart.plan.private import Copy
from hetpart.targets.schema import OpenclCodegen


def device_of(options: OpenclCodegen) -> Device:
    """The device that a target describes."""
    return Device(options.tile_items, options.registers, options.work_group, options.max_image, options.local_bytes)


class OpenclModule:
    """Collects the OpenCL kernels for one device."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._sources: dict[str, str] = {}

    def lower(self, call: KernelCall, private: Mapping[str, Blocked] | None = None) -> tuple[Invocation, ...]:
        """The invocation of `call`; its source is noted for `source`.

        Args:
            call: what to compute.
            private: values that it reads or writes in private memory, with their form there.
        """
        private = private or {}
        spec = _in_vectors(_privately(call, private), self.device.lanes)
        packed = self._generate(spec).pack(spec, self.device, call.constants)
        textures = [isinstance(part, Texture) for part in packed]
        args = arguments(call, [part.data if isinstance(part, Texture) else part for part in packed])
        constants = iter(textures)
        first, last = len(call.sources), len(call.sources) + len(packed)
        placed: list[Argument] = []
        for position, argument in enumerate(args):
            if isinstance(argument, Constant) and first <= position < last:
                argument = replace(argument, image=next(constants))
            elif isinstance(argument, Value) and argument.name in private:
                argument = Private(argument.name)
            placed.append(argument)
        return (self._invocation(spec, tuple(placed)),)

    def copy(self, copy: Copy, assignment: Assignment, private: Mapping[str, Blocked]) -> Invocation:
        """The invocation of a copy between the shared and the private form of a value."""
        own = private[copy.value]
        spec: Spec
        if copy.kind == "in":
            spec = RepackSpec(assignment.layouts[copy.value], own)
            args: tuple[Argument, ...] = (Value(copy.value), Private(copy.value))
        elif copy.kind == "out":
            spec = RepackSpec(own, assignment.layouts[copy.value])
            args = (Private(copy.value), Value(copy.value))
        else:
            spec = RepackSpec(own, private[copy.whole], copy.channel)
            args = (Private(copy.value), Private(copy.whole))
        spec = _in_vectors(spec, self.device.lanes)
        self._generate(spec)
        return self._invocation(spec, args)

    def _generate(self, spec: Spec) -> OpenclGenerator:
        module = generator(spec)
        symbol = symbol_of(spec)
        if symbol not in self._sources:
            self._sources[symbol] = module.source(spec, self.device, symbol)
        return module

    def _invocation(self, spec: Spec, args: tuple[Argument, ...]) -> Invocation:
        launch = generator(spec).launch(spec, self.device)
        writes = tuple(range(len(args) - len(spec.outputs), len(args)))
        return Invocation(
            symbol_of(spec),
            args,
            writes,
            global_size=launch.global_size,
            local_size=launch.local_size,
            grouped=launch.grouped,
        )

    @property
    def source(self) -> str:
        """All kernels, in the order of first use; empty if there are none."""
        return "\n".join(self._sources.values())


def _privately(call: KernelCall, private: Mapping[str, Blocked]) -> Spec:
    """The call's spec with the private forms of its values; constant operands stay in buffers."""
    spec = call.spec
    if not private:
        return spec
    inputs = tuple(
        private.get(str(source), form) for source, form in zip(call.sources, spec.inputs, strict=False)
    )  # what follows the inputs are operands
    changes: dict[str, Any] = {"xs": inputs} if hasattr(spec, "xs") else {"x": inputs[0]}
    operands = getattr(spec, "operands", ())
    if operands:
        sources = call.sources[len(spec.inputs) :]
        changes["operands"] = tuple(
            private.get(source, form) if isinstance(source, str) else form
            for source, form in zip(sources, operands, strict=True)
        )
    changes["out"] = private.get(call.outputs[0], spec.outputs[0])
    return replace(spec, **changes)


def _in_vectors(spec: Spec, lanes: int) -> Spec:
    """`spec` with maps in wider blocks (the CPU's, in float16) seen as blocks of the device's vectors."""

    def split(form: Layout) -> Layout:
        return Split.of(form, lanes) if isinstance(form, Blocked) else form

    changes: dict[str, Any] = {}
    for name in ("x", "out"):
        if hasattr(spec, name):
            changes[name] = split(getattr(spec, name))
    for name in ("xs", "operands"):
        if forms := getattr(spec, name, ()):
            changes[name] = tuple(map(split, forms))
    return replace(spec, **changes)
