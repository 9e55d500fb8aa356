"""The registry of generators."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hetpart.errors import HetpartError
from hetpart.graph.epilogue import Step
from hetpart.graph.layout import Plain
from hetpart.kernels import spec as specs
from hetpart.kernels.opencl import GENERATORS, generator


def test_every_spec_has_a_generator_but_what_only_the_cpu_takes() -> None:
    only_cpu = {specs.OnnxSpec, specs.QConvSpec, specs.QDenseSpec, specs.QEltwiseSpec, specs.QPoolSpec}
    assert set(GENERATORS) == set(specs.Spec.__subclasses__()) - only_cpu
    for module in GENERATORS.values():
        assert callable(module.source)
        assert callable(module.launch)
        assert callable(module.pack)


def test_other_operators_stay_on_the_cpu() -> None:
    with pytest.raises(HetpartError) as caught:
        generator(specs.OnnxSpec(b"", (), ()))
    assert caught.value.code == "no-kernel"


def test_only_moves_take_other_types() -> None:
    form = Plain((2, 3), "int64")
    assert generator(specs.TransposeSpec(form, Plain((3, 2), "int64"), (1, 0)))
    assert generator(specs.ConcatSpec((form,), form, 0))
    with pytest.raises(HetpartError, match="int64"):
        generator(specs.EltwiseSpec(form, form, (Step("relu"),)))
    with pytest.raises(HetpartError, match="int32"):
        generator(specs.EltwiseSpec(Plain((3,)), Plain((3,)), (Step("add", operand=0),), (Plain((3,), "int32"),)))


def test_import_does_not_bring_tvm() -> None:
    code = "import sys, hetpart.kernels.opencl; assert not {'tvm', 'pyopencl'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
