"""A profile and what it says of the target, for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hetpart.profile import Profile
from hetpart.profile.shares import Share

_SHOWN_UNITS = 3


def print_profile(profile: Profile, console: Console) -> None:
    """What was measured: a row per kind of work, slowest first, then links, launches and calls."""
    table = Table("units", "runs on", "us", "median", "p10", "p90", "n", box=None, header_style="bold", pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for entry in sorted(profile.entries, key=lambda entry: -entry.latency_us * len(entry.units)):
        spread = entry.spread
        names = ", ".join(entry.units[:_SHOWN_UNITS])
        if len(entry.units) > _SHOWN_UNITS:
            names += f" and {len(entry.units) - _SHOWN_UNITS} more"
        place = entry.processor + (" (private memory)" if entry.memory == "private" else "")
        numbers = (entry.latency_us, spread.median_us, spread.p10_us, spread.p90_us)
        table.add_row(*map(Text, (names, place, *(f"{number:.1f}" for number in numbers), str(spread.n))))
    console.print(table)
    console.print()
    console.print(f"{profile.model} for target {profile.target}, {profile.origin}, {profile.created}", markup=False)
    for link in profile.links:
        size = "whatever the size" if link.gb_per_s is None else f"and {link.gb_per_s:.1f} GB/s"
        console.print(f"  {link.source} to {link.target}: {link.fixed_us:.0f} us {size}", markup=False)
    for copy in profile.copies:
        size = "whatever the size" if copy.gb_per_s is None else f"and {copy.gb_per_s:.1f} GB/s"
        console.print(f"  {copy.processor}: {copy.fixed_us:.0f} us {size} into or out of private memory", markup=False)
    for each in profile.contention:
        times = f"{each.factor:.2f} times as long (p10 {each.p10:.2f}, p90 {each.p90:.2f})"
        console.print(f"  {each.processor}: kernels take {times} while another processor computes", markup=False)
    for processor, spread in (profile.launch_us or {}).items():
        console.print(f"  {processor}: {spread.median_us:.1f} us between kernels", markup=False)
    if profile.start_us is not None and profile.end_us is not None:
        console.print(f"  a call: {profile.start_us:.0f} us before the first kernel, {profile.end_us:.0f} us after")
    load = profile.machine.get("load_before")
    if isinstance(load, list) and load and load[0] > 0.5:
        console.print(f"  other programs were running (load {load[0]}): better measure again when none is")


def print_shares(shares: Sequence[Share], console: Console) -> None:
    """Estimates beside measured times by kernel class, and the share that the target's file would need."""
    table = Table(
        "kernel class", "runs on", "units", "estimated ms", "measured ms", "ratio", "share", "fitted", "from",
        box=None, header_style="bold", pad_edge=False,
    )  # fmt: skip
    for column in table.columns[2:]:
        column.justify = "right"
    for row in shares:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        fitted = "" if row.fitted is None else f"{row.fitted:.2f}"
        place = row.processor + (" (shared buffers)" if row.table == "shared" else "")
        times = f"{row.estimated_us / 1e3:.3f}", f"{row.measured_us / 1e3:.3f}"
        shares_of = f"{row.share:g}", fitted, f"{row.deciding} of {row.units}"
        table.add_row(*map(Text, (row.kernel_class, place, str(row.units), *times, ratio, *shares_of)))
    console.print()
    console.print(table)
