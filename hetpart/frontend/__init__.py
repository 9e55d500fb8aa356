"""From an ONNX file to one form that the rest of hetpart understands: static, typed, one opset, nothing left to fold."""

from hetpart.frontend.importer import import_model

__all__ = ["import_model"]
