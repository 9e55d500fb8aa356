"""Estimates the effects of `hetpart.cost.law` and how well they predict: ``python -m benchmarks.phones.fit``.

Gauss-Newton on log latencies with Huber weights and the priors as penalties. The errors come from leaving out one
family of networks, or one engine, at a time.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

import hetpart.cost
from benchmarks.phones.layers import Table, read_tables
from benchmarks.phones.rows import Row, read_rows
from hetpart.cost.law import Term, latency_ms, terms

SIGMA = 0.07
"""Spread of a measurement around the law, in logs; residuals beyond 1.5 of these pull with constant force."""

PATH = Path(hetpart.cost.__file__).with_name("phones.json")
HELD_OUT = Path(__file__).with_name("held_out.csv")


def designs(rows: Sequence[Row], tables: Mapping[str, Table]) -> list[list[Term]]:
    return [terms(tables[row.network], row.setting, row.version) for row in rows]


def fit(
    rows: Sequence[Row], design: Sequence[Sequence[Term]], start: Mapping[str, float] | None = None, steps: int = 300
) -> dict[str, float]:
    """The most probable effects given the rows."""
    priors = {name: tau for found in design for term in found for name, tau in term.effects}
    names = sorted(priors)
    index = {name: i for i, name in enumerate(names)}
    tau = np.array([priors[name] for name in names])
    effect = np.array([(start or {}).get(name, 0.0) for name in names])
    flat = [(row, term) for row, found in enumerate(design) for term in found]
    row_of = np.array([row for row, _ in flat])
    nominal = np.log([term.nominal_ms for _, term in flat])
    term_at = np.concatenate([np.full(len(term.effects), i) for i, (_, term) in enumerate(flat)])
    effect_at = np.array([index[name] for _, term in flat for name, _ in term.effects])
    cell = row_of[term_at] * len(names) + effect_at
    target = np.log([row.latency_ms for row in rows])
    weight = np.array([row.weight for row in rows])

    def evaluate(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        part = np.exp(nominal + np.bincount(term_at, p[effect_at], len(flat)))
        total = np.bincount(row_of, part, len(rows))
        residual = np.log(total) - target
        z = np.abs(residual) / SIGMA
        loss = float((weight * np.where(z <= 1.5, z * z / 2, 1.5 * z - 1.125)).sum() + (p * p / tau**2).sum() / 2)
        return part, total, residual, loss

    part, total, residual, loss = evaluate(effect)
    damping = 1e-3
    for _ in range(steps):
        share = part / total[row_of]
        jacobian = np.bincount(cell, share[term_at], len(rows) * len(names)).reshape(len(rows), len(names))
        z = np.abs(residual) / SIGMA
        pull = np.where(z <= 1.5, 1.0, 1.5 / np.maximum(z, 1e-9)) * weight / SIGMA**2
        hessian = jacobian.T @ (jacobian * pull[:, None]) + np.diag(1 / tau**2)
        gradient = jacobian.T @ (pull * residual) + effect / tau**2
        for _ in range(8):
            move = np.linalg.solve(hessian + damping * np.diag(np.diag(hessian)), gradient)
            move *= min(1.0, 2.0 / float(np.abs(move).max() or 1.0))
            tried = evaluate(effect - move)
            if tried[3] < loss:
                break
            damping *= 5
        else:
            break
        gain, effect = loss - tried[3], effect - move
        part, total, residual, loss = tried
        damping = max(damping / 5, 1e-6)
        if gain < 1e-6 * max(1.0, loss):
            break
    return dict(zip(names, effect.tolist(), strict=True))


def leave_out(
    rows: Sequence[Row], design: Sequence[Sequence[Term]], label: Callable[[Row], str], start: Mapping[str, float]
) -> np.ndarray:
    """Every row's latency over its measured one, predicted without the rows of the same label.

    Only rows of the same processor take part: no effect that counts is one of several processors.
    """
    labels = [(row.setting.processor, label(row)) for row in rows]
    ratio = np.empty(len(rows))
    for name in sorted(set(labels)):
        kept = [i for i, other in enumerate(labels) if other != name and other[0] == name[0]]
        left = [i for i, other in enumerate(labels) if other == name]
        found = fit([rows[i] for i in kept], [design[i] for i in kept], start, 80)
        for i in left:
            ratio[i] = sum(latency_ms(design[i], found).values()) / rows[i].latency_ms
    return ratio


def summary(rows: Sequence[Row], ratio: np.ndarray, chosen: Sequence[int]) -> dict[str, float]:
    """Median and 80 % errors over rows, the median over families of their medians, rank correlation."""
    error = np.abs(ratio[list(chosen)] - 1)
    families: dict[str, list[float]] = {}
    for i, e in zip(chosen, error, strict=True):
        families.setdefault(rows[i].family, []).append(float(e))
    measured = np.array([rows[i].latency_ms for i in chosen])
    ranks = [_ranks(values) for values in (measured, measured * ratio[list(chosen)])]
    return {
        "rows": len(chosen),
        "median": round(float(np.median(error)), 4),
        "family_median": round(float(np.median([np.median(e) for e in families.values()])), 4),
        "p80_log": round(float(np.quantile(np.abs(np.log(ratio[list(chosen)])), 0.8)), 4),
        "rank_correlation": round(float(np.corrcoef(ranks[0], ranks[1])[0, 1]), 4) if len(chosen) > 2 else 0.0,
    }


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, equal ones for what is equal in five digits: one network may have several rows in a setting."""
    _, at, counts = np.unique([float(f"{value:.5g}") for value in values], return_inverse=True, return_counts=True)
    ranks: np.ndarray = (np.cumsum(counts) - (counts - 1) / 2)[at]
    return ranks


