"""Pipelines of passes: parsing ``"fold-bn,prune{ratio=0.3}"``, the standard levels, and running with verification."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import onnx_ir as ir

from hetpart.errors import HetpartError, InternalError
from hetpart.passes.base import BARE_WORD, Context, Pass
from hetpart.passes.registry import pass_class


@dataclass(frozen=True)
class PassRecord:
    """What one pass did, for ``--time-passes`` and reports.

    Attributes:
        name: the pass with its options.
        modified: whether it changed the model.
        seconds: wall time, verification not included.
        nodes_before: number of nodes in the graph before.
        nodes_after: and after.
    """

    name: str
    modified: bool
    seconds: float
    nodes_before: int
    nodes_after: int


def optimisation_level(level: str) -> list[Pass]:
    """The passes of ``O0`` (canonical form only) or ``O1`` (the default), in order."""
    if level == "O0":
        names = [
            "fold-constants",  # first: canonicalise names weights, axes and bounds only if they are initialisers
            "decompose",
            "fold-constants",  # of what the decompositions wrote
            "canonicalise",
            "fold-constants",  # again: what reads a Dropout's mask is constant only now
            "quantised-form",  # weights that no integer kernel reads must be constants in float32
            "dce",  # rewrites leave the nodes they replaced
            "compute-outputs",  # last: folding would undo it
        ]
    elif level == "O1":
        names = [
            "fold-constants",  # first: canonicalise names weights, axes and bounds only if they are initialisers
            "decompose",
            "fold-constants",  # of what the decompositions wrote
            "cse",  # before the patterns: two copies of x - mean(x) would hide a layer normalisation
            "canonicalise",
            "fold-constants",  # again: what reads a Dropout's mask is constant only now
            "fold-bn",  # after canonicalise, which turns every BatchNormalization into Mul + Add
            "cse",  # again: canonical forms compare equal more often (Flatten and Reshape, say)
            "quantised-form",  # after cse, which would join what it splits; on canonical pools and products
            "dce",  # the passes above leave the nodes and weights they replaced
            "compute-outputs",  # last: folding would undo it
        ]
    else:
        raise HetpartError("unknown-level", f"there is no optimisation level '{level}'", hint="use O0 or O1")
    return [pass_class(name)() for name in names]


_PASS = re.compile(r"\s*(?P<name>[\w-]+)\s*(?P<braces>\{(?P<options>(?:[^{}\"]|\"(?:[^\"\\]|\\.)*\")*)\})?\s*(?:,|$)")
_OPTION = re.compile(rf"\s*(?P<key>\w+)\s*=\s*(?P<value>\"(?:[^\"\\]|\\.)*\"|{BARE_WORD.pattern})\s*(?:,|$)")


def parse_pipeline(text: str) -> list[Pass]:
    """The passes that `text` lists, e.g. ``"fold-bn,prune{ratio=0.3}"``; empty text is no pass.

    Raises:
        HetpartError: ``pipeline-syntax``, ``unknown-pass``, ``unknown-option`` or ``bad-option``.
    """
    passes = []
    for match in _split(_PASS, text, "a pass such as name or name{option=value}"):
        cls = pass_class(match["name"])
        options: dict[str, Any] = {}
        for option in _split(_OPTION, match["options"] or "", f"option=value for pass '{cls.name}'"):
            if option["key"] in options:
                raise HetpartError("bad-option", f"option '{option['key']}' of pass '{cls.name}' is given twice")
            options[option["key"]] = _option_value(cls, option["key"], option["value"])
        passes.append(cls(**options))
    return passes


def _split(pattern: re.Pattern[str], text: str, expected: str) -> list[re.Match[str]]:
    """Consecutive matches of `pattern` that cover `text` completely."""
    matches = []
    position = 0
    while position < len(text.rstrip()):
        match = pattern.match(text, position)
        if match is None:
            raise HetpartError("pipeline-syntax", f"expected {expected} at '{text[position:].strip()}'")
        matches.append(match)
        position = match.end()
    if matches and matches[-1].group().rstrip().endswith(","):
        raise HetpartError("pipeline-syntax", f"expected {expected} after the last comma of '{text.strip()}'")
    return matches


def _option_value(cls: type[Pass], key: str, text: str) -> int | float | bool | str:
    """`text` as the type that field `key` of the pass declares."""
    names = [field.name for field in fields(cls)]
    if key not in names:
        hint = f"its options: {', '.join(names)}" if names else "it has no options"
        raise HetpartError("unknown-option", f"pass '{cls.name}' has no option '{key}'", hint=hint)
    kind = get_type_hints(cls)[key]
    if kind not in (int, float, bool, str):
        raise InternalError("option-type", f"option '{key}' of pass '{cls.name}' has type {kind}, which is not allowed")
    if text.startswith('"') and kind is str:
        value: str = json.loads(text)
        return value
    if kind is bool:
        if text in ("true", "false"):
            return text == "true"
        expected = "true or false"
    else:
        try:
            return kind(text)  # type: ignore[no-any-return]  # kind is int, float or str
        except ValueError:
            expected = "an integer" if kind is int else "a number"
    raise HetpartError("bad-option", f"option '{key}' of pass '{cls.name}' must be {expected}, not '{text}'")


def run_pipeline(
    model: ir.Model,
    passes: Sequence[Pass],
    context: Context | None = None,
    *,
    verify_each: bool = False,
    on_pass: Callable[[PassRecord], None] | None = None,
) -> list[PassRecord]:
    """Apply `passes` to `model`, in place and in order.

    Args:
        model: a model as `hetpart.frontend.import_model` returns it.
        passes: what to run.
        context: what compressing passes know of the target, and where they leave notes.
        verify_each: after each pass run the ONNX checker, infer all shapes anew and compare, and, from the first
            ``canonicalise`` on, check the canonical form.
        on_pass: called after each pass (and its verification) with its record.

    Raises:
        HetpartError: a pass refused the model; the message names the pass and those that ran before it.
        InternalError: a pass failed or left an invalid model, likewise.
    """
    context = context or Context()
    records: list[PassRecord] = []
    canonical = False
    for step in passes:
        before = model.graph.num_nodes()
        if step.lossy and context.origin.model is None:
            context.origin.model = model.clone()
        start = time.perf_counter()
        try:
            modified = step.run(model, context)
            seconds = time.perf_counter() - start
            canonical = canonical or step.name == "canonicalise"
            if verify_each:
                # imported late: it loads onnx's checker, which a plain run does without
                from hetpart.passes.verify import verify_model

                verify_model(model, canonical=canonical)
        except HetpartError as error:
            raise type(error)(
                error.code, f"{_context(step, records)}: {error.message}", node=error.node, hint=error.hint
            ) from error
        except Exception as error:  # whatever a pass raises becomes a report that names the pass
            raise InternalError("pass-failed", f"{_context(step, records)}: {error!r}") from error
        record = PassRecord(str(step), modified, seconds, before, model.graph.num_nodes())
        records.append(record)
        if on_pass is not None:
            on_pass(record)
    return records


def _context(step: Pass, records: Sequence[PassRecord]) -> str:
    before = ", ".join(record.name for record in records) or "nothing"
    return f"pass '{step}' failed (already run: {before})"
