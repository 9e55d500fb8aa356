"""Writes docs/cost-model.md from the stored parameters and errors: ``python -m benchmarks.phones.report``."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.phones.convolutions import PATH as CONVOLUTIONS
from benchmarks.phones.convolutions import agreement, read_convolutions
from benchmarks.phones.fit import PATH as PARAMETERS

PAGE = Path(__file__).parents[2] / "docs" / "cost-model.md"

TEXT = """# How well `hetpart predict` predicts

Written by `make cost-report` from `benchmarks/phones/latency.csv`, which names the source of every row. All is
estimated.

The law: a latency is a sum over kernel classes of the work at nominal speed times a factor. The logarithm of a factor
is a sum of effects (class, engine, chip, dtype, threads and some of their combinations), each with a normal prior
around 0. Work is counted from the units of the ONNX model: multiply-adds at peak, corrected for tiles of 8 channels by
8 pixels, for short sums, for Winograd's 4 x 4 tiles and whole blocks of input channels; bytes at 10 GB/s; kernels
launched. `hetpart/cost/law.py` is the law, `benchmarks/phones/fit.py` the fit. `hetpart compile` asks the same law,
with the engines of [cost-tables.md](cost-tables.md).

![Predicted against measured latencies, a panel per chip](cost-model.svg)

The picture and the rows "family" show networks that the fit has not seen: one family (all MobileNetV1, all VGG, ...) is
left out at a time, and predicted where its engine, chip, dtype and threads have other networks or not. In the rows
"engine" a whole engine is left out; per chip, these are the errors of an engine that no phone was measured with.
"family median" is the median over families of a family's median, which no frequent network dominates. "p80" is the
factor within which four of five lie: the band of `hetpart predict`.

| left out | processor | rows of | rows | median | family median | p80 | rank correlation |
|---|---|---|---|---|---|---|---|
{rows}

The form was chosen on these same rows, so the figures flatter. Left out by family, medians over rows; GPU forms are
compared on the GPU's rows alone, CPU forms on the CPU's. Where the solver starts moves a figure by up to 0.4 points.
Each form adds to the one above it:

| form | CPU | rank correlation | fp16, 4 threads | rank correlation | GPU |
|---|--:|--:|--:|--:|--:|
| the form chosen below, without HRNet_w18 | 7.9% | 0.983 | 14.8% | 0.929 | 14.1% |
| groups of 16 or more channels are convolutions of their own | 7.3% | 0.989 | 14.9% | 0.975 | 14.3% |
| HRNet_w18 is in the fit: 18 rows | 9.3% | 0.989 | 15.3% | 0.975 | 14.3% |
| Winograd fills up tiles of 4 x 4 pixels, and not also 8 pixels | 8.6% | 0.989 | 15.4% | 0.968 | |
| **and blocks of input channels; Paddle-Lite's GPU kernels do activations** | 8.3% | 0.989 | 14.9% | 0.975 | 14.0% |

Tried on top and not taken: what a layer moves beyond 2 MiB of cache as a class of its own (CPU 10.7 % where it was
8.6); no kernels for activations with Paddle-Lite on CPUs either (9.9 where it was 9.3); on GPUs, the rounds of waves of
the last section, with each chip's compute units (15.1 where it was 14.3); arithmetic that hides traffic as a roofline
has it, at half of the nominal speed in every layer: 13.2 on GPUs and 7.9 on CPUs, but 10.7 and 14.1 in int8 on one and
four threads, which were 8.1 and 9.3, and more work could then take less time.

A check on figures that came up after the form was chosen, and are not in the fit: Paddle-Lite 2.13 on the Snapdragon
865, one core, fp32 (PaddlePaddle/Paddle-Lite, docs/demo_guides/arm_cpu.md). Predicted over measured: networks that this
engine has in the fit, in older releases, 0.98 to 1.08 (ResNet-50, MobileNetV1 to V3, SSD, HRNet); networks that it has
not, 0.73 (AlexNet), 0.80 (EfficientNet-B0), 1.18 (Inception v1) and 1.53 (VGG-16: no network with that many 3 x 3
filters tells of its Winograd kernels).

