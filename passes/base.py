"""What a pass is: a frozen dataclass that changes a model in place and says whether it did.

The fields of the dataclass are the options of the pass on the command line, and ``str`` writes them the way
`hetpart.passes.pipeline.parse_pipeline` reads them: ``prune{ratio=0.3}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import onnx_ir as ir

from hetpart.calibration import Calibration

BARE_WORD = re.compile(r"[\w.+\-/:]+")
"""A text value that needs no quotes in a pipeline."""


class Note(Protocol):
    """What a pass has to say about its work, for ``--explain``, reports and manifests."""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON data."""

    def lines(self) -> list[str]:
        """For people: a summary."""


@runtime_checkable
class ExplainingNote(Note, Protocol):
    """A note that has more to say than its summary."""

    def explain(self) -> list[str]:
        """For people: all of it."""


Indices = np.ndarray[Any, np.dtype[np.int64]]


@dataclass
class Origin:
    """What a model was before passes changed its function. Values that are still there have their names.

    Attributes:
        model: a copy from before the first lossy pass; None until one runs.
        kept: per value that lost some of its indices, along each axis the original's indices that are left, ascending.
    """

    model: ir.Model | None = None
    kept: dict[str, list[Indices]] = field(default_factory=dict)

    def narrow(self, kept: Mapping[str, Sequence[Indices]]) -> None:
        """Note which of their present indices values keep, by name and axis."""
        for name, axes in kept.items():
            before = self.kept.get(name, [])
            self.kept[name] = [old[new] for old, new in zip(before, axes, strict=True)] if before else list(axes)


@dataclass(frozen=True)
class Context:
    """What passes that compress may use beside the model, and where they leave notes.

    Attributes:
        target: name of the target; empty if there is none.
        block: channels of a layout block there; 0 without a target.
        predict_us: microseconds that a model in canonical form is estimated to take there; only shapes are looked at.
        calibration: samples of the model's inputs; None if the user gave none.
        origin: what the model was; `run_pipeline` and the passes keep it up to date.
        notes: notes of the passes, in order.
    """

    target: str = ""
    block: int = 0
    predict_us: Callable[[ir.Model], float] | None = None
    calibration: Calibration | None = None
    origin: Origin = field(default_factory=Origin)
    notes: list[Note] = field(default_factory=list)


@dataclass(frozen=True)
class Pass:
    """Base of all passes.

    A pass keeps the model valid ONNX with a static type on every value, its inputs and outputs (names, order, types)
    and, unless it is lossy, its function up to rounding. Options are of type int, float, bool or str and have defaults.

    Attributes:
        name: kebab-case name in pipelines.
        lossy: the pass changes the model's function, on purpose.
    """

    name: ClassVar[str]
    lossy: ClassVar[bool] = False

    def apply(self, model: ir.Model) -> bool:
        """Change `model` in place; True if anything changed."""
        raise NotImplementedError(f"pass {type(self).__name__} has no apply method")

    def run(self, model: ir.Model, context: Context) -> bool:
        """As `apply`, for passes that look at the context too."""
        return self.apply(model)

    def __str__(self) -> str:
        options = [
            f"{field.name}={_option_text(value)}"
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        ]
        return self.name + ("{" + ",".join(options) + "}" if options else "")


def _option_text(value: int | float | bool | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and not BARE_WORD.fullmatch(value):
        return json.dumps(value)
    return str(value)
