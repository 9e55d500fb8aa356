"""What a pass is: a frozen dataclass that changes a model in place and says whether it did.

The fields of the dataclass are the options of the pass on the command line, and ``str`` writes them the way
`hetpart.passes.pipeline.parse_pipeline` reads them: ``prune{ratio=0.3}``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from typing import ClassVar

import onnx_ir as ir

BARE_WORD = re.compile(r"[\w.+\-/:]+")
"""A text value that needs no quotes in a pipeline."""


@dataclass(frozen=True)
class Pass:
    """Base of all passes.

    A pass keeps the model valid ONNX with a static type on every value, its inputs and outputs (names, order, types)
    and, up to rounding, its function. Options are of type int, float, bool or str and have defaults.

    Attributes:
        name: kebab-case name in pipelines.
    """

    name: ClassVar[str]

    def apply(self, model: ir.Model) -> bool:
        """Change `model` in place; True if anything changed."""
        raise NotImplementedError(f"pass {type(self).__name__} has no apply method")

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
