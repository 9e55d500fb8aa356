"""Options of the verbs that run passes which cost accuracy: data for them, and how their price is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CalibrationOption = Annotated[
    Path | None,
    typer.Option("--calibration", metavar="FILE.npz", help="Inputs by name, for passes that look at activations."),
]
EvalOption = Annotated[
    str,
    typer.Option(
        "--eval", metavar="FILE.npz|MODULE:FUNCTION", show_default=False,
        help="Inputs by name and labels; or a function from a model's path to a number, higher is better.",
    ),
]  # fmt: skip
MaxDropOption = Annotated[
    float | None,
    typer.Option("--max-drop", metavar="POINTS", help="Write nothing if --eval drops by more percentage points."),
]
SeedOption = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of whatever is random.")]