The forms before, without HRNet_w18:

| form | CPU | fp16, 4 threads | GPU | CPU, GPU, engine left out |
|---|--:|--:|--:|--:|
| before: pooling is element-wise, threads scale by compute, memory and launch | 9.1% | 20.6% | 17.2% | 24.0, 34.7% |
| pooling and normalisation as a class | 7.9% | 20.6% | 14.0% | 31.4% (GPU) |
| pooling and threads by class | 8.3% | 14.6% | 14.0% | 24.4, 31.4% |
| pooling and threads by class, cores of a kind by dtype | 9.6% | 13.5% | | 21.6% (CPU) |
| pooling and threads by class, cores of a kind by class | 9.1% | 15.1% | | 24.5% (CPU) |
| pooling and threads by class, engine by dtype and class | 8.5% | 17.2% | | 22.4% (CPU) |
| **pooling and threads by class, over four threads for themselves** | 7.9% | 14.8% | 14.1% | 23.9, 31.4% |

Others, on their own in the form before:

| form | CPU | fp16, 4 threads | GPU | GPU, engine left out |
|---|--:|--:|--:|--:|
| pooling as a class, normalisation among element-wise kernels | | | 15.8% | 31.4% |
| global pooling alone as a class | | | 17.5% | 34.6% |
| threads scale by class (priors of 0.15, 0.3, 0.5) | 9.0, 9.0, 8.6% | 18.3, 16.9, 17.7% | | |
| threads scale by dtype | 8.4% | 20.6% | | |
| 3 x 3 filters as a class of their own | | | 17.4% | 37.3% |
| and Winograd for ncnn and TFLite, for ncnn | | | 15.5, 18.7% | 42.9, 35.7% |
| the first convolution as a class; and 3 x 3 | | | 17.6, 15.5% | 33.5, 38.2% |
| weights apart from activations | | | 17.0% | 37.7% |
| depthwise with stride at 1.3 times the work | | | 17.2% | 34.5% |
| small maps fill the GPU in part (four floors) | | | 17.2 to 17.5% | 34.7 to 35.4% |
| pooling and normalisation, first convolution, 3 x 3 | | | 15.0% | 36.8% |
| pooling and normalisation, first convolution, Winograd for ncnn and TFLite | | | 12.8% | 40.3% |

The last one is better for known engines and worse for unknown ones, so Winograd on GPUs is not what tells engines
apart; it was not taken. What is still missed: AlexNet with ncnn on GPUs (half of what it takes: its local response
normalisation, which no other network there has), MobileNetV3 with Paddle-Lite on GPUs (1.1 to 2.3 times), eight threads
on a Snapdragon 888 (RegNetY 0.5 times, ShuffleNet 2.7 times).

One decision counts more than any form: which network HRNet_w18 is. The classifier of that name, 4.3 GMAC, would take a
quarter of what its 18 rows say. Paddle-Lite's benchmark page links the file, HRNet_18_voc.tar.gz: a network for the
segmentation of Pascal VOC, which PaddleSeg publishes for 512 x 512 (configs/fcn/fcn_hrnetw18_voc12aug_512x512_40k.yml).
Its 18.4 GMAC come to 0.8 to 1.0 times the measured latencies in fp32, 0.6 to 0.8 times in fp16, left out of the fit.

Traps in the data, and what was done:

- MobileNetV2 exists twice; Caffe's has 416 M multiply-adds, not 301 M. Which one a row means is stated or inferred.
- Networks without a layer table and sparse weights are left out.
- TFLite 2.1 rows are nn-Meter's predictions, not measurements: half the weight, and a version of their own.
- armv7 code, releases of an engine: versions with a factor of their own. A prediction is for the commonest.
- Engines that never appear on a chip, and chips without data (kirin985): marked as extrapolated, with the wider band.
- GPUs have no law of the map's size: every one that was tried made measured rows worse.

