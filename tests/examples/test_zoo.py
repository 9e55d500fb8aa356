"""The zoo's models are valid, run, tell something, and are as large as their publications say."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from examples import zoo

ROOT = Path(__file__).parents[2]
BIG = {"vgg16", "yolov2", "fast_style_transfer", "fast_style_transfer_deconv", "resnet50", "densenet121"}


@dataclass(frozen=True)
class Published:
    """Size in the literature; `source` says where. ``None`` where no figure was published for this input size."""

    parameters: float
    gmac: float | None
    source: str


TORCHVISION = "torchvision model tables (num_params, GFLOPS = 1e9 multiply-accumulates)"
PUBLISHED = {
    "resnet18": Published(11_689_512, 1.814, TORCHVISION),
    "resnet50": Published(25_557_032, 4.089, TORCHVISION),
    "vgg16": Published(138_357_544, 15.47, TORCHVISION),
    # file of 202,704,260 bytes; the COCO model's 62.94e9 operations at 608 x 608, scaled to 416 x 416
    "yolov2": Published(50.68e6, 62.94 / 2 * (416 / 608) ** 2, "darknet: yolov2-voc.weights; YOLOv2 page"),
    "posenet": Published(13.27e6 / 4, None, "TensorFlow Lite posenet_mobilenet_v1_100_257x257: 13.3 MB of float32"),
    # SCRFD (Guo et al. 2022), table 2, counts about 0.80 G at 640 x 480, without saying what is counted
    "retinaface": Published(426_608, None, "biubug6/Pytorch_Retinaface, mobilenet0.25_Final.pth (1.7 MB)"),
    "fast_style_transfer": Published(1_679_235, None, "pytorch/examples fast_neural_style, TransformerNet"),
    "fast_style_transfer_deconv": Published(1_679_235, None, "same layers as TransformerNet"),
    "mobilenetv1": Published(4.2e6, 0.569, "Howard et al. 2017, table 4"),
    "mobilenetv2": Published(3_504_872, 0.301, TORCHVISION),
    "mobilenetv3_small": Published(2_542_856, 0.057, TORCHVISION),
    "squeezenet": Published(1_235_496, 0.349, TORCHVISION),
    "inception_v1": Published(6_624_904, 1.498, TORCHVISION),
    "densenet121": Published(7_978_856, 2.834, TORCHVISION),
    "shufflenetv2": Published(2_278_604, 0.145, TORCHVISION),
    "unet": Published(7_763_041, None, "mateuszbuda/brain-segmentation-pytorch"),
    "vit_tiny": Published(5_717_416, 1.26, "Touvron et al. 2021, DeiT-Ti; timm vit_tiny_patch16_224"),
    "bert_tiny": Published(4_385_920, None, "google/bert_uncased_L-2_H-128_A-2"),
}


def models(*big: str) -> list[object]:
    return [pytest.param(name, marks=[pytest.mark.slow] if name in big else []) for name in zoo.names()]


def test_every_model_has_a_published_size() -> None:
    assert set(PUBLISHED) == set(zoo.names())


@pytest.mark.parametrize("name", models("vgg16"))
def test_size_is_as_published(name: str) -> None:
    model = zoo.build(name)
    published = PUBLISHED[name]
    assert zoo.parameters(model) == pytest.approx(published.parameters, rel=0.02)
    if published.gmac:
        assert zoo.macs(model) / 1e9 == pytest.approx(published.gmac, rel=0.02)


@pytest.mark.parametrize("name", models(*BIG))
def test_model_is_valid_and_tells_something(name: str) -> None:
    model = zoo.build(name)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    first, second = (session.run(None, zoo.inputs(model, seed)) for seed in (0, 1))
    for a, b in zip(first, second, strict=True):
        assert np.isfinite(a).all()
        assert a.std() > 0.1
        assert a.std() > abs(a.mean())
        assert np.abs(a).max() < 200
        assert np.linalg.norm(a - b) > 1e-2 * np.linalg.norm(a)  # the input matters, a thousand times the tolerances


@pytest.mark.parametrize("name", ["mobilenetv2", "vit_tiny", "fast_style_transfer"])
def test_seed_decides_the_bytes(name: str) -> None:
    first = zoo.build(name, seed=3).SerializeToString()
    assert first == zoo.build(name, seed=3).SerializeToString()
    assert first != zoo.build(name, seed=4).SerializeToString()


def test_inputs_are_in_range() -> None:
    feeds = zoo.inputs(zoo.build("bert_tiny"))
    assert feeds["input_ids"].dtype == np.int64
    assert feeds["input_ids"].min() >= 0
    assert 1000 < feeds["input_ids"].max() < 30522
    assert feeds["token_type_ids"].max() == 1
    assert set(feeds["attention_mask"].ravel().tolist()) == {0, 1}
    assert feeds["attention_mask"][0, 0] == 1


def test_command_line_writes_the_model(tmp_path: Path) -> None:
    path = tmp_path / "squeezenet.onnx"
    command = [sys.executable, "-m", "examples.zoo", "squeezenet", "-o", str(path), "--seed", "1"]
    subprocess.run(command, cwd=ROOT, check=True)
    assert path.read_bytes() == zoo.build("squeezenet", seed=1).SerializeToString()


def test_command_line_refuses_an_unknown_model() -> None:
    command = [sys.executable, "-m", "examples.zoo", "resnet51"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "resnet18" in result.stderr
