"""Pass names and where the passes live. To add a pass, from this tree or from outside, add an entry to `PASSES`."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib import import_module

from hetpart.errors import HetpartError
from hetpart.passes.base import Pass


def _load(module: str, name: str) -> Callable[[], type[Pass]]:
    """A thunk that imports the pass when it is first asked for, so that listing passes costs nothing."""

    def load() -> type[Pass]:
        pass_class: type[Pass] = getattr(import_module(f"hetpart.passes.{module}"), name)
        return pass_class

    return load


PASSES: dict[str, Callable[[], type[Pass]]] = {
    "canonicalise": _load("canonicalise", "Canonicalise"),
    "compute-outputs": _load("compute_outputs", "ComputeOutputs"),
    "cse": _load("cse", "CommonSubexpressionElimination"),
    "dce": _load("dce", "DeadCodeElimination"),
    "decompose": _load("decompose", "Decompose"),
    "fix": _load("fix", "ApplyFix"),
    "fold-bn": _load("fold_bn", "FoldBatchNormalization"),
    "fold-constants": _load("fold_constants", "FoldConstants"),
    "low-rank": _load("low_rank", "LowRank"),
    "prune-channels": _load("prune_channels", "PruneChannels"),
    "quantised-form": _load("quantised_form", "QuantisedForm"),
    "repair": _load("repair", "Repair"),
}


def pass_class(name: str) -> type[Pass]:
    """The class of the pass called `name`; HetpartError ``unknown-pass`` with the closest name if there is none."""
    if name in PASSES:
        return PASSES[name]()
    close = difflib.get_close_matches(name, PASSES, n=1)
    known = ", ".join(sorted(PASSES))
    hint = f"did you mean '{close[0]}'? " if close else ""
    raise HetpartError("unknown-pass", f"there is no pass called '{name}'", hint=f"{hint}known passes: {known}")
