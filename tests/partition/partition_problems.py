"""Problems for the tests: random ones, and the optimum of small ones by enumeration."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from hypothesis import strategies as st

from hetpart.partition import Link, Mode, Problem, Task, Tensor
from hetpart.partition.problem import Converter, Place

PROCESSORS = ("cpu", "gpu", "dsp")


@st.composite
def problems(draw: st.DrawFn, *, largest: int = 7, processors: tuple[int, ...] = (2, 3)) -> Problem:
    """Any DAG, with missing modes, launches, zero lengths, slow and asymmetric links, ports and parallel tensors."""
    names = PROCESSORS[: draw(st.sampled_from(processors))]
    count = draw(st.integers(1, largest))
    tasks = []
    for i in range(count):
        if draw(st.integers(0, 9)) == 0:
            modes = [Mode("cpu", 0)]
        else:
            able = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
            modes = [
                Mode(
                    p,
                    draw(st.integers(0, 20)),
                    0 if p == "cpu" else draw(st.sampled_from([0, 0, 1, 4])),
                    p == "gpu" and draw(st.booleans()),
                )
                for p in able
            ]
            if draw(st.integers(0, 5)) == 0 and "gpu" in names and not any(mode.private for mode in modes):
                modes.append(Mode("gpu", draw(st.integers(0, 20)), 1, private=True))
        tasks.append(Task(f"t{i}", tuple(modes)))
    tensors = []
    for i in range(count - 1):
        for k in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
            readers = draw(st.lists(st.integers(i + 1, count - 1), max_size=3, unique=True))
            size = draw(st.integers(0, 8))
            tensors.append(Tensor(f"x{i}.{k}", f"t{i}", tuple(f"t{j}" for j in sorted(readers)), size))
    links = tuple(
        Link(p, q, draw(st.integers(0, 6)), draw(st.sampled_from([0.5, 1.0, 3.0])))
        for p, q in product(names, names)
        if p != q
    )
    converters = (Converter("gpu", draw(st.integers(0, 3)), 2.0),) if "gpu" in names else ()
    return Problem(names, "cpu", tuple(tasks), tuple(tensors), links, converters)


def optimum(problem: Problem) -> int:
    """The shortest makespan, by trying every order of starts and every mode."""
    producers: dict[str, list[Tensor]] = {task.name: [] for task in problem.tasks}
    for tensor in problem.tensors:
        for consumer in tensor.consumers:
            producers[consumer].append(tensor)
    best = sum(max(mode.length_us for mode in task.modes) for task in problem.tasks) + sum(
        max([0, *(link.transfer_us(tensor.size_bytes) for link in problem.links)])
        + 2 * sum(converter.convert_us(tensor.size_bytes) for converter in problem.converters)
        for tensor in problem.tensors
    )

    def extend(done: dict[str, tuple[Place, int]], free: dict[str, int], last: int) -> None:
        """`done`: task -> (place, finish)."""
        nonlocal best
        if len(done) == len(problem.tasks):
            best = min(best, last)
            return
        for task, mode in candidates(done):
            start = 0
            for tensor in producers[task.name]:
                source, finish = done[tensor.producer]
                start = max(start, finish + problem.transfer_us(source, mode.place, tensor.size_bytes))
            if mode.length_us:
                start = max(start, free[mode.processor])
            if mode.launch_us:
                start = max(start, free[problem.host])
            finish = start + mode.length_us
            if finish >= best:
                continue
            now = dict(free)
            if mode.launch_us:
                now[problem.host] = start + mode.launch_us
            if mode.length_us:
                now[mode.processor] = finish
            extend({**done, task.name: (mode.place, finish)}, now, max(last, finish))

    def candidates(done: dict[str, tuple[Place, int]]) -> Iterator[tuple[Task, Mode]]:
        for task in problem.tasks:
            if task.name not in done and all(tensor.producer in done for tensor in producers[task.name]):
                for mode in task.modes:
                    yield task, mode

    extend({}, dict.fromkeys(problem.processors, 0), 0)
    return best


@st.composite
def fork_joins(draw: st.DrawFn, *, blocks: int = 4) -> Problem:
    """A chain of stems, each followed by parallel branches that meet again, or by a residual connection."""
    names = PROCESSORS[: draw(st.sampled_from((2, 3)))]
    tasks = [Task("in", (Mode("cpu", 0),))]
    tensors: list[Tensor] = []

    def add(name: str, *reads: str) -> str:
        able = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
        launch = st.sampled_from([0, 3])
        tasks.append(
            Task(name, tuple(Mode(p, draw(st.integers(1, 60)), 0 if p == "cpu" else draw(launch)) for p in able))
        )
        connect(name, *reads)
        return name

    def connect(name: str, *reads: str) -> None:
        tensors.extend(
            Tensor(f"{source}->{name}", source, (name,), draw(st.integers(0, 30))) for source in dict.fromkeys(reads)
        )

    top = "in"
    for block in range(draw(st.integers(1, blocks))):
        top = add(f"b{block}.stem", top)
        ends = [top] if draw(st.booleans()) else []
        for branch in range(draw(st.integers(1, 3))):
            end = top
            for depth in range(draw(st.integers(1, 3))):
                end = add(f"b{block}.{branch}.{depth}", end)
            ends.append(end)
        top = add(f"b{block}.join", *ends)
    tasks.append(Task("out", (Mode("cpu", 0),)))
    connect("out", top)
    links = tuple(Link(p, q, draw(st.sampled_from([2, 10, 30])), 2.0) for p, q in product(names, names) if p != q)
    return Problem(names, "cpu", tuple(tasks), tuple(tensors), links)
