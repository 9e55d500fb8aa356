"""Command line: ``python -m examples.zoo resnet50 -o resnet50.onnx [--seed N]``, ``python -m examples.zoo --list``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import onnx

from examples import zoo


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.zoo", description="Write a sample ONNX model.")
    parser.add_argument("model", nargs="?", choices=zoo.names(), metavar="MODEL", help=", ".join(zoo.names()))
    parser.add_argument("-o", "--output", type=Path, help="file to write (default: MODEL.onnx)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random weights (default: 0)")
    parser.add_argument("--list", action="store_true", help="list the models: input, parameters, multiply-accumulates")
    arguments = parser.parse_args()
    if arguments.list:
        for name in zoo.names():
            print(_describe(name))
        return 0
    if arguments.model is None:
        parser.error("name a model, or use --list")
    onnx.save(zoo.build(arguments.model, arguments.seed), arguments.output or f"{arguments.model}.onnx")
    return 0


def _describe(name: str) -> str:
    model = zoo.build(name)
    shapes = (
        f"{value.name} {'x'.join(str(dim.dim_value) for dim in value.type.tensor_type.shape.dim)}"
        for value in model.graph.input
    )
    size = f"{zoo.parameters(model) / 1e6:8.2f} M params {zoo.macs(model) / 1e9:8.3f} GMAC"
    return f"{name:28}{size}  {', '.join(shapes)}"


if __name__ == "__main__":
    sys.exit(main())
