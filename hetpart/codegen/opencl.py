"""The GPU processor's module: kernel calls -> invocations and one readable kernels.cl."""

from __future__ import annotations

from hetpart.codegen.cpu import arguments
from hetpart.codegen.names import symbol_of
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import generator
from hetpart.kernels.select import KernelCall
from hetpart.plan.invocation import Invocation


class OpenclModule:
    """Collects the OpenCL kernels for one device."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._sources: dict[str, str] = {}

    def lower(self, call: KernelCall) -> tuple[Invocation, ...]:
        """The invocation of `call`; its source is noted for `source`."""
        module = generator(call.spec)
        symbol = symbol_of(call.spec)
        if symbol not in self._sources:
            self._sources[symbol] = module.source(call.spec, self.device, symbol)
        args = arguments(call, module.pack(call.spec, self.device, call.constants))
        launch = module.launch(call.spec, self.device)
        writes = tuple(range(len(args) - len(call.outputs), len(args)))
        return (Invocation(symbol, args, writes, global_size=launch.global_size, local_size=launch.local_size),)

    @property
    def source(self) -> str:
        """All kernels, in the order of first use; empty if there are none."""
        return "\n".join(self._sources.values())
