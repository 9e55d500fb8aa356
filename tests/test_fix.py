"""Proposals of rewrites, and the rewritten model on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from examples import zoo
from hetpart.errors import HetpartError
from hetpart.fix import propose
from hetpart.graph.units import TensorType
from hetpart.rewritten import write_rewritten
from hetpart.targets import load_target
from hetpart.verify import random_inputs, reference

SD855 = load_target("sd855")
MODEL = """<ir_version: 8, opset_import: ["" : 13]> g (float[1,8,6,6] x) => (float[1,2,12,12] y) {
    [act] a = Relu(x) [shuffle] b = DepthToSpace<blocksize=2>(a) [end] y = Sigmoid(b)
}"""


def write(folder: Path, text: str = MODEL, **constants: np.ndarray) -> Path:
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(data, name) for name, data in constants.items())
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def test_a_proposal_says_what_changes(tmp_path: Path) -> None:
    report, fixed = propose(write(tmp_path), SD855)
    (proposal,) = report.proposals
    assert (proposal.fix, proposal.nodes, proposal.gains) == ("depth-to-space", ("shuffle",), {"cpu": 1, "gpu": 1})
    assert proposal.worthwhile
    assert report.before.refused == {"cpu": 1, "gpu": 1}
    assert report.after.refused == {"cpu": 0, "gpu": 0}
    assert report.before.plan_us is not None
    assert report.after.plan_us is not None
    assert report.after.plan_us <= report.before.plan_us
    assert report.after.greedy_us < report.before.greedy_us
    assert report.remaining == {}
    assert [node.op_type for node in fixed.graph] == ["Relu", "Reshape", "Transpose", "Reshape", "Sigmoid"]


def test_a_greedy_run_gets_shorter(tmp_path: Path) -> None:
    """Channels are chosen from what a product made, row-major: there the choice has no kernel of its own."""
    body = "m = MatMul(x, k) r = Reshape(m, maps) [choice] a, b = Split<axis=1>(r) c = Conv(a, w) d = Conv(b, v)"
    text = f'<ir_version: 8, opset_import: ["" : 13]> g (float[256,256] x) => (float y) {{ {body} y = Add(c, d) }}'
    random = np.random.default_rng(0)
    weights = {name: random.standard_normal((16, 16, 1, 1)).astype(np.float32) for name in "wv"}
    k = random.standard_normal((256, 8192)).astype(np.float32)
    report, _ = propose(write(tmp_path, text, k=k, maps=np.array([1, 32, 256, 256]), **weights), SD855)
    (proposal,) = report.worthwhile
    assert (proposal.fix, proposal.nodes) == ("select-by-conv", ("choice",))
    assert report.after.refused["gpu"] == 0
    assert report.after.greedy_us < 0.9 * report.before.greedy_us


def test_what_makes_the_plan_longer_is_not_worth_it() -> None:
    report, _ = propose(zoo.build("bert_tiny"), SD855)
    (proposal,) = report.proposals
    assert proposal.after.plan_us is not None
    assert report.before.plan_us is not None
    assert proposal.worthwhile == (proposal.after.plan_us <= report.before.plan_us)
    assert sum(report.remaining.values()) == report.after.refused["gpu"]


def test_nothing_to_fix() -> None:
    report, _ = propose(zoo.build("squeezenet"), SD855)
    assert (report.proposals, report.remaining) == ((), {})
    assert report.before == report.after


def test_an_operator_that_ran_nowhere(tmp_path: Path) -> None:
    body = 'a = Relu(x) b = Resize<mode="cubic", antialias=1>(a, , s) y = Neg(b)'
    text = f'<ir_version: 8, opset_import: ["" : 18]> g (float[1,2,6,6] x) => (float[1,2,3,3] y) {{ {body} }}'
    report, _ = propose(write(tmp_path, text, s=np.array([1, 1, 0.5, 0.5], np.float32)), SD855)
    assert report.before.refused == {"cpu": 0, "gpu": 0}  # what no kernel runs is decomposed before anything else


def test_the_written_model_is_equal(tmp_path: Path) -> None:
    source, output = write(tmp_path), tmp_path / "fixed.onnx"
    _, fixed = propose(source, SD855)
    assert write_rewritten(fixed, source, output) == 0.0
    onnx.checker.check_model(output, full_check=True)
    assert "DepthToSpace" not in {node.op_type for node in onnx.load(output).graph.node}
    inputs = random_inputs({"x": TensorType((1, 8, 6, 6), "float32")}, seed=9)
    np.testing.assert_array_equal(reference(output, inputs)["y"], reference(source, inputs)["y"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fixed.onnx", "model.onnx"]


def test_weights_in_a_file_of_their_own_stay_there(tmp_path: Path) -> None:
    text = MODEL.replace("Relu(x)", "Conv<pads=[8,8,8,8]>(x, w)")
    weight = np.random.default_rng(0).standard_normal((8, 8, 17, 17), np.float32)
    source = write(tmp_path, text, w=weight)
    (tmp_path / "in").mkdir()
    apart = tmp_path / "in" / "model.onnx"
    onnx.save(onnx.load(source), apart, save_as_external_data=True, location="w.bin", size_threshold=0)
    before = (apart.read_bytes(), (apart.parent / "w.bin").read_bytes())
    _, fixed = propose(apart, SD855)
    output = tmp_path / "fixed.onnx"
    write_rewritten(fixed, apart, output)
    assert (apart.read_bytes(), (apart.parent / "w.bin").read_bytes()) == before
    assert (tmp_path / "fixed.onnx.data").exists()
    inputs = random_inputs({"x": TensorType((1, 8, 6, 6), "float32")}, seed=9)
    np.testing.assert_array_equal(reference(output, inputs)["y"], reference(apart, inputs)["y"])


def test_a_model_that_differs_is_not_written(tmp_path: Path) -> None:
    source, output = write(tmp_path), tmp_path / "fixed.onnx"
    _, fixed = propose(source, SD855)
    (transpose,) = [node for node in fixed.graph if node.op_type == "Transpose"]
    transpose.attributes.add(ir.AttrInt64s("perm", (0, 3, 4, 2, 5, 1)))
    with pytest.raises(HetpartError, match="differs by") as caught:
        write_rewritten(fixed, source, output)
    assert (caught.value.code, caught.value.node) == ("rewrite-differs", "y")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_the_input_is_never_written_over(tmp_path: Path) -> None:
    source = write(tmp_path)
    _, fixed = propose(source, SD855)
    (tmp_path / "link.onnx").symlink_to(source)
    before = source.read_bytes()
    for output in (source, tmp_path / "link.onnx"):
        with pytest.raises(HetpartError) as caught:
            write_rewritten(fixed, source, output, overwrite=True)
        assert caught.value.code == "output-is-input"
    (tmp_path / "other.onnx").write_text("mine")
    with pytest.raises(HetpartError) as caught:
        write_rewritten(fixed, source, tmp_path / "other.onnx")
    assert caught.value.code == "output-exists"
    with pytest.raises(HetpartError) as caught:
        write_rewritten(fixed, source, tmp_path / "nowhere" / "other.onnx")
    assert caught.value.code == "cannot-write"
    assert source.read_bytes() == before
