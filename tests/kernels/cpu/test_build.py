"""Objects for this and for other machines, and loading into this process."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from hetpart.errors import InternalError
from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Plain
from hetpart.kernels.cpu import GENERATORS, generator
from hetpart.kernels.cpu.build import ALIGNMENT, aligned, build_object, host_isa, load
from hetpart.kernels.isa import Isa
from hetpart.kernels.spec import DenseSpec, MatmulSpec, OnnxSpec, Spec
from tests.kernels.cpu.test_conv import spec_of

A76 = Isa("aarch64-linux-android", "cortex-a76", (), lanes=4, registers=32)
SPECS: dict[str, Spec] = {
    "conv": spec_of(64, 64, (28, 28), (3, 3), pad=1, block=4, steps=(Step("relu"),)),
    "depthwise": spec_of(32, 32, (28, 28), (3, 3), pad=1, block=4, group=32, steps=(Step("clip", (0.0, 6.0)),)),
    "dense": DenseSpec(Plain((7, 64)), Plain((7, 50)), 7, 64, 50, True, (Step("gelu"),)),
    "matmul": MatmulSpec(Plain((2, 9, 16)), Plain((2, 16, 9)), Plain((2, 9, 9))),
}
ELF_MACHINE = {"x86_64": 62, "aarch64": 183}


@pytest.mark.parametrize("isa", [host_isa(), A76], ids=lambda isa: isa.triple)
def test_objects_are_relocatable_and_deterministic(isa: Isa) -> None:
    functions = [generator(spec).prim_func(spec, isa, name) for name, spec in SPECS.items()]
    data = build_object(functions, isa)
    assert data[:4] == b"\x7fELF"
    assert int.from_bytes(data[16:18], "little") == 1  # ET_REL
    assert int.from_bytes(data[18:20], "little") == ELF_MACHINE[isa.triple.split("-")[0]]
    for name in SPECS:
        assert f"__tvm_ffi_{name}\0".encode() in data
    again = [generator(spec).prim_func(spec, isa, name) for name, spec in SPECS.items()]
    assert build_object(again, isa) == data


def test_names_must_differ() -> None:
    function = generator(SPECS["dense"]).prim_func(SPECS["dense"], host_isa(), "kernel")
    with pytest.raises(InternalError, match="share a name"):
        build_object([function, function], host_isa())


def test_arguments_must_be_aligned() -> None:
    spec = SPECS["matmul"]
    kernel = load([generator(spec).prim_func(spec, host_isa(), "kernel")], host_isa())["kernel"]
    shifted = aligned((2 * 9 * 16 + 1,))[1:].reshape(2, 9, 16)
    with pytest.raises(InternalError, match="aligned"):
        kernel(shifted, aligned((2, 16, 9)), aligned((2, 9, 9)), 0, 1)


def test_arguments_must_be_those_of_the_kernel() -> None:
    spec = SPECS["matmul"]
    kernel = load([generator(spec).prim_func(spec, host_isa(), "kernel")], host_isa())["kernel"]
    right = [aligned((2, 9, 16)), aligned((2, 16, 9)), aligned((2, 9, 9)), 0, 1]
    kernel(*right)
    for index, wrong in ((0, aligned((2, 9, 15))), (1, aligned((2, 16, 9), "int32")), (2, 7)):
        with pytest.raises(ValueError, match="kernel: called with arguments that it was not made for"):
            kernel(*right[:index], wrong, *right[index + 1 :])


def test_aligned_arrays() -> None:
    for shape, dtype in (((3, 5), "float32"), ((), "int64"), ((7,), "uint8")):
        array = aligned(shape, dtype)
        assert array.shape == shape
        assert array.dtype == np.dtype(dtype)
        assert array.ctypes.data % ALIGNMENT == 0
        assert not array.any()


def test_every_spec_but_the_fallback_has_a_generator() -> None:
    def leaves(kind: type[Spec]) -> list[type[Spec]]:
        return [kind] if not kind.__subclasses__() else [s for sub in kind.__subclasses__() for s in leaves(sub)]

    assert set(GENERATORS) | {OnnxSpec} == set(leaves(Spec))
    with pytest.raises(InternalError, match="OnnxSpec"):
        generator(OnnxSpec(b"", (), ()))


def test_the_registry_does_not_import_tvm() -> None:
    code = "import sys, hetpart.kernels.cpu; sys.exit('tvm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