def all_errors(rows: Sequence[Row], family: np.ndarray, engine: np.ndarray) -> dict[str, dict[str, float]]:
    """Errors by what was left out, processor and part of its rows, given the ratios of `leave_out`."""
    errors = {}
    for where in ("cpu", "gpu"):
        chosen = [i for i, row in enumerate(rows) if row.setting.processor == where]
        parts = {"": chosen}
        for i in chosen:
            parts.setdefault(f"/{rows[i].setting.chip}", []).append(i)
        for part, mine in parts.items():
            errors[f"family/{where}{part}"] = summary(rows, family, mine)
            errors[f"engine/{where}{part}"] = summary(rows, engine, mine)
        for dtype, threads in sorted({(rows[i].setting.dtype, rows[i].setting.threads) for i in chosen}):
            mine = [i for i in chosen if (rows[i].setting.dtype, rows[i].setting.threads) == (dtype, threads)]
            if len(mine) >= 10:
                count = f", {threads} thread{'s' if threads > 1 else ''}" if threads else ""
                errors[f"family/{where}/{dtype}{count}"] = summary(rows, family, mine)
    return errors


def write_held_out(rows: Sequence[Row], family: np.ndarray, engine: np.ndarray, path: Path = HELD_OUT) -> None:
    """What was predicted for every row without its family, and without its engine."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("network", "setting", "version", "measured_ms", "without_family_ms", "without_engine_ms"))
        for row, *ratios in zip(rows, family, engine, strict=True):
            predicted = [f"{row.latency_ms * ratio:.6g}" for ratio in ratios]
            writer.writerow((row.network, row.setting.key, row.version, row.latency_ms, *predicted))


def main() -> None:
    rows, tables = read_rows(), read_tables()
    rows = [row for row in rows if row.network in tables]
    design = designs(rows, tables)
    effects = fit(rows, design)
    family = leave_out(rows, design, lambda row: row.family, effects)
    engine = leave_out(rows, design, lambda row: row.setting.engine, effects)
    write_held_out(rows, family, engine)
    errors = all_errors(rows, family, engine)
    settings: dict[str, dict[str, int]] = {}
    for row in rows:
        versions = settings.setdefault(row.setting.key, {})
        versions[row.version] = versions.get(row.version, 0) + 1
    stored = {name: round(value, 5) for name, value in sorted(effects.items())}
    text = json.dumps({"effects": stored, "settings": settings, "errors": errors}, indent=1, sort_keys=True)
    PATH.write_text(text + "\n")
    for name, error in errors.items():
        print(f"{name:24}", error)


if __name__ == "__main__":
    main()
