"""The networks of CoDL (MobiSys'22) as its evaluation runs them: convolutions, poolings and dense layers only.

From csu-eis/CoDL, codl-mobile/test/codl_run/nn_model_builder.cc; the inputs there are padded beforehand.
"""

from __future__ import annotations

from hetpart.cost.layers import Layer


def _conv(height: int, width: int, c_in: int, c_out: int, kernel: int, stride: int = 1) -> Layer:
    out = ((height - kernel) // stride + 1, (width - kernel) // stride + 1)
    read, written = height * width * c_in, out[0] * out[1] * c_out
    return Layer("conv", c_in, c_out, 1, (kernel, kernel), stride, out, read, written)


def _square(size: int, c_in: int, c_out: int, kernel: int) -> Layer:
    return _conv(size, size, c_in, c_out, kernel)


def _pool(size: int, channels: int) -> Layer:
    return Layer("pool", read=size * size * channels, written=size * size * channels // 4)


YOLOV2 = (
    _square(418, 3, 32, 3), _pool(416, 32), _square(210, 32, 64, 3), _pool(208, 64), _square(106, 64, 128, 3),
    _square(104, 128, 64, 1), _square(106, 64, 128, 3), _pool(104, 128), _square(54, 128, 256, 3),
    _square(52, 256, 128, 1), _square(54, 128, 256, 3), _pool(52, 256), *(_square(28, 256, 512, 3),) * 3,
    *(_square(26, 512, 256, 1),) * 2, _pool(26, 512), *(_square(15, 512, 1024, 3),) * 3,
    *(_square(13, 1024, 512, 1),) * 2, *(_square(15, 1024, 1024, 3),) * 2, _square(15, 1024, 1536, 3),
    _square(15, 125, 1024, 3),
)  # fmt: skip
STYLE = (
    _conv(488, 648, 3, 32, 9), _conv(481, 641, 32, 64, 3, 2), _conv(241, 321, 64, 128, 3, 2),
    *(_conv(122, 162, 128, 128, 3),) * 10, _conv(488, 648, 32, 3, 9),
)  # fmt: skip

CODL: dict[str, tuple[Layer, ...]] = {"codl_yolov2": YOLOV2, "codl_style": STYLE}
