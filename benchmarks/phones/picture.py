"""Draws predicted against measured latencies, a panel per chip: docs/cost-model.svg, from held_out.csv."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from benchmarks.phones.fit import HELD_OUT
from hetpart.cost.phones import CHIPS

PICTURE = Path(__file__).parents[2] / "docs" / "cost-model.svg"
COLOURS = {"cpu": "#0072b2", "gpu": "#d55e00"}  # of Okabe and Ito's palette, for all kinds of sight
COLUMNS, SIDE, GAP, LEFT, TOP = 5, 150, 26, 60, 44
SPAN = 3.5
"""Decades from 1 ms that the axes show; what lies beyond is drawn on the border."""


def _along(ms: float) -> float:
    """Where a latency lies on an axis, from 0 to the side of a panel."""
    return min(max(math.log10(ms), 0), SPAN) / SPAN * SIDE


def _panel(title: str, points: dict[str, list[tuple[float, float]]], outer: tuple[bool, bool]) -> list[str]:
    """A square with its lower left corner at the origin; `outer` says whether it labels its left and lower axis."""
    parts = [f'<text x="{SIDE / 2}" y="{-SIDE - 6}" text-anchor="middle" font-weight="bold">{title}</text>']
    for decade in range(math.ceil(SPAN)):
        at, label = _along(10**decade), f"{10**decade:,}"
        parts.append(f'<path d="M{at:.1f} 0V{-SIDE}M0 {-at:.1f}H{SIDE}" stroke="#ddd"/>')
        parts += [f'<text x="-5" y="{4 - at:.1f}" text-anchor="end">{label}</text>'] * outer[0]
        parts += [f'<text x="{at:.1f}" y="15" text-anchor="middle">{label}</text>'] * outer[1]
    parts.append(f'<path d="M0 0L{SIDE} {-SIDE}" stroke="#888"/>')
    parts.append(f'<path d="M0 0V{-SIDE}H{SIDE}V0Z" stroke="#888" fill="none"/>')
    for processor, found in points.items():
        dots = "".join(f"M{_along(x):.1f} {-_along(y):.1f}h0" for x, y in found)
        parts.append(f'<path d="{dots}" stroke="{COLOURS[processor]}" stroke-width="3.4" stroke-opacity=".55"/>')
    return parts


def picture(held_out: Path = HELD_OUT) -> str:
    """The SVG's text."""
    chips: dict[str, dict[str, list[tuple[float, float]]]] = {}
    with held_out.open(newline="") as file:
        for row in csv.DictReader(file):
            chip, _, processor = row["setting"].split("/")[:3]
            points = chips.setdefault(chip, {}).setdefault(processor, [])
            points.append((float(row["measured_ms"]), float(row["without_family_ms"])))
    rows = math.ceil(len(chips) / COLUMNS)
    width, height = LEFT + COLUMNS * (SIDE + GAP), TOP + rows * (SIDE + GAP) + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
        ' font-size="11" stroke-linecap="round" fill="none">',
        "<title>Predicted against measured latencies, by chip</title>",
        f'<path d="M0 0H{width}V{height}H0Z" fill="#fff"/><g fill="#222">',
        f'<text x="{width / 2}" y="{height - 8}" text-anchor="middle">measured, ms</text>',
        f'<text transform="translate(12 {height / 2})rotate(-90)" text-anchor="middle">predicted without the family, ms'
        f'</text><text x="{LEFT}" y="14" fill="{COLOURS["cpu"]}">● CPU</text>',
        f'<text x="{LEFT + 60}" y="14" fill="{COLOURS["gpu"]}">● GPU</text>',
    ]
    for i, (chip, name) in enumerate((chip, c.title) for chip, c in CHIPS.items() if chip in chips):
        column, line = i % COLUMNS, i // COLUMNS
        parts.append(f'<g transform="translate({LEFT + column * (SIDE + GAP)} {TOP + line * (SIDE + GAP) + SIDE})">')
        parts += [*_panel(name, chips[chip], (column == 0, line == rows - 1)), "</g>"]
    return "\n".join([*parts, "</g></svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(picture())