## Single convolutions

CoDL published 2,947 convolutions of MACE's image kernels on an Adreno 640 (`benchmarks/phones/data`). Four forms of a
law, and the share of convolutions that each predicts within 10 %. Held out: five-fold, all convolutions of one shape in
one fold, so that no shape is in its own fit.

| law | all | all, in the fit | filter sure | over 1 ms | 1 x 1 | 3 x 3 | 7 x 7 | 9 x 9 | CoDL's choice |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
{convolutions}

- *multiply-adds*: a launch, and multiply-adds in whole blocks at one speed per kernel.
- *CoDL*: waves times blocks of input channels times a time that is linear in the shape (`benchmarks/phones/waves.py`
  counts waves), by least squares on that time, as CoDL fits it, or by the least relative error. CoDL fits and judges
  only what takes over 1 ms and is not narrow ("CoDL's choice", {chosen} convolutions; what it says of the spread of
  timings cannot be repeated); it states 84.6 %. In that column each law is fitted to that choice alone.
- *rounds*: hetpart's. A compute unit holds so many waves at once, so they come in rounds. Per tap of the filter and
  block of 4 input channels a round takes a latency that nothing hides, and each of its waves the time to issue it:
  `launch + taps * blocks * (ceil(waves / resident) * latency + waves * issue)`, fitted per kernel by the least relative
  error (`benchmarks/phones/convolutions.py`):

| kernel | resident waves | launch us | latency ns | issue ns |
|---|--:|--:|--:|--:|
{rounds}

Tried as well, held out on other folds: *rounds* with one set of parameters for all kernels 89 %, without a launch 93 %,
with waves as CoDL counts them, with terms per wave, per round or per row of the filter, with rounds that overlap: 94 to
96 %. Where *rounds* misses: 9 x 9 filters, which share the general kernel's parameters with 7 x 7 and are 42
convolutions with few channels; CoDL's law has parameters of their own for them. Of convolutions that were measured more
than once, {agreement:.1%} lie within 10 % of their shape's median: about what any law of the shape could reach.
`hetpart predict` and `compile` do not use this law: it is of one engine's kernels on one chip, and does not carry over
to whole networks on others (see above).
"""

LAWS = {
    "macs": "multiply-adds",
    "codl as published": "CoDL, fitted as CoDL does",
    "codl": "CoDL, least relative error",
    "rounds": "rounds",
}
COLUMNS = ("all", "all, in the fit", "sure", "over 1 ms", "1 x 1", "3 x 3", "7 x 7", "9 x 9", "codl's choice")


def page() -> str:
    errors = json.loads(PARAMETERS.read_text())["errors"]
    lines = []
    for name, error in errors.items():
        left, where, chip = (*name.split("/"), "all")[:3]
        lines.append(
            f"| {left} | {where} | {chip} | {error['rows']} | {error['median']:.1%} | {error['family_median']:.1%} "
            f"| {2.718281828 ** error['p80_log']:.2f} x | {error['rank_correlation']:.3f} |"
        )
    measured = read_convolutions()
    laws = json.loads(CONVOLUTIONS.read_text())
    convolutions = [
        f"| {title} | " + " | ".join(f"{laws[name]['shares'][column]:.1%}" for column in COLUMNS) + " |"
        for name, title in LAWS.items()
    ]
    rounds = [
        f"| {kernel.replace('x', ' x ')} | {resident:.0f} | {launch_us:.1f} | {latency_ns:.0f} | {issue_ns:.1f} |"
        for kernel, (resident, launch_us, latency_ns, issue_ns) in laws["rounds"]["parameters"].items()
    ]
    return TEXT.format(
        rows="\n".join(lines),
        convolutions="\n".join(convolutions),
        rounds="\n".join(rounds),
        chosen=f"{sum(c.chosen_by_codl for c in measured):,}",
        agreement=agreement(measured),
    )


if __name__ == "__main__":
    PAGE.write_text(page())
