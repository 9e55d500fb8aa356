"""One target, explained for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hetpart.targets.schema import Processor, Target


def print_target(target: Target, console: Console) -> None:
    """Processors with their roofline, links, and the facts that the file states. All figures are estimates."""
    console.print(Text.assemble((target.name, "bold"), f": {target.title}"))
    console.print(f"channel block {target.block}, {'unified' if target.unified_memory else 'separate'} memory\n")
    for processor in target.processors:
        _print_processor(processor, console)
    table = Table("from", "to", "fixed us", "GB/s", title="transfers (estimated)", title_justify="left", box=None)
    for link in target.links:
        table.add_row(link.source, link.target, f"{link.fixed_us:g}", f"{link.gb_per_s:g}")
    if target.links:
        console.print(table)


def _print_processor(processor: Processor, console: Console) -> None:
    console.print(Text.assemble((processor.name, "bold"), f" ({processor.kind}): {processor.title}"))
    for cluster in processor.clusters:
        console.print(f"  {cluster.cores} x {cluster.name} at {cluster.clock_mhz} MHz")
    if (cost := processor.cost) is not None:
        threads = "1 thread" if processor.threads == 1 else f"{processor.threads} threads"
        console.print(
            f"  estimated: {cost.peak_gflops:g} GFLOP/s peak on {threads}, "
            f"{cost.bandwidth_gb_per_s:g} GB/s, {cost.launch_us:g} us per launch"
        )
        shares = ", ".join(f"{name} {share:.0%}" for name, share in cost.efficiency.items())
        console.print(f"  share of peak by kernel class: {shares}", soft_wrap=True)
    else:
        console.print("  no code is emitted for it yet")
    for name, text in processor.facts.items():
        console.print(f"  {name}: {text}", markup=False)
    console.print()
