"""Puts measured times in the place of estimated ones, wherever a profile has them, and says where it has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hetpart.cost.estimate import Cost
from hetpart.errors import HetpartError
from hetpart.graph.assign import Assignment
from hetpart.profile.data import Profile
from hetpart.profile.keys import target_digest, toolchain, unit_kernels
from hetpart.profile.machine import processor_name
from hetpart.targets.schema import CpuCodegen, Law, Link, Processor, Target

Costs = dict[str, dict[str, Cost]]


@dataclass(frozen=True)
class Applied:
    """What came of a profile.

    Attributes:
        costs: per unit and processor, measured where the profile has an entry.
        target: the target with the measured links, copies and contention.
        missing: unit -> the processors on which it was not measured; units that were measured everywhere are absent.
        start_us, end_us: of a call, 0 if not measured; see `Profile`.
    """

    costs: Costs
    target: Target
    missing: dict[str, tuple[str, ...]]
    start_us: float
    end_us: float


def apply(
    profile: Profile,
    assignment: Assignment,
    target: Target,
    costs: Mapping[str, Mapping[str, Cost]],
    shared: Mapping[str, Mapping[str, str]],
) -> Applied:
    """`costs` with measured times.

    Args:
        profile: any profile.
        assignment: units with layouts.
        target: what they are compiled for.
        costs: estimates per unit and processor that supports it.
        shared: per unit and processor, why it works on shared buffers; empty where it works in private memory.

    Raises:
        HetpartError: ``profile-mismatch`` if the profile is for another target, toolchain or machine, or has no entry
            for any unit.
    """
    require_match(profile, target)
    return with_times(profile, assignment, target, costs, shared)


def with_times(
    profile: Profile,
    assignment: Assignment,
    target: Target,
    costs: Mapping[str, Mapping[str, Cost]],
    shared: Mapping[str, Mapping[str, str]],
) -> Applied:
    """As `apply`, for a profile that was measured with this target and toolchain, on whatever machine."""
    times = {entry.key: entry.latency_us for entry in profile.entries}
    kernels = unit_kernels(assignment, target)
    found: Costs = {}
    missing: dict[str, tuple[str, ...]] = {}
    for unit, row in costs.items():
        found[unit] = dict(row)
        for processor, cost in row.items():
            memory = "shared" if shared[unit][processor] else "private"
            time = times.get((processor, memory, kernels[unit][processor]))
            if time is None:
                missing[unit] = (*missing.get(unit, ()), processor)
            else:
                launch_us = min(cost.launch_us, time)
                found[unit][processor] = replace(cost, latency_us=time, launch_us=launch_us, origin="measured")
    if costs and all(len(missing.get(unit, ())) == len(row) for unit, row in costs.items()):
        raise HetpartError(
            "profile-mismatch",
            f"the profile of {profile.model} has a time for none of the model's {len(costs)} units",
            hint="profile this model, with the same shapes and passes",
        )
    return Applied(
        found,
        _with_contention(_with_copies(_with_links(target, profile), profile), profile),
        missing,
        profile.start_us or 0.0,
        profile.end_us or 0.0,
    )


def require_match(profile: Profile, target: Target) -> None:
    """Refuses a profile whose times cannot be true here; HetpartError ``profile-mismatch`` says what differs."""
    again = f"measure again: hetpart profile MODEL --target {target.name}"
    if profile.target != target.name:
        raise HetpartError(
            "profile-mismatch", f"the profile is for target {profile.target}, not for {target.name}", hint=again
        )
    if profile.target_digest != target_digest(target):
        what = f"target {target.name} has other processors or code generation options than when it was profiled"
        raise HetpartError("profile-mismatch", what, hint=again)
    if profile.toolchain != toolchain():
        what = f"the profile was measured with another toolchain ({profile.toolchain}, this is {toolchain()})"
        raise HetpartError("profile-mismatch", f"{what}, whose kernels may differ", hint=again)
    codegen = target.host.codegen
    measured_on, here = profile.machine.get("processor"), processor_name()
    if isinstance(codegen, CpuCodegen) and codegen.native and measured_on != here:
        what = f"the profile was measured on another machine ({measured_on}, this is {here})"
        raise HetpartError("profile-mismatch", what, hint=again)


def _with_links(target: Target, profile: Profile) -> Target:
    measured = {(link.source, link.target): link for link in profile.links}

    def link(estimated: Link) -> Link:
        found = measured.get((estimated.source, estimated.target))
        if found is None:
            return estimated
        speed = found.gb_per_s or _NO_COPY
        slower = found.fixed_us / estimated.fixed_us if estimated.fixed_us else 1.0
        faster = speed / estimated.gb_per_s
        p5, p95 = (law and Law(law.fixed_us * slower, law.gb_per_s * faster) for law in (estimated.p5, estimated.p95))
        return replace(
            estimated, fixed_us=found.fixed_us, gb_per_s=speed, p5=p5, p95=p95, loading=found.loading
        )  # fmt: skip

    return replace(target, links=tuple(link(estimated) for estimated in target.links))


def _with_copies(target: Target, profile: Profile) -> Target:
    measured = {copy.processor: copy for copy in profile.copies}

    def processor(estimated: Processor) -> Processor:
        found, cost = measured.get(estimated.name), estimated.cost
        if found is None or cost is None or not cost.convert_gb_per_s:
            return estimated
        speed = found.gb_per_s or _NO_COPY
        faster = speed / cost.convert_gb_per_s
        table = replace(
            cost,
            convert_fixed_us=found.fixed_us,
            convert_gb_per_s=speed,
            convert_p5_gb_per_s=cost.convert_p5_gb_per_s * faster,
            convert_p95_gb_per_s=cost.convert_p95_gb_per_s * faster,
        )
        return replace(estimated, cost=table)

    return replace(target, processors=tuple(processor(one) for one in target.processors))


def _with_contention(target: Target, profile: Profile) -> Target:
    measured = {each.processor: max(1.0, each.factor) for each in profile.contention}

    def processor(estimated: Processor) -> Processor:
        cost = estimated.cost
        if cost is None or estimated.name not in measured:
            return estimated
        return replace(estimated, cost=replace(cost, contention=measured[estimated.name]))

    return replace(target, processors=tuple(processor(one) for one in target.processors))


_NO_COPY = 1e6
"""GB/s of a link or a copy on which time does not grow with size: a megabyte costs a nanosecond."""
