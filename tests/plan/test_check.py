"""The checker accepts a correct plan and names what is wrong with every broken one."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from hetpart.errors import InternalError
from hetpart.plan.check import check_plan
from hetpart.plan.plan import Buffer, Plan, Port, Step, Transfer, Wait

KIB = 1024
GPU = {"global_size": (64, 1, 1), "local_size": (16, 1, 1)}


def buffer(name: str, offset: int, size: int = KIB, *, space: str = "arena", root: str = "") -> Buffer:
    return Buffer(name, space, offset, size, "float32", (size // 4,), root)


BUFFERS = (
    buffer("x", 0),  # 0, model input
    buffer("a", 1 * KIB),  # 1, made by the CPU
    buffer("b", 2 * KIB),  # 2, made by the GPU
    buffer("y", 3 * KIB),  # 3, model output, made by the CPU from a and b
    buffer("w", 0, space="weights"),  # 4
    buffer("c", 0),  # 5, made by the CPU at last, over x
    buffer("z", 1 * KIB),  # 6, model output made by the GPU, over a
)


def plan() -> Plan:
    """``cpu: a = f(x); y = h(a, b); c = k(y)`` beside ``gpu: b = g(x); z = l(b)``, and z brought to the CPU."""
    return Plan(
        processors={
            "cpu": (
                Step("f", "f", (0, 4, 1), writes=(2,), predicted_us=10),
                Step("h", "h", (1, 2, 3), writes=(2,), waits=(Wait("gpu", 1),), transfers=(Transfer(2, "gpu"),)),
                Step("k", "k", (3, 5), writes=(1,)),
                Step("(outputs)", "", (), waits=(Wait("gpu", 2),), transfers=(Transfer(6, "gpu"),)),
            ),
            "gpu": (
                Step("g", "g", (0, 4, 2), writes=(2,), transfers=(Transfer(0, "cpu"),), **GPU),
                Step("l", "l", (2, 6), writes=(1,), waits=(Wait("cpu", 2),), **GPU),
            ),
        },
        buffers=BUFFERS,
        inputs=(Port("x", 0, "float32", (16, 16)),),
        outputs=(Port("y", 3, "float32", (256,)), Port("z", 6, "float32", (256,))),
        arena_bytes=4 * KIB,
        weights_bytes=KIB,
        kinds={"cpu": "cpu", "gpu": "opencl"},
    )


def edited(processor: str, index: int, **changes: object) -> Plan:
    """The plan with one step changed."""
    good = plan()
    steps = list(good.processors[processor])
    steps[index] = replace(steps[index], **changes)  # type: ignore[arg-type]  # a test names the fields it changes
    return replace(good, processors={**good.processors, processor: tuple(steps)})


def with_buffer(index: int, **changes: object) -> Plan:
    good = plan()
    buffers = list(good.buffers)
    buffers[index] = replace(buffers[index], **changes)  # type: ignore[arg-type]  # likewise
    return replace(good, buffers=tuple(buffers))


def test_accepts_a_correct_plan() -> None:
    check_plan(plan())


BROKEN = {
    "bytes 3072 to 8192 of 4096": with_buffer(3, size=5 * KIB),
    "not a multiple of 64": with_buffer(1, offset=KIB + 4),
    "needs buffer b on 128 bytes": with_buffer(2, offset=2 * KIB + 64, size=KIB - 64, shape=(240,)),
    "unknown space": with_buffer(1, space="stack"),
    "its shape needs 4096": with_buffer(1, shape=(1024,)),
    "unknown dtype": with_buffer(1, dtype="float33"),
    "kinds are given": replace(plan(), kinds={"cpu": "cpu"}),
    "unknown kind": replace(plan(), kinds={"cpu": "cpu", "gpu": "abacus"}),
    "exactly one processor": replace(plan(), kinds={"cpu": "opencl", "gpu": "opencl"}),
    "no buffer 9": edited("cpu", 0, args=(0, 4, 9)),
    "distinct positions": edited("cpu", 0, writes=(3,)),
    "writes nothing": edited("cpu", 0, writes=()),
    "writes to the constant w": edited("cpu", 0, writes=(1, 2)),
    "waits twice": edited("cpu", 1, waits=(Wait("gpu", 1), Wait("gpu", 2))),
    "a step of cpu waits for cpu": edited("cpu", 1, waits=(Wait("cpu", 1),)),
    "waits for 3 steps of gpu, which has 2": edited("cpu", 1, waits=(Wait("gpu", 3),)),
    "transfer from cpu": edited("cpu", 1, transfers=(Transfer(2, "cpu"),)),
    "w in weights is transferred": edited("cpu", 1, transfers=(Transfer(4, "gpu"),)),
    "without a kernel": edited("gpu", 1, kernel=""),
    "0 work items": edited("cpu", 0, extent=0),
    "no multiple of local size": edited("gpu", 0, local_size=(48, 1, 1)),
    "cannot take -1 us": edited("cpu", 0, predicted_us=-1),
    "two ports have one name": replace(plan(), outputs=plan().outputs * 2),
    "is not what its buffer x holds": replace(plan(), inputs=(Port("x", 0, "float64", (16, 16)),)),
    "not in the arena": replace(plan(), inputs=(Port("x", 4, "float32", (16, 16)),)),
    "share memory": replace(plan(), inputs=(*plan().inputs, Port("x2", 5, "float32", (1,)))),
    "f (cpu) and g (gpu) both write it": edited("cpu", 0, args=(0, 4, 1, 2), writes=(2, 3)),
    "h on cpu reads y, but nobody has written it": edited("cpu", 1, args=(3, 2, 3)),
    "h on cpu reads z, but f (cpu) has overwritten it": edited("cpu", 1, args=(6, 2, 3)),
    "has not been brought to gpu": edited("gpu", 0, transfers=()),
    "has not been brought to cpu": edited("cpu", 1, transfers=()),
    "k (cpu) may write there before or after": edited("cpu", 1, waits=()),  # over x, which g may still read
    "f (cpu) and l (gpu) both write it": edited("gpu", 1, waits=()),
}


@pytest.mark.parametrize("message", BROKEN)
def test_refuses(message: str) -> None:
    with pytest.raises(InternalError) as caught:
        check_plan(BROKEN[message])
    assert message in caught.value.message
    assert caught.value.code == "bad-plan"


def test_refuses_a_deadlock() -> None:
    broken = edited("gpu", 0, waits=(Wait("cpu", 2),))
    with pytest.raises(InternalError, match="step 1 of cpu waits for 1 steps of gpu, which stops after 0") as caught:
        check_plan(broken)
    assert (caught.value.code, caught.value.node) == ("plan-deadlock", "h")


def sliced(wait: int) -> Plan:
    """The GPU copies half of `whole` while the CPU has written the other half, `part`, in place; the CPU reads all."""
    buffers = (
        buffer("x", 0), buffer("part", KIB, KIB // 2, root="whole"), buffer("whole", KIB), buffer("y", 2 * KIB)
    )  # fmt: skip
    return Plan(
        processors={
            "cpu": (
                Step("part", "p", (0, 1), writes=(1,)),
                Step("y", "y", (2, 3), writes=(1,), waits=(Wait("gpu", 1),), transfers=(Transfer(2, "gpu"),)),
            ),
            "gpu": (
                Step(
                    "copy", "c", (0, 2), writes=(1,), waits=(Wait("cpu", 1),)[:wait],
                    transfers=(Transfer(0, "cpu"), Transfer(1, "cpu"))[: 1 + wait], **GPU
                ),
            ),
        },
        buffers=buffers,
        inputs=(Port("x", 0, "float32", (256,)),),
        outputs=(Port("y", 3, "float32", (256,)),),
        arena_bytes=3 * KIB,
        weights_bytes=0,
        kinds={"cpu": "cpu", "gpu": "opencl"},
    )  # fmt: skip


def test_slices_of_one_value() -> None:
    check_plan(sliced(wait=1))
    with pytest.raises(InternalError, match="both write it, in no certain order"):
        check_plan(sliced(wait=0))


def test_slices_need_their_root() -> None:
    good = sliced(wait=1)
    part, y = good.processors["cpu"]
    reads_part = replace(good, processors={**good.processors, "cpu": (part, replace(y, args=(1, 2, 3), writes=(2,)))})
    check_plan(reads_part)
    alone = (good.buffers[0], replace(good.buffers[1], root=""), *good.buffers[2:])
    with pytest.raises(InternalError, match=r"y on cpu reads part, but copy \(gpu\) has overwritten it"):
        check_plan(replace(reads_part, buffers=alone))


def test_bytes_are_used_again_by_a_later_step_than_the_last_reader() -> None:
    def chain(*, c: int, last: int = 2) -> Plan:
        """``a = k(x); b = k(a); c = k(b); y = k(last)``, with c at that many KiB; a lies at 1, b at 2."""
        places = {"x": 0, "a": 1, "b": 2, "y": 3, "c": c}
        return Plan(
            processors={
                "cpu": (
                    Step("a", "k", (0, 1), writes=(1,)),
                    Step("b", "k", (1, 2), writes=(1,)),
                    Step("c", "k", (2, 4), writes=(1,)),
                    Step("y", "k", (last, 3), writes=(1,)),
                )
            },
            buffers=tuple(buffer(name, place * KIB) for name, place in places.items()),
            inputs=(Port("x", 0, "float32", (256,)),),
            outputs=(Port("y", 3, "float32", (256,)),),
            arena_bytes=4 * KIB,
            weights_bytes=0,
            kinds={"cpu": "cpu"},
        )

    check_plan(chain(c=1))
    with pytest.raises(InternalError, match=r"y on cpu reads a, but c \(cpu\) has overwritten it"):
        check_plan(chain(c=1, last=1))
    with pytest.raises(InternalError, match=r"c on cpu reads b, but writes c there in the same step"):
        check_plan(chain(c=2))


def test_three_processors_pass_data_on() -> None:
    buffers = tuple(buffer(name, i * KIB) for i, name in enumerate(("x", "a", "b")))

    def relay(source: str) -> Plan:
        return Plan(
            processors={
                "cpu": (Step("(outputs)", "", (), waits=(Wait("dsp", 1),), transfers=(Transfer(2, "dsp"),)),),
                "gpu": (Step("a", "k", (0, 1), writes=(1,), transfers=(Transfer(0, "cpu"),), **GPU),),
                "dsp": (
                    Step(
                        "b", "k", (0, 1, 2), writes=(2,), waits=(Wait("gpu", 1),),
                        transfers=(Transfer(0, source), Transfer(1, "gpu"))
                    ),
                ),
            },
            buffers=buffers,
            inputs=(Port("x", 0, "float32", (256,)),),
            outputs=(Port("b", 2, "float32", (256,)),),
            arena_bytes=3 * KIB,
            weights_bytes=0,
            kinds={"cpu": "cpu", "gpu": "opencl", "dsp": "hexagon"},
        )  # fmt: skip

    check_plan(relay("cpu"))
    check_plan(relay("gpu"))  # the GPU holds a copy of x
    good = relay("gpu")
    without_x = replace(good.processors["gpu"][0], args=(1,), writes=(0,), transfers=())
    with pytest.raises(InternalError, match="has not been brought to gpu"):
        check_plan(replace(good, processors={**good.processors, "gpu": (without_x,)}))


def test_is_fast_on_big_plans() -> None:
    """500 steps on two processors that hand over at every step, with reuse of eight slots of memory."""
    count = 500
    slots = 8
    buffers = (buffer("x", slots * KIB), *(buffer(f"v{i}", i % slots * KIB) for i in range(count)))
    steps: dict[str, list[Step]] = {"cpu": [], "gpu": []}
    for i in range(count):
        here, other = ("cpu", "gpu") if i % 2 == 0 else ("gpu", "cpu")
        step = Step(f"s{i}", "k", (i, i + 1), writes=(1,))
        if i:
            step = replace(step, waits=(Wait(other, len(steps[other])),), transfers=(Transfer(i, other),))
        steps[here].append(replace(step, **GPU) if here == "gpu" else step)  # type: ignore[arg-type]  # literal sizes
    steps["cpu"].append(
        Step("(outputs)", "", (), waits=(Wait("gpu", count // 2),), transfers=(Transfer(count, "gpu"),))
    )
    big = Plan(
        processors={name: tuple(each) for name, each in steps.items()},
        buffers=buffers,
        inputs=(Port("x", 0, "float32", (256,)),),
        outputs=(Port("y", count, "float32", (256,)),),
        arena_bytes=(slots + 1) * KIB,
        weights_bytes=0,
        kinds={"cpu": "cpu", "gpu": "opencl"},
    )
    begin = time.thread_time()
    check_plan(big)
    assert time.thread_time() - begin < 2.0
