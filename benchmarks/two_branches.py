"""Two equal branches of convolutions: do both processors work at once?

    python -m benchmarks.two_branches [--runs N]

The same network is run with both branches on the CPU (serial) and with one on each processor, in turn. Prints median
wall times, their ratio, and how long both processors were busy at once according to the trace.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hetpart.build import build
from hetpart.compiler import Options
from hetpart.report.trace import busy_us, overlap_us
from hetpart.runtime.session import Session


def two_branches(layers: int = 6, channels: int = 64, size: int = 56) -> onnx.ModelProto:
    """x -> two chains of `layers` 5x5 convolutions -> Add; no processor has a shortcut (Winograd) for these.

    The Add is fused into the last layer of one chain, which so waits for the other: one layer of all is never parallel.
    """
    random = np.random.default_rng(0)
    nodes, weights = [], []
    for branch in "ab":
        value = "x"
        for layer in range(layers):
            name = f"{branch}{layer}"
            w = random.standard_normal((channels, channels, 5, 5)) * (2 / (25 * channels)) ** 0.5
            weights.append(numpy_helper.from_array(w.astype(np.float32), f"w_{name}"))
            nodes.append(helper.make_node("Conv", [value, f"w_{name}"], [f"c_{name}"], name=f"c_{name}", pads=[2] * 4))
            nodes.append(helper.make_node("Relu", [f"c_{name}"], [name], name=f"r_{name}"))
            value = name
    last = layers - 1
    nodes.append(helper.make_node("Add", [f"a{last}", f"b{last}"], ["y"], name="join"))
    shape = [1, channels, size, size]
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph(nodes, "two_branches", info[:1], info[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=30)
    runs = parser.parse_args().runs
    x = {"x": np.random.default_rng(1).standard_normal((1, 64, 56, 56)).astype(np.float32)}
    with tempfile.TemporaryDirectory(prefix="hetpart-bench-") as folder:
        for strategy in ("cpu", "ilp"):
            build(two_branches(), "host", Path(folder) / strategy, Options(strategy=strategy))
        with Session(Path(folder) / "cpu") as serial, Session(Path(folder) / "ilp") as both:
            times: dict[Session, list[float]] = {serial: [], both: []}
            traces: list[dict[str, Any]] = []
            for index in range(runs + 3):
                for session, values in times.items():
                    start = time.perf_counter()
                    session.run(x)
                    if index >= 3:
                        values.append(1e3 * (time.perf_counter() - start))
                traces.append(both.trace())
    serial_ms, both_ms = (statistics.median(values) for values in times.values())
    busy = {name: statistics.median(busy_us(t)[name] for t in traces) / 1e3 for name in busy_us(traces[-1])}
    together_ms = statistics.median(overlap_us(t) for t in traces) / 1e3
    print(f"serial {serial_ms:.2f} ms, both processors {both_ms:.2f} ms: ratio {both_ms / serial_ms:.2f}")
    print(f"busy: {', '.join(f'{name} {ms:.2f} ms' for name, ms in busy.items())}; at once {together_ms:.2f} ms")


if __name__ == "__main__":
    main()
