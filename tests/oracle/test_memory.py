"""Which units work in private memory, and the reasons of the others; and that the generators agree."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from examples.zoo import build
from hetpart.compiler import Options, prepare
from hetpart.graph.assign import Assignment, assign
from hetpart.graph.layout import Blocked, Image, Layout, Split
from hetpart.kernels.kernel import Device
from hetpart.kernels.opencl import generator
from hetpart.kernels.select import select
from hetpart.oracle import why_shared
from hetpart.phases import Phases
from hetpart.targets import load_target
from hetpart.targets.schema import OpenclCodegen, Processor
from tests.unit_graphs import units_of

SD855 = load_target("sd855")
GPU = SD855.processor("gpu")


def with_codegen(**changes: object) -> Processor:
    assert isinstance(GPU.codegen, OpenclCodegen)
    return replace(GPU, codegen=replace(GPU.codegen, **changes))  # type: ignore[arg-type]  # a test names the fields


GRAPH = """g (float[1, 8, 12, 300] x) => (float[1, 8, 12, 300] y, float[1, 8, 12, 300] s) {
    a = Conv <group = 4> (x, w)
    b = Conv <group = 2> (a, v)
    c = Relu (x)
    y = Add (b, c)
    s = Softmax (y)
}"""


def assignment() -> Assignment:
    return assign(units_of(GRAPH, w=(8, 2, 1, 1), v=(8, 4, 1, 1)), 4)


def reasons(processor: Processor) -> dict[str, str]:
    found = assignment()
    return {unit.name: why_shared(unit, found, processor) for unit in found.graph if unit.name not in found.free}


def test_reasons() -> None:
    found = reasons(GPU)
    assert found["Conv_0"] == "4 groups that are no whole channel blocks"
    assert found["Conv_1"] == ""
    assert found["Softmax_4"] == "no kernel for softmax there"
    assert any("row-major" in reason for name, reason in found.items() if name.startswith("Relu"))


def test_an_image_that_the_device_cannot_hold() -> None:
    found = reasons(with_codegen(max_image=512))
    assert found["Conv_1"] == "a needs an image of 600 x 12; the device allows 512"
    assert reasons(with_codegen(max_image=512, memory="buffer", storage="float16"))["Conv_1"] == ""


def test_without_private_memory() -> None:
    assert set(reasons(with_codegen(memory="buffer"))) == set(reasons(GPU))
    assert set(reasons(with_codegen(memory="buffer")).values()) == {"no private memory"}
    assert set(reasons(SD855.host).values()) == {"no private memory"}


def image(form: Layout) -> Layout:
    return Image.of(form, form.dtype) if isinstance(form, Blocked) else form


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("network", ["mobilenetv3_small", "shufflenetv2", "fast_style_transfer", "unet"])
def test_generators_make_what_the_rule_promises(network: str, half: bool) -> None:
    units, _ = prepare(build(network), Options(), Phases())
    found = assign(units, 4, half=half)
    device = Device(False, 16, (8, 8, 1))
    made = 0
    for unit in found.graph:
        if unit.name in found.free or why_shared(unit, found, GPU):
            continue
        for call in select(unit, found):
            spec = call.spec
            inputs = tuple(image(form) for form in spec.inputs)
            forms: dict[str, Any] = {"xs": inputs} if hasattr(spec, "xs") else {"x": inputs[0]}
            if operands := getattr(spec, "operands", ()):
                forms["operands"] = tuple(Split.of(form, 4) for form in operands)
            moved = replace(spec, out=image(spec.outputs[0]), **forms)  # every such spec has these fields
            assert "image2d_t" in generator(moved).source(moved, device, "k")
            made += 1
    assert made > 10
