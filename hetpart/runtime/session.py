"""Running a bundle from Python: the same C runtime that a phone's application links, through ctypes."""

from __future__ import annotations

import ctypes
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from hetpart.bundle.contents import plan_file
from hetpart.bundle.manifest import Manifest, ProcessorInfo
from hetpart.bundle.read import read_bundle
from hetpart.errors import HetpartError
from hetpart.runtime.binding import Error, Options, Tensor, check, library
from hetpart.runtime.inputs import checked_inputs
from hetpart.runtime.opencl_loader import use_packaged_opencl


class Session:
    """A loaded bundle.

    Example:
        >>> with Session("model.hetpart") as session:  # doctest: +SKIP
        ...     outputs = session.run({"image": image})

    `run` may be called from any thread; runs of one session follow each other.

    Args:
        bundle: folder or zip file.
        plan: variant to run, see the manifest's `plans`.
        pin: cores per processor name, e.g. ``{"cpu": [0], "gpu": [1]}``; an empty mapping pins nothing. The default
            is what the manifest says, as far as this machine has these cores. PoCL's workers keep the cores of the
            first session in a process.
        threads: threads per CPU kernel; default: the manifest's.
        local_size_one: launch each OpenCL kernel with local size 1 (a rehearsal of a phone's kernels).
        cpu_fallback: without OpenCL run the ``cpu`` plan if the bundle has one; `plan_used` and `fallback_reason` tell.
        cache_dir: existing folder for compiled OpenCL programs; see `hp_options.cache_dir`.
        trace: record when each step ran, for `trace`; costs some microseconds per step.

    Raises:
        HetpartError: the bundle is damaged or does not run here.
    """

    def __init__(
        self,
        bundle: str | Path,
        *,
        plan: str = "main",
        pin: Mapping[str, Iterable[int]] | None = None,
        threads: int | None = None,
        local_size_one: bool = False,
        cpu_fallback: bool = False,
        cache_dir: str | Path | None = None,
        trace: bool = True,
    ) -> None:
        self._model = ctypes.c_void_p()
        self._library: ctypes.CDLL | None = None
        source = read_bundle(bundle)
        self.manifest: Manifest = source.manifest
        if plan not in self.manifest.plans:
            known = ", ".join(self.manifest.plans)
            raise HetpartError("no-such-plan", f"{bundle}: no plan variant {plan}", hint=f"variants: {known}")
        use_packaged_opencl()
        self._library = library()
        options: Options = self._library.hp_options_default()
        processors = self.manifest.processors
        cores = default_cores(processors) if pin is None else _checked_cores(pin, processors)
        if cache_dir is not None:
            options.cache_dir = os.fsencode(cache_dir)
        options.cpu_cores, options.opencl_cores = cores.get("cpu", 0), cores.get("opencl", 0)
        options.cpu_threads = _cpu_threads(processors) if threads is None else threads
        options.unit_local_size = local_size_one
        options.allow_cpu_fallback = cpu_fallback
        options.trace = trace
        options.plan = plan_file(plan).encode()
        error = Error()
        with tempfile.TemporaryDirectory(prefix="hetpart-") as unpacked:
            if source.is_zip:  # what the runtime needs of the files after loading, it has mapped
                source.extract(Path(unpacked))
            folder = unpacked if source.is_zip else str(source.path)
            code = self._library.hp_load(os.fsencode(folder), options, self._model, error)
        check(code, error)

    @property
    def plan_used(self) -> str:
        """Variant of the plan that was loaded: ``main``, or ``cpu`` after a fallback."""
        file = self._open().hp_plan(self._model).decode()
        return next(variant for variant in self.manifest.plans if plan_file(variant) == file)

    @property
    def fallback_reason(self) -> str | None:
        """Why the plan is not the one asked for; None if it is."""
        reason = self._open().hp_fallback_reason(self._model)
        return reason.decode(errors="replace") if reason else None

    @property
    def run_us(self) -> float:
        """Duration of the last run, without the copies of inputs and outputs."""
        return float(self._open().hp_run_ns(self._model)) / 1000

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All outputs by name, for all inputs by name.

        Raises HetpartError ``bad-input`` if a name, shape or dtype is not the model's; nothing is converted.
        """
        runtime = self._open()
        arrays = checked_inputs(inputs, self.manifest.inputs)
        # the manifest and the plan are written from the same ports, and the runtime checks the sizes
        outputs = {port.name: np.empty(port.shape, port.dtype) for port in self.manifest.outputs}
        error = Error()
        given, wanted = _tensors(arrays), _tensors(outputs)
        check(runtime.hp_infer(self._model, given, len(given), wanted, len(wanted), error), error)
        return outputs

    def trace(self) -> dict[str, Any]:
        """The last run as Chrome trace data: ``json.dump`` it for chrome://tracing or Perfetto."""
        error = Error()
        with tempfile.TemporaryDirectory(prefix="hetpart-") as folder:
            path = Path(folder) / "trace.json"
            check(self._open().hp_trace(self._model, os.fsencode(path), error), error)
            data: dict[str, Any] = json.loads(path.read_bytes())
        return data

    def close(self) -> None:
        """End the session's threads and release its memory. May be called twice."""
        if self._library is not None and self._model:
            self._library.hp_free(self._model)
            self._model = ctypes.c_void_p()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _open(self) -> ctypes.CDLL:
        if self._library is None or not self._model:
            raise HetpartError("session-closed", "the session is closed")
        return self._library


def _tensors(arrays: Mapping[str, np.ndarray]) -> ctypes.Array[Tensor]:
    """hp_tensor's over the arrays' own memory."""
    return (Tensor * len(arrays))(
        *(Tensor(name.encode(), array.ctypes.data, array.nbytes) for name, array in arrays.items())
    )


def _mask(cores: Iterable[int]) -> int:
    mask = 0
    for core in cores:
        if not 0 <= core < 64:
            raise HetpartError("bad-pin", f"cannot pin to core {core}", hint="cores are 0 to 63")
        mask |= 1 << core
    return mask


def _checked_cores(pin: Mapping[str, Iterable[int]], processors: Mapping[str, ProcessorInfo]) -> dict[str, int]:
    """Core masks by processor kind, as the user asked for them."""
    masks = {}
    for name, cores in pin.items():
        if name not in processors:
            known = ", ".join(processors)
            raise HetpartError("bad-pin", f"the bundle has no processor {name}", hint=f"processors: {known}")
        masks[processors[name].kind] = _mask(cores)
    return masks


def default_cores(processors: Mapping[str, ProcessorInfo]) -> dict[str, int]:
    """Core masks by processor kind from the manifest; none at all if this machine lacks one of the cores."""
    masks = {p.kind: _mask([p.core]) for p in processors.values() if p.core is not None}
    available = _mask(core for core in os.sched_getaffinity(0) if core < 64)
    return masks if all(mask & ~available == 0 for mask in masks.values()) else {}


def _cpu_threads(processors: Mapping[str, ProcessorInfo]) -> int:
    return next((p.threads for p in processors.values() if p.kind == "cpu"), 1)
