"""The pool of images: values in images whose lifetimes do not overlap share one.

Only one processor touches images, step after step in its own order, so a lifetime is a stretch of its list of steps. An
image may be larger than the map in it; it grows to what its largest user needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hetpart.plan.plan import ImageShape


@dataclass(frozen=True)
class Stay:
    """A value that needs an image of at least `shape` from its step `first` to its step `last`."""

    name: str
    shape: ImageShape
    first: int
    last: int


def pool(stays: Sequence[Stay]) -> tuple[dict[str, int], tuple[ImageShape, ...]]:
    """The number of the image of each value, and the images."""
    numbers: dict[str, int] = {}
    images: list[ImageShape] = []
    free_from: list[int] = []
    for stay in sorted(stays, key=lambda each: (each.first, each.name)):
        wanted = stay.shape
        growth = [
            (_grown(image, wanted).texels - image.texels, number)
            for number, image in enumerate(images)
            if free_from[number] <= stay.first and image.dtype == wanted.dtype
        ]
        least, number = min(growth, default=(wanted.texels, len(images)))
        if least >= wanted.texels:
            number = len(images)
            images.append(wanted)
            free_from.append(0)
        images[number] = _grown(images[number], wanted)
        free_from[number] = stay.last + 1
        numbers[stay.name] = number
    return numbers, tuple(images)


def _grown(image: ImageShape, wanted: ImageShape) -> ImageShape:
    return replace(image, width=max(image.width, wanted.width), height=max(image.height, wanted.height))
