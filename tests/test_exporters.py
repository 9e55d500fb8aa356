"""Graphs as PyTorch's exporters make them: other spellings of the same operators. torch is optional here."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import onnx
import pytest

from hetpart.build import build
from hetpart.compiler import Options
from hetpart.verify import TOLERANCE

torch = pytest.importorskip("torch", reason="torch is not installed (exporter-made graphs are optional)")
nn = torch.nn


class Residual(nn.Module):  # type: ignore[misc, name-defined]  # torch is untyped here
    """Convolution, depthwise convolution, squeeze-and-excite, residual, concat, resize, pooling, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish())
        self.depthwise = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.ReLU6())
        self.squeeze = nn.Sequential(nn.Conv2d(16, 8, 1), nn.SiLU(), nn.Conv2d(8, 16, 1), nn.Sigmoid())
        self.point = nn.Conv2d(16, 16, 1)
        self.up = nn.ConvTranspose2d(16, 8, 2, 2)
        self.norm = nn.InstanceNorm2d(8, affine=True)
        self.head = nn.Linear(24, 10)

    def forward(self, x: Any) -> Any:
        x = self.stem(x)
        y = self.depthwise(x)
        y = y * self.squeeze(y.mean((2, 3), keepdim=True))
        x = x + self.point(y)
        fine = nn.functional.gelu(self.norm(self.up(x)))
        coarse = nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.head(torch.cat([fine, coarse], 1).mean((2, 3)))


class Encoder(nn.Module):  # type: ignore[misc, name-defined]  # torch is untyped here
    """One transformer block with an explicit attention."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))

    def forward(self, x: Any) -> Any:
        q, k, v = self.qkv(self.norm1(x)).reshape(1, 9, 3, 4, 8).permute(2, 0, 3, 1, 4)
        attention = (q @ k.transpose(-2, -1) / 8**0.5).softmax(-1) @ v
        x = x + self.out(attention.transpose(1, 2).reshape(1, 9, 32))
        return x + self.mlp(self.norm2(x))


def exported(module: Any, example: Any, dynamo: bool) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own deprecations
        if dynamo:
            pytest.importorskip("onnxscript", reason="torch's new exporter needs onnxscript")
            proto: onnx.ModelProto = torch.onnx.export(module, (example,), dynamo=True, verbose=False).model_proto
            return proto
        file = io.BytesIO()
        torch.onnx.export(module, (example,), file, dynamo=False, opset_version=17)
        return onnx.load_from_string(file.getvalue())


@pytest.mark.slow
@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("target", ["host", "sd855"])
@pytest.mark.parametrize(
    ("network", "shape"), [(Residual, (1, 3, 32, 32)), (Encoder, (1, 9, 32))], ids=["residual", "encoder"]
)
def test_exported_networks(network: Any, shape: tuple[int, ...], target: str, dynamo: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = network().eval()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    model = exported(module, torch.randn(shape), dynamo)
    report = build(model, target, tmp_path / "bundle", Options())
    assert all(found["rel_l2"] <= TOLERANCE for found in report.verify["outputs"].values())
