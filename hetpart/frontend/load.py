"""Read an ONNX file into a protobuf message, and say what is wrong with a file that is none."""

from __future__ import annotations

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from hetpart.errors import HetpartError

_PROTOBUF_LIMIT = 2**31
"""Protobuf messages stay below 2 GiB; larger models need external data (ONNX, docs/ExternalData.md)."""

_SIGNATURES = (
    (0, b"\x89PNG", "a PNG image"),
    (0, b"PK\x03\x04", "a zip archive, perhaps a PyTorch checkpoint"),
    (0, b"\x89HDF", "an HDF5 file, perhaps a Keras model"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"version https://git-lfs", "a Git LFS pointer whose content was not fetched (git lfs pull)"),
)
"""(offset, bytes, what it is) of files that are mistaken for ONNX models."""


def read_proto(path: Path) -> onnx.ModelProto:
    """The model in `path`, without its external data.

    Raises:
        HetpartError: ``file-not-found``, ``not-a-file``, ``empty-file``, ``model-too-large``, ``unreadable-file``,
            ``not-onnx`` or ``corrupt-model``.
    """
    if not path.exists():
        raise HetpartError("file-not-found", f"there is no file '{path}'")
    if not path.is_file():
        raise HetpartError("not-a-file", f"'{path}' is not a file", hint="name the .onnx file itself")
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        raise HetpartError("empty-file", f"'{path}' is empty")
    if size_bytes >= _PROTOBUF_LIMIT:
        raise HetpartError(
            "model-too-large",
            f"'{path}' has {size_bytes / 2**30:.1f} GiB; an ONNX file must stay below 2 GiB",
            hint="save the weights as external data: onnx.save(..., save_as_external_data=True)",
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HetpartError("unreadable-file", f"'{path}' cannot be read: {error.strerror}") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        if data[0] == 0x08:  # every known writer starts with ir_version, field 1 as a varint
            raise HetpartError(
                "corrupt-model", f"'{path}' is damaged or cut short", hint="fetch or export it again"
            ) from error
        raise _not_onnx(path, data) from error
    if not model.HasField("graph"):
        raise _not_onnx(path, data)
    return model


def _not_onnx(path: Path, data: bytes) -> HetpartError:
    looks_like = next((what for at, magic, what in _SIGNATURES if data[at : at + len(magic)] == magic), None)
    detail = f"; it looks like {looks_like}" if looks_like else ""
    return HetpartError("not-onnx", f"'{path}' is not an ONNX model{detail}", hint="export the model to ONNX first")
