"""Measures the constants of targets/host.toml on this machine: peak, bandwidth, launch and hand-over.

The arithmetic peak of the OpenCL core is that of the CPU core: with PoCL they are two of a kind.

    python benchmarks/host_constants.py

The CPU side is timed in CPU time of the thread, the OpenCL side (PoCL on one core) in wall time, so run it on an idle
machine. Printed figures are the medians; targets/host.toml states rounded ones.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # both before the libraries are loaded
os.environ["POCL_MAX_PTHREAD_COUNT"] = "1"

import numpy as np

_REPEATS = 9
_COPY_BYTES = 64 * 2**20  # beyond any last-level cache share of one core

_SOURCE = """
__kernel void nothing(__global float *out) { out[0] = 1.0f; }
__kernel void copy(__global const float16 *in, __global float16 *out, uint vectors) {
  for (uint i = 0; i < vectors; ++i) out[i] = in[i];
}
"""


def median_s(run: Callable[[], object], clock: Callable[[], float]) -> float:
    """Median seconds of `run` after one warm-up."""
    run()
    times = []
    for _ in range(_REPEATS):
        start = clock()
        run()
        times.append(clock() - start)
    return statistics.median(times)


def cpu() -> None:
    n = 1024
    a, b = (np.random.default_rng(0).random((n, n), dtype=np.float32) for _ in range(2))
    out = np.empty((n, n), np.float32)
    seconds = median_s(lambda: np.matmul(a, b, out=out), time.thread_time)
    print(f"cpu  sgemm {n}: {2 * n**3 / seconds / 1e9:.1f} GFLOP/s (OpenBLAS, a lower bound of the peak)")
    source, target = np.ones(_COPY_BYTES // 4, np.float32), np.empty(_COPY_BYTES // 4, np.float32)
    seconds = median_s(lambda: np.copyto(target, source), time.thread_time)
    print(f"cpu  copy: {2 * _COPY_BYTES / seconds / 1e9:.1f} GB/s read and written")


def opencl() -> None:
    import pyopencl as cl

    context = cl.create_some_context(interactive=False)
    queue = cl.CommandQueue(context)
    program = cl.Program(context, _SOURCE).build()
    flags = cl.mem_flags.READ_WRITE | cl.mem_flags.ALLOC_HOST_PTR
    source, target = cl.Buffer(context, flags, _COPY_BYTES), cl.Buffer(context, flags, _COPY_BYTES)
    cl.enqueue_fill_buffer(queue, source, np.float32(1), 0, _COPY_BYTES)  # a page counts once it has been touched
    nothing, copy = program.nothing, program.copy

    def launch(kernel: cl.Kernel, *arguments: cl.Buffer | np.uint32, times: int = 1) -> None:
        kernel.set_args(*arguments)
        for _ in range(times):
            cl.enqueue_nd_range_kernel(queue, kernel, (1,), (1,))
        queue.finish()

    vectors = np.uint32(_COPY_BYTES // 64)
    seconds = median_s(lambda: launch(copy, source, target, vectors), time.perf_counter)
    print(f"gpu  copy: {2 * _COPY_BYTES / seconds / 1e9:.1f} GB/s read and written")
    one = median_s(lambda: launch(nothing, target), time.perf_counter)
    many = median_s(lambda: launch(nothing, target, times=101), time.perf_counter)
    print(f"gpu  launch and finish: {one * 1e6:.1f} us; each further launch {(many - one) / 100 * 1e6:.1f} us")

    def hand_over() -> None:
        view, _ = cl.enqueue_map_buffer(queue, target, cl.map_flags.READ, 0, (1024,), np.float32)
        view.base.release(queue)
        queue.finish()

    print(f"link map, unmap, finish: {median_s(hand_over, time.perf_counter) * 1e6:.1f} us")


if __name__ == "__main__":
    cpu()
    opencl()
