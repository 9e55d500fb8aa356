"""Verdicts of a profile: whether the engine runs an operator on the profile's processor, and if not, why."""

from __future__ import annotations

from collections.abc import Iterator

from hetpart.oracle.profiles.conditions import violated
from hetpart.oracle.profiles.convert import EngineOp
from hetpart.oracle.profiles.profile import Profile
from hetpart.oracle.profiles.site import Site, dtype, shape
from hetpart.oracle.verdict import Verdict
from hetpart.targets.schema import HexagonCodegen, Target

_CONVERSIONS = ("QuantizeLinear", "DequantizeLinear")


def judge_operator(op: EngineOp, profile: Profile, target: Target) -> Verdict:
    """The first obstacle decides; none means supported."""
    if (problem := why_not_served(profile, target)) is not None:
        return Verdict("unsupported", "no-such-processor", problem, "choose another profile, or another target")
    if not op.operators:
        return Verdict("unsupported", "no-operator", op.missing, "express it in operators that the engine has")
    return _kernels(op, profile) or _tensors(op, profile) or Verdict("supported", "ok", f"it is {_named(op)} there")


def why_not_served(profile: Profile, target: Target) -> str | None:
    """Why `profile` has no processor on `target`; None if it has."""
    if profile.kind in ("cpu", "any"):
        return None
    processor = next((p for p in target.processors if p.kind == profile.kind), None)
    if processor is None:
        return f"{target.name} has no {profile.kind} processor"
    if isinstance(processor.codegen, HexagonCodegen):
        version = int(processor.codegen.mcpu.removeprefix("hexagonv")[:2])
        first, last = profile.hexagon
        if not first <= version <= last:
            served = f"from v{first} on" if first else f"up to v{last}"
            return f"{profile.title} serves Hexagon {served}; {target.name} has v{version}"
    return None


def _kernels(op: EngineOp, profile: Profile) -> Verdict | None:
    site = Site(op.nodes[0], profile.level)
    for operator in op.operators:
        if operator not in profile.kernels:
            message = f"there is no kernel for {operator} in: {profile.title}"
            return Verdict("unsupported", "no-kernel", message, "express it otherwise, or leave it to the CPU")
        for condition in _applicable(profile.kernels[operator], op):
            if (found := violated(condition, site)) is not None:
                reason, message, hint = found
                return Verdict("unsupported", reason, f"{operator}: {message}", hint)
    return None


def _applicable(conditions: tuple[str, ...], op: EngineOp) -> Iterator[str]:
    """Conditions speak of the ONNX node; of one of several operators that stand for it, only the level is known."""
    return (condition for condition in conditions if len(op.operators) == 1 or condition.startswith("level:"))


def _tensors(op: EngineOp, profile: Profile) -> Verdict | None:
    for value in (*op.inputs(), *op.outputs()):
        form, kind = shape(value), dtype(value)
        if profile.max_rank and len(form) > profile.max_rank:
            message = f"{value.name} has {len(form)} dimensions, more than {profile.max_rank}"
            return Verdict("unsupported", "rank", message, "merge dimensions that are not needed apart")
        if profile.batch and form and form[0] != profile.batch:
            message = f"{value.name} has a batch of {form[0]}; only {profile.batch} is supported"
            return Verdict("unsupported", "batch", message, "run the images one by one")
        if profile.dtypes and kind not in profile.dtypes:
            message = f"{value.name} is {kind}, not {' or '.join(sorted(profile.dtypes))}"
            return Verdict("unsupported", "dtype", message, "export the model in float32")
    if profile.int8 and (name := _in_float(op)) is not None:
        message = f"{name} is not quantised; only 8-bit tensors are accepted"
        return Verdict("unsupported", "needs-int8", message, "quantise the model to int8 (QDQ form)")
    return None


def _in_float(op: EngineOp) -> str | None:
    """Name of an activation in floating point; converting between that and integers is no computing in it."""
    if op.nodes[0].op_type in _CONVERSIONS:
        return None
    return next((value.name for value in (*op.inputs(), *op.outputs()) if dtype(value).startswith("float")), None)


def _named(op: EngineOp) -> str:
    return " and ".join(op.operators)
