"""hetpart: an ahead-of-time compiler that places a neural network on the processors of a phone.

    bundle = hetpart.compile("resnet50.onnx", target="sd855", output="resnet50.hetpart")
    outputs = hetpart.load("resnet50.hetpart").run({"input": image})

Names are imported on first use, so that ``import hetpart`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hetpart.api import check, compile, compress, load
    from hetpart.errors import HetpartError

__version__ = "0.1.0"

_HOME = {
    "HetpartError": "hetpart.errors",
    "check": "hetpart.api",
    "compile": "hetpart.api",
    "compress": "hetpart.api",
    "load": "hetpart.api",
}

__all__ = ["HetpartError", "__version__", "check", "compile", "compress", "load"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'hetpart' has no attribute {name!r}")
