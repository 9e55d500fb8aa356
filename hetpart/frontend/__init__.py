"""From an ONNX file to the one form that the rest of hetpart reads: static, typed, one opset, nothing left to fold."""

from hetpart.frontend.importer import import_model

__all__ = ["import_model"]
