"""Files that are no ONNX models are named for what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples import zoo
from hetpart.frontend import import_model
from hetpart.frontend.load import read_proto
from tests.frontend.support import refused


def test_reads_a_model(tmp_path: Path) -> None:
    path = tmp_path / "squeezenet.onnx"
    model = zoo.build("squeezenet")
    path.write_bytes(model.SerializeToString())
    assert read_proto(path) == model
    assert len(import_model(str(path)).graph) == len(model.graph.node)


def test_missing_file(tmp_path: Path) -> None:
    with refused("file-not-found", "no.onnx"):
        import_model(tmp_path / "no.onnx")


def test_directory(tmp_path: Path) -> None:
    with refused("not-a-file", str(tmp_path)):
        import_model(tmp_path)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    with refused("empty-file", "empty.onnx"):
        import_model(tmp_path / "empty.onnx")


def test_file_beyond_the_limit_of_protobuf(tmp_path: Path) -> None:
    path = tmp_path / "large.onnx"
    with path.open("wb") as file:
        file.truncate(3 * 2**30)  # sparse
    with refused("model-too-large", "3.0 GiB", "external data"):
        import_model(path)


@pytest.mark.parametrize("kept", [0.3, 0.999])
def test_truncated_model(tmp_path: Path, kept: float) -> None:
    data = zoo.build("squeezenet").SerializeToString()
    path = tmp_path / "cut.onnx"
    path.write_bytes(data[: int(len(data) * kept)])
    with refused("corrupt-model", "cut.onnx"):
        import_model(path)


def test_overwritten_model(tmp_path: Path) -> None:
    data = bytearray(zoo.build("squeezenet").SerializeToString())
    data[40:4000] = b"\xff" * 3960
    path = tmp_path / "damaged.onnx"
    path.write_bytes(data)
    with refused("corrupt-model", "damaged.onnx"):
        import_model(path)


@pytest.mark.parametrize(
    ("content", "looks_like"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "PNG"),
        (b"PK\x03\x04" + bytes(range(256)), "PyTorch checkpoint"),
        (b"\x89HDF\r\n\x1a\n" + bytes(range(256)), "Keras"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(range(256)), "TensorFlow Lite"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 12\n", "Git LFS"),
        (b"a plain text file, which happens to end in .onnx\n", "not an ONNX model"),
        (b"{}", "not an ONNX model"),
        (b"\x00", "not an ONNX model"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, looks_like: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with refused("not-onnx", looks_like, "model.onnx"):
        import_model(path)
