"""Symbols of kernels: a word for people and the spec's digest for the linker."""

from __future__ import annotations

from hetpart.kernels.spec import ConvSpec, QConvSpec, Spec


def symbol_of(spec: Spec) -> str:
    """E.g. ``conv3x3_9f86d081884c7d65``; a valid C identifier, equal for equal specs."""
    word = type(spec).__name__.removesuffix("Spec").lower()
    if isinstance(spec, ConvSpec | QConvSpec):
        word = f"{'depthwise' if spec.depthwise else 'conv'}{spec.kernel[0]}x{spec.kernel[1]}"
        word = f"q{word}" if isinstance(spec, QConvSpec) else word
    return f"{word}_{spec.signature}"
