"""Compilation reports for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hetpart.report.compile import CompileReport
from hetpart.report.quantities import duration, size


def print_compile(report: CompileReport, console: Console) -> None:
    """Where every operator runs, why, what it costs; how the plan compares; whether the answer is right."""
    table = Table(
        "unit", "operators", "runs on", _heading(report), "why", box=None, header_style="bold", pad_edge=False
    )
    table.columns[3].justify = "right"
    mixed = 0 < report.measured.here < report.measured.units
    for row in report.units:
        cost = f"{row.cost_us:.0f}" if row.processor else ""
        if mixed and row.processor and row.origin == "estimated":
            cost = f"~{cost}"
        table.add_row(*map(Text, (row.name, row.op, f"{row.processor or '-'} {row.memory}".strip(), cost, row.reason)))
    console.print(table)
    console.print()
    threads = "a busy thread" if report.competing == 1 else f"{report.competing} busy threads"
    beside = f", beside {threads} of other processes" if report.competing else ""
    precision = "" if report.precision == "fp32" else f", precision {report.precision}"
    console.print(f"target {report.target}{precision}, strategy {report.strategy}; {report.measured.words}{beside}")
    if report.measured.here and report.measured.missing:
        console.print(f"  not in the profile: {', '.join(report.measured.missing)}", markup=False)
    bound = f"lower bound {duration(report.lower_bound_us)}, gap {100 * report.gap:.1f} %"
    if report.uncontended_us != report.makespan_us:
        bound = f"{duration(report.uncontended_us)} without contention, {bound}"
    console.print(f"[bold]plan {duration(report.makespan_us)}[/] ({report.status}: {bound})")
    if count := report.transfers["count"]:
        crossing = f"{count} transfer{'s' if count > 1 else ''}, in all {_spread(report.transfers)}"
        console.print(f"  {crossing}; with them the plan takes {_spread(report.forecast)} (p5 to p95)")
    for name, latency_us in report.baselines_us.items():
        ratio = latency_us / report.makespan_us if report.makespan_us else 1.0
        console.print(f"  {name:<5} {duration(latency_us):>10}  {ratio:5.2f} x the plan")
    console.print(report.verdict)
    if report.energy_mj is not None:
        console.print(f"energy {report.energy_mj:.0f} mJ: {_energies(report)} (estimated from each processor's power)")
    for line in report.compression_text:
        console.print(line, markup=False)
    if report.long_us:
        named = ", ".join(f"{name} ({duration(us)})" for name, us in report.long_us.items())
        above = "launches above the target's max_kernel_us, which cannot be cut further"
        console.print(f"{above}: {named}", markup=False)
    _print_verification(report, console)
    phases = ", ".join(f"{name} {seconds:.1f}" for name, seconds in report.seconds.items() if seconds >= 0.05)
    console.print(f"seconds: {phases}; total {sum(report.seconds.values()):.1f}")
    if report.output:
        console.print(f"wrote {report.output} ({size(report.bundle_bytes)})", markup=False)


def _energies(report: CompileReport) -> str:
    used = dict.fromkeys(row.processor for row in report.units if row.processor)
    total = {name: sum(row.energy_mj or 0.0 for row in report.units if row.processor == name) for name in used}
    return ", ".join(f"{name} {mj:.0f} mJ" for name, mj in total.items())


def _spread(us: dict[str, int]) -> str:
    return f"{duration(us['p5_us'])} to {duration(us['p95_us'])}"


def _heading(report: CompileReport) -> str:
    """Of the column of times: says which are marked, where not all are of one origin."""
    return "us (~ estimated)" if 0 < report.measured.here < report.measured.units else "us"


def _print_verification(report: CompileReport, console: Console) -> None:
    console.print(f"verified: {report.verify['how']}")
    for name, found in report.verify["outputs"].items():
        error = f"relative L2 error {found['rel_l2']:.1e}, largest difference {found['max_abs']:.1e}"
        console.print(f"  {name}: {error}", markup=False)


def print_pass_times(report: CompileReport, console: Console) -> None:
    """What every pass did and how long it took."""
    table = Table("pass", "changed", "nodes", "ms", box=None, header_style="bold", pad_edge=False)
    for record in report.passes:
        nodes = f"{record['nodes_before']} -> {record['nodes_after']}"
        table.add_row(record["name"], "yes" if record["modified"] else "no", nodes, f"{1e3 * record['seconds']:.1f}")
    console.print(table)
