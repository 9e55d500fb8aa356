"""The one-dimensional transforms of Winograd's F(2, 3) and F(4, 3) as OpenCL C (see hetpart.kernels.winograd)."""

from __future__ import annotations

from collections.abc import Sequence


def input_line(m: int, form: str, d: Sequence[str], to: Sequence[str]) -> list[str]:
    """Declarations of `to`, B' d for m + 2 values of type `form`; helpers are named after the first result."""
    if m == 2:
        return [_declare(form, to, (f"{d[0]} - {d[2]}", f"{d[1]} + {d[2]}", f"{d[2]} - {d[1]}", f"{d[1]} - {d[3]}"))]
    even, odd, low, high = (f"{to[0]}_{name}" for name in ("even", "odd", "low", "high"))
    helpers = [
        (even, f"{d[4]} - 4.0f * {d[2]}"),
        (odd, f"{d[3]} - 4.0f * {d[1]}"),
        (low, f"{d[4]} - {d[2]}"),
        (high, f"2.0f * ({d[3]} - {d[1]})"),
    ]
    values = (
        f"4.0f * {d[0]} - 5.0f * {d[2]} + {d[4]}",
        f"{even} + {odd}",
        f"{even} - {odd}",
        f"{low} + {high}",
        f"{low} - {high}",
        f"4.0f * {d[1]} - 5.0f * {d[3]} + {d[5]}",
    )
    return [_declare(form, *zip(*helpers, strict=True)), _declare(form, to, values)]


def output_line(m: int, form: str, t: Sequence[str], to: Sequence[str]) -> list[str]:
    """Declarations of `to`, A' t for m + 2 values of type `form`: m outputs."""
    if m == 2:
        return [_declare(form, to, (f"{t[0]} + {t[1]} + {t[2]}", f"{t[1]} - {t[2]} - {t[3]}"))]
    s1, d1, s2, d2 = (f"{to[0]}_{name}" for name in ("sum1", "difference1", "sum2", "difference2"))
    helpers = [
        (s1, f"{t[1]} + {t[2]}"),
        (d1, f"{t[1]} - {t[2]}"),
        (s2, f"{t[3]} + {t[4]}"),
        (d2, f"{t[3]} - {t[4]}"),
    ]
    values = f"{t[0]} + {s1} + {s2}", f"{d1} + 2.0f * {d2}", f"{s1} + 4.0f * {s2}", f"{d1} + 8.0f * {d2} + {t[5]}"
    return [_declare(form, *zip(*helpers, strict=True)), _declare(form, to, values)]


def _declare(form: str, names: Sequence[str], values: Sequence[str]) -> str:
    return f"const {form} " + ", ".join(f"{name} = {value}" for name, value in zip(names, values, strict=True)) + ";"
