"""Placement problems with the structure of well-known networks after fusion, for benchmarks of the partitioner.

Shapes and topologies follow the networks; the costs are an invented roofline for a CPU cluster and a mobile GPU. They
exercise the solver and say nothing about any phone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from hetpart.partition import Link, Mode, Problem, Task, Tensor

_ROOF = {  # processor: dense and other GFLOP/s, GB/s, launch in microseconds; invented
    "cpu": (70.0, 20.0, 14.0, 0),
    "gpu": (300.0, 80.0, 25.0, 15),
    "dsp": (500.0, 60.0, 15.0, 35),
}
_LINK_BYTES_PER_US = 10_000.0  # invented
_UNSUPPORTED = 0.12  # share of the units that an accelerator cannot run; invented


@dataclass(frozen=True)
class Map:
    """A feature map and the unit that makes it."""

    unit: str
    c: int
    hw: int

    @property
    def size_bytes(self) -> int:
        return 4 * self.c * self.hw * self.hw


@dataclass
class Net:
    """Units are added in topological order; `problem` closes the net."""

    processors: tuple[str, ...]
    sync_us: int
    seed: int = 1
    tasks: list[Task] = field(default_factory=list)
    maps: dict[str, Map] = field(default_factory=dict)
    readers: dict[str, list[str]] = field(default_factory=dict)

    def input(self, c: int, hw: int) -> Map:
        return self._add("input", [], c, hw, (Mode("cpu", 0),))

    def unit(
        self, reads: list[Map], c: int, hw: int, *, flops: float, weights: int = 0, dense: bool = False, op: str
    ) -> Map:
        name = f"{op}{len(self.tasks)}"
        size = sum(read.size_bytes for read in reads) + 4 * (c * hw * hw + weights)
        modes = []
        for processor in self.processors:
            peak, other, bandwidth, launch = _ROOF[processor]
            if processor != "cpu" and random.Random(f"{self.seed} {processor} {name}").random() < _UNSUPPORTED:
                continue
            work = max(flops / ((peak if dense else other) * 1e3), size / (bandwidth * 1e3))
            modes.append(Mode(processor, max(1, round(work)), launch))
        return self._add(name, reads, c, hw, tuple(modes))

    def conv(self, x: Map, c: int, k: int = 1, stride: int = 1, groups: int = 1, extra: Map | None = None) -> Map:
        hw = -(-x.hw // stride)
        weights = c * x.c // groups * k * k
        reads = [x] if extra is None else [x, extra]
        op, flops = "conv" if groups == 1 else "dw", 2.0 * weights * hw * hw
        return self.unit(reads, c, hw, flops=flops, weights=weights, dense=groups == 1, op=op)

    def cheap(self, op: str, *reads: Map, c: int = 0, hw: int = 0) -> Map:
        c, hw = c or reads[0].c, hw or reads[0].hw
        return self.unit(list(reads), c, hw, flops=9.0 * c * hw * hw, op=op)

    def concat(self, *reads: Map) -> Map:
        return self.cheap("concat", *reads, c=sum(read.c for read in reads))

    def problem(self, *outputs: Map) -> Problem:
        for i, made in enumerate(outputs):
            self._add(f"output{i}", [made], made.c, made.hw, (Mode("cpu", 0),))
        tensors = tuple(
            Tensor(f"{name}:0", name, tuple(readers), self.maps[name].size_bytes)
            for name, readers in self.readers.items()
        )
        links = tuple(
            Link(p, q, self.sync_us, _LINK_BYTES_PER_US) for p in self.processors for q in self.processors if p != q
        )
        return Problem(self.processors, "cpu", tuple(self.tasks), tensors, links)

    def _add(self, name: str, reads: list[Map], c: int, hw: int, modes: tuple[Mode, ...]) -> Map:
        self.tasks.append(Task(name, modes))
        for unit in dict.fromkeys(read.unit for read in reads):
            self.readers.setdefault(unit, []).append(name)
        self.maps[name] = made = Map(name, c, hw)
        return made


def vgg16(net: Net) -> Problem:
    x = net.input(3, 224)
    for c, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            x = net.conv(x, c, 3)
        x = net.cheap("pool", x, hw=x.hw // 2)
    for c in (4096, 4096, 1000):
        x = net.unit([x], c, 1, flops=2.0 * c * x.c * x.hw**2, weights=c * x.c * x.hw**2, dense=True, op="fc")
    return net.problem(x)


def resnet50(net: Net) -> Problem:
    x = net.cheap("pool", net.conv(net.input(3, 224), 64, 7, 2), hw=56)
    for c, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for i in range(count):
            stride = 2 if i == 0 and c > 64 else 1
            short = net.conv(x, 4 * c, 1, stride) if i == 0 else x
            x = net.conv(net.conv(net.conv(x, c), c, 3, stride), 4 * c, extra=short)
    return net.problem(net.conv(net.cheap("gap", x, hw=1), 1000))


def mobilenet_v2(net: Net) -> Problem:
    x = net.conv(net.input(3, 224), 32, 3, 2)
    for t, c, count, s in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
    ):  # fmt: skip
        for i in range(count):
            wide = net.conv(x, t * x.c) if t > 1 else x
            deep = net.conv(wide, wide.c, 3, s if i == 0 else 1, groups=wide.c)
            x = net.conv(deep, c, extra=x if i else None)
    return net.problem(net.conv(net.cheap("gap", net.conv(x, 1280), hw=1), 1000))


def efficientnet_b0(net: Net) -> Problem:
    x = net.conv(net.input(3, 224), 32, 3, 2)
    for t, c, count, s, k in (
        (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    ):  # fmt: skip
        for i in range(count):
            wide = net.conv(x, t * x.c) if t > 1 else x
            deep = net.conv(wide, wide.c, k, s if i == 0 else 1, groups=wide.c)
            gate = net.conv(net.conv(net.cheap("gap", deep, hw=1), max(1, x.c // 4)), deep.c)
            scaled = net.cheap("mul", deep, gate)
            x = net.conv(scaled, c, extra=x if i else None)
    return net.problem(net.conv(net.cheap("gap", net.conv(x, 1280), hw=1), 1000))


def squeezenet(net: Net) -> Problem:
    x = net.cheap("pool", net.conv(net.input(3, 224), 64, 3, 2), hw=56)
    for i, c in enumerate((16, 16, 32, 32, 48, 48, 64, 64)):
        squeezed = net.conv(x, c)
        x = net.concat(net.conv(squeezed, 4 * c), net.conv(squeezed, 4 * c, 3))
        if i in (1, 3):
            x = net.cheap("pool", x, hw=x.hw // 2)
    return net.problem(net.cheap("gap", net.conv(x, 1000), hw=1))


def googlenet(net: Net) -> Problem:
    x = net.cheap("pool", net.conv(net.input(3, 224), 64, 7, 2), hw=56)
    x = net.cheap("pool", net.conv(net.conv(x, 64), 192, 3), hw=28)
    for i, c in enumerate((256, 480, 512, 512, 512, 528, 832, 832, 1024)):
        a = net.conv(x, c // 4)
        b = net.conv(net.conv(x, c // 5), c // 2, 3)
        d = net.conv(net.conv(x, c // 16), c // 8, 5)
        x = net.concat(a, b, d, net.conv(net.cheap("pool", x), c // 8))
        if i in (1, 6):
            x = net.cheap("pool", x, hw=x.hw // 2)
    return net.problem(net.conv(net.cheap("gap", x, hw=1), 1000))


def inception_v3(net: Net) -> Problem:
    x = net.input(3, 299)
    for c, k, s in ((32, 3, 2), (32, 3, 1), (64, 3, 1)):
        x = net.conv(x, c, k, s)
    x = net.cheap("pool", net.conv(net.conv(net.cheap("pool", x, hw=73), 80), 192, 3), hw=35)
    for _ in range(3):
        a, b = net.conv(x, 64), net.conv(net.conv(x, 48), 64, 5)
        d = net.conv(net.conv(net.conv(x, 64), 96, 3), 96, 3)
        x = net.concat(a, b, d, net.conv(net.cheap("pool", x), 64))
    x = net.concat(
        net.conv(x, 384, 3, 2), net.conv(net.conv(net.conv(x, 64), 96, 3), 96, 3, 2), net.cheap("pool", x, hw=18)
    )
    for c in (128, 160, 160, 192):
        a = net.conv(x, 192)
        b = net.conv(net.conv(net.conv(x, c), c, 3), 192, 3)
        d = x
        for width in (c, c, c, c, 192):
            d = net.conv(d, width, 1 if d is x else 3)
        x = net.concat(a, b, d, net.conv(net.cheap("pool", x), 192))
    for _ in range(2):
        a, b, d = net.conv(x, 320), net.conv(x, 384), net.conv(net.conv(x, 448), 384, 3)
        x = net.concat(
            a, net.conv(b, 384, 2), net.conv(b, 384, 2), net.conv(d, 384, 2), net.conv(d, 384, 2),
            net.conv(net.cheap("pool", x), 192),
        )  # fmt: skip
    return net.problem(net.conv(net.cheap("gap", x, hw=1), 1000))


def densenet121(net: Net) -> Problem:
    x = net.cheap("pool", net.conv(net.input(3, 224), 64, 7, 2), hw=56)
    for count in (6, 12, 24, 16):
        maps = [x]
        for _ in range(count):
            maps.append(net.conv(net.conv(net.concat(*maps), 128), 32, 3))
        x = net.concat(*maps)
        if count != 16:
            x = net.cheap("pool", net.conv(x, x.c // 2), hw=x.hw // 2)
    return net.problem(net.conv(net.cheap("gap", x, hw=1), 1000))


def shufflenet_v2(net: Net) -> Problem:
    x = net.cheap("pool", net.conv(net.input(3, 224), 24, 3, 2), hw=56)
    for c, count in ((116, 4), (232, 8), (464, 4)):
        for i in range(count):
            stride = 2 if i == 0 else 1
            half = c // 2
            left = net.conv(net.conv(x, x.c, 3, stride, groups=x.c), half) if i == 0 else net.cheap("split", x, c=half)
            right = net.conv(net.conv(net.conv(x, half), half, 3, stride, groups=half), half)
            x = net.cheap("shuffle", net.concat(left, right))
    return net.problem(net.conv(net.cheap("gap", net.conv(x, 1024), hw=1), 1000))


def yolo(net: Net) -> Problem:
    """A CSP backbone, a top-down and bottom-up neck, three heads with two outputs each."""

    def csp(x: Map, c: int, depth: int) -> Map:
        a = net.conv(x, c)
        parts = [net.cheap("split", a, c=c // 2), net.cheap("split", a, c=c // 2)]
        for _ in range(depth):
            inner = net.conv(parts[-1], c // 2, 3)
            parts.append(net.conv(inner, c // 2, 3, extra=parts[-1]))
        return net.conv(net.concat(*parts), c)

    x = net.conv(net.conv(net.input(3, 640), 16, 3, 2), 32, 3, 2)
    levels = []
    for c, depth in ((32, 1), (64, 2), (128, 2), (256, 1)):
        x = csp(x if c == 32 else net.conv(x, c, 3, 2), c, depth)
        levels.append(x)
    _, p3, p4, p5 = levels
    pools = [net.conv(p5, 128)]
    for _ in range(3):
        pools.append(net.cheap("pool", pools[-1]))
    p5 = net.conv(net.concat(*pools), 256)
    p4 = csp(net.concat(net.cheap("resize", p5, hw=40), p4), 128, 1)
    p3 = csp(net.concat(net.cheap("resize", p4, hw=80), p3), 64, 1)
    p4 = csp(net.concat(net.conv(p3, 64, 3, 2), p4), 128, 1)
    p5 = csp(net.concat(net.conv(p4, 128, 3, 2), p5), 256, 1)
    outputs = []
    for p in (p3, p4, p5):
        outputs.append(net.conv(net.conv(net.conv(p, 64, 3), 64, 3), 64))
        outputs.append(net.conv(net.conv(net.conv(p, 80, 3), 80, 3), 80))
    return net.problem(*outputs)


def ssd_mobilenet(net: Net) -> Problem:
    """Twelve outputs: boxes and classes of six scales."""
    x = net.conv(net.input(3, 300), 32, 3, 2)
    scales = []
    for i, (c, s) in enumerate(
        ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))
    ):
        x = net.conv(net.conv(x, x.c, 3, s, groups=x.c), c)
        scales += [x] if i in (10, 12) else []
    for c in (512, 256, 256, 128):
        x = net.conv(net.conv(x, c // 2), c, 3, 2)
        scales.append(x)
    heads = [net.conv(scale, c) for scale in scales for c in (24, 546)]
    return net.problem(*heads)


def transformer(net: Net) -> Problem:
    """Twelve encoder layers; a mask made at the start is read by all of them."""
    x = net.input(768, 11)
    mask = net.cheap("mask", x, c=128)
    x = net.cheap("norm", net.cheap("add", x))
    for _ in range(12):
        q, k, v = (net.conv(x, 768) for _ in range(3))
        flops = 2.0 * 128 * 128 * 768
        weight = net.cheap("softmax", net.unit([q, k, mask], 1536, 11, flops=flops, dense=True, op="matmul"))
        mixed = net.unit([weight, v], 768, 11, flops=flops, dense=True, op="matmul")
        x = net.cheap("norm", net.conv(mixed, 768, extra=x))
        x = net.cheap("norm", net.conv(net.cheap("gelu", net.conv(x, 3072)), 768, extra=x))
    return net.problem(net.conv(net.cheap("gap", x, hw=1), 2))


def unet(net: Net) -> Problem:
    x = net.input(3, 256)
    skips = []
    for c in (32, 64, 128, 256):
        x = net.conv(net.conv(x, c, 3), c, 3)
        skips.append(x)
        x = net.cheap("pool", x, hw=x.hw // 2)
    x = net.conv(net.conv(x, 512, 3), 512, 3)
    for skip in reversed(skips):
        up = net.cheap("resize", net.conv(x, skip.c, 3), hw=skip.hw)
        x = net.conv(net.conv(net.concat(up, skip), skip.c, 3), skip.c, 3)
    return net.problem(net.conv(x, 2))


def nasnet(net: Net, cells: int = 12) -> Problem:
    """Every cell reads the last two, so nothing can be cut."""
    chance = random.Random(net.seed)
    last = net.conv(net.input(3, 224), 32, 3, 4)
    x = net.conv(last, 64, 3)
    for _ in range(cells):
        states = [net.conv(x, 44), net.conv(last, 44)]
        ends: list[Map] = []
        for _ in range(5):
            sides = []
            for side in (chance.choice(states), chance.choice(states + ends[-1:])):
                if chance.random() < 0.3:
                    sides.append(net.cheap("pool", side))
                else:
                    sides.append(net.conv(net.conv(side, 44, 5, groups=44), 44))
            ends.append(net.cheap("add", *sides))
        last, x = x, net.concat(*ends)
    return net.problem(net.conv(net.cheap("gap", x, hw=1), 1000))


NETWORKS: dict[str, Callable[[Net], Problem]] = {
    build.__name__: build
    for build in (
        vgg16, resnet50, mobilenet_v2, efficientnet_b0, squeezenet, googlenet, inception_v3, densenet121, shufflenet_v2,
        yolo, ssd_mobilenet, transformer, unet, nasnet,
    )
}  # fmt: skip
