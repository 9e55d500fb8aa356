"""Writes docs/cost-model.md from the stored parameters and errors: ``python -m benchmarks.phones.report``."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.phones.fit import PATH as PARAMETERS

PAGE = Path(__file__).parents[2] / "docs" / "cost-model.md"

TEXT = """# How well `hetpart predict` predicts

Written by `make cost-report` from `benchmarks/phones/latency.csv`, which names the source of every row. All is
estimated.

The law: a latency is a sum over kernel classes of the work at nominal speed times a factor. The logarithm of a factor
is a sum of effects (class, engine, chip, dtype, threads and some of their combinations), each with a normal prior
around 0. Work is counted from the units of the ONNX model: multiply-adds at peak, corrected for tiles of 8 channels by
8 pixels, for short sums and for Winograd's 4 x 4 tiles; bytes at 10 GB/s; kernels launched. `hetpart/cost/law.py` is
the law, `benchmarks/phones/fit.py` the fit.

Errors are those of networks that the fit has not seen: one family (all MobileNetV1, all VGG, ...) is left out at a
time, and predicted where its engine, chip, dtype and threads have other networks or not. "family median" is the median
over families of a family's median, which no frequent network dominates. "p80" is the factor within which four of five
lie. Five forms of the law were compared on these same rows and the best was kept, so the figures flatter. What they
depend on most is one decision: the rows of HRNet_w18 are left out. They take 4 to 5 times what the classifier of that
name would, so they are probably of a segmentation network, but no source says so; with them, the median over CPU rows
was 27.0 % instead of 9.2 %.

| left out | processor | rows of | rows | median | family median | p80 | rank correlation |
|---|---|---|---|---|---|---|---|
{rows}

Traps in the data, and what was done:

- MobileNetV2 exists twice; Caffe's has 416 M multiply-adds, not 301 M. Which one a row means is stated or inferred.
- Networks without a layer table (HRNet_w18 among them, see above) and sparse weights are left out.
- TFLite 2.1 rows are nn-Meter's predictions, not measurements: half the weight, and a version of their own.
- armv7 code, releases of an engine: versions with a factor of their own. A prediction is for the commonest.
- Engines that never appear on a chip, and chips without data (kirin985): marked as extrapolated, with the wider band.
- GPU tables have no map-size law: one made measured rows worse. CoDL's law for single convolutions is not used here.
"""


def page() -> str:
    errors = json.loads(PARAMETERS.read_text())["errors"]
    lines = []
    for name, error in errors.items():
        left, where, chip = (*name.split("/"), "all")[:3]
        lines.append(
            f"| {left} | {where} | {chip} | {error['rows']} | {error['median']:.1%} | {error['family_median']:.1%} "
            f"| {2.718281828 ** error['p80_log']:.2f} x | {error['rank_correlation']:.3f} |"
        )
    return TEXT.format(rows="\n".join(lines))


if __name__ == "__main__":
    PAGE.write_text(page())
