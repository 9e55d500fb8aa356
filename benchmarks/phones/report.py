"""Writes docs/cost-model.md from the stored parameters and errors: ``python -m benchmarks.phones.report``."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from benchmarks.phones.convolutions import PATH as CONVOLUTIONS
from benchmarks.phones.convolutions import agreement, read_convolutions
from benchmarks.phones.fit import PATH as PARAMETERS
from benchmarks.phones.fit import designs
from benchmarks.phones.layers import read_tables
from benchmarks.phones.rows import read_rows
from hetpart.cost.law import latency_ms

PAGE = Path(__file__).parents[2] / "docs" / "cost-model.md"

TEXT = """# How well `hetpart predict` predicts

Written by `make cost-report` from `benchmarks/phones/latency.csv`, which names the source of every row. All is
estimated.

The law: a latency is a sum over kernel classes of the work at nominal speed times a factor. The logarithm of a factor
is a sum of effects (class, engine, chip, dtype, threads and some of their combinations), each with a normal prior
around 0. Work is counted from the units of the ONNX model: multiply-adds at peak, corrected for tiles of 8 channels by
8 pixels, for short sums, for Winograd's 4 x 4 tiles and transforms; bytes at 10 GB/s; kernels launched.
`hetpart/cost/law.py` is the law, `benchmarks/phones/fit.py` the fit. `hetpart compile` asks the same law, with the
engines of [cost-tables.md](cost-tables.md).

![Predicted against measured latencies, a panel per chip](cost-model.svg)

The picture and the rows "family" show networks that the fit has not seen: one family (all MobileNetV1, all VGG, ...) is
left out at a time, and predicted where its engine, chip, dtype and threads have other networks or not. In the rows
"engine" a whole engine is left out; per chip, these are the errors of an engine that no phone was measured with.
"family median" is the median over families of a family's median, which no frequent network dominates. "p80" is the
factor within which four of five lie: the band of `hetpart predict`.

| left out | processor | rows of | rows | median | family median | p80 | rank correlation |
|---|---|---|---|---|---|---|---|
{rows}

The form was chosen on these same rows, so the figures flatter: on CPUs about 55 forms were tried in the last round,
and 30 before. fp16 on eight threads is 18 rows of one engine on one chip, whose small cores take part.

## Networks that no fit has seen

Kept out of the fit and of the choice of its form, and looked at after that: SqueezeNet 1.1 and MnasNet (Paddle-Lite
2.6, TVM), ResNet-18 and ShuffleNetV2 1.0 (Paddle-Lite 2.13, TVM). Predicted over measured:

| network | release, dtype | chips | rows | median | range |
|---|---|---|--:|--:|---|
{unseen}

## Forms

Left out by family, medians over rows; GPU forms are compared on the GPU's rows alone, CPU forms on the CPU's.

Paddle-Lite 2.13 came up after a form was chosen: 35 networks on one core of a Snapdragon 865 and an 835, of which 11
have layer tables. VGG-16 was predicted 1.5 to 1.9 times too slow and AlexNet 0.7 to 0.8 times. The forms that follow
were compared on the rows before these, by family, and by how they predicted these without a fit to them ("new": the
mean of the log's size over their 64-bit rows; VGG-16 and AlexNet on the 865 in fp32, the 835, the 865 in fp16). "fp32,
2" is the median on two threads; "transforms at 10": 10 multiply-adds per value of a tile and channel; "streamed": dense
weights of more than 8 MiB come from memory at 10 GB/s:

| form | CPU | fp32, 2 | rank | fp32, 4 | int8, 2: rank | new | VGG-16 | AlexNet |
|---|--:|--:|--:|--:|--:|--:|--:|--:|
| before: half the multiply-adds | 8.4% | 9.2% | 0.935 | 6.0% | 0.938 | 0.149 | 1.45, 1.78, 1.87 | 0.69, 0.83, 0.82 |
| transforms at 10, tiles of 2 x 2 | 6.8% | 4.9% | 0.963 | 7.3% | 0.976 | 0.125 | 1.08, 1.32, 1.38 | 0.62, 0.76, 0.74 |
| 20, tiles of 2 x 2 | 6.8% | 3.7% | 0.975 | 8.0% | 0.976 | 0.111 | 0.91, 1.11, 1.15 | 0.63, 0.78, 0.75 |
| 20, tiles of 4 x 4 | 7.1% | 4.4% | 0.965 | 8.6% | 0.972 | 0.107 | 0.91, 1.09, 1.16 | 0.67, 0.82, 0.80 |
| 40, tiles of 4 x 4 | 6.9% | 3.6% | 0.978 | 8.5% | 0.979 | 0.108 | 0.76, 0.91, 0.94 | 0.67, 0.82, 0.79 |
| 20, tiles of 6 x 6 | 7.1% | 6.3% | 0.956 | 7.6% | 0.976 | 0.112 | 0.94, 1.12, 1.20 | 0.65, 0.78, 0.78 |
| 20, Paddle-Lite's choice | 7.2% | 7.0% | 0.955 | 7.0% | 0.976 | 0.107 | 0.95, 1.14, 1.21 | 0.70, 0.84, 0.83 |
| that choice, no transforms | 12.3% | 18.0% | 0.866 | 10.3% | 0.823 | 0.155 | | |
| 20, 4 x 4, streamed | 6.2% | 4.0% | 0.971 | 7.8% | 0.969 | 0.125 | 0.87, 1.01, 1.07 | 0.84, 0.87, 0.84 |
| before, converged | 8.6% | 9.3% | 0.935 | 6.0% | 0.932 | 0.151 | 1.47, 1.80, 1.89 | 0.69, 0.83, 0.82 |
| **chosen, converged** | 6.5% | 4.9% | 0.959 | 8.0% | 0.969 | 0.123 | 0.87, 1.00, 1.08 | 0.85, 0.89, 0.87 |

All but the last two rows are of a solver that stopped early, which is worth up to 3 points where rows are few (fp16 on
four threads: 22) and 5 where an engine is left out; it is now run until it hardly moves. Chosen: Paddle-Lite's tiles,
20 multiply-adds, streamed weights.

So one fact, that a transform costs per channel and not per product, is most of it: VGG-16's wide layers hardly feel it,
HRNet's narrow ones do. Which tile is taken matters little; the form has Paddle-Lite's choice (conv_winograd.cc: 6 x 6
from 288 pixels per thread on) because tiles of 4 x 4 miss fp16 on four threads (17.4 % with all rows, 14.8 % with that
choice). Weights that no cache holds were read at over 100 GB/s by the form before, which no phone's memory does:
AlexNet's and VGG's dense layers are most of those in the data, and with a class of their own they are read at 10 GB/s.
A class for what takes a function (sigmoid, swish), narrower priors for dense and element-wise classes, 4 MiB and 2 MiB
instead of 8, tiles by engine or whichever cost least: tried and not better, or not by more than chance.

With the new rows in the fit, 32-bit code (armv7) has a factor per class, because in that release networks of 3 x 3 and
5 x 5 filters take 1.3 to 2.3 times as long in it on an 865, and MobileNets 1.1 to 1.2 times. By the form before,
converged, the same rows have a median of 9.7 % on CPUs where it is now 7.5: 9.8 in fp32 on one thread (now 6.0), 10.0
on two (3.3), 12.0 in fp16 on one (8.4). It is worse now on more threads, 6.3 in fp32 on four (9.2), 8.3 in int8 on four
(13.1), 20.6 in fp16 on eight (23.6), and with engines left out, 19.0 (22.1). EfficientNet-B0 is still missed (0.7 to
0.8 times): its swish is a kernel that the law prices as an addition. AlexNet without its family is now 1.3 times too
slow on the 865: without it, nothing but VGG tells of such weights.

The forms before those. Each adds to the one above it:

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
- Paddle-Lite 2.13: SqueezeNet's file says version 1.0, its time that of 1.1 (as 1.0 it would exceed the core's peak);
  EfficientNet-B0 in int8 takes as long as in fp32; YOLOv3's size is not stated. All three are left out.
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


def unseen() -> list[str]:
    """A line per network, release and dtype that no fit has seen: predicted over measured."""
    rows, effects = read_rows(unseen=True), json.loads(PARAMETERS.read_text())["effects"]
    found: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for row, terms in zip(rows, designs(rows, read_tables()), strict=True):
        ratio = sum(latency_ms(terms, effects).values()) / row.latency_ms
        key = (row.network, f"{row.version.removesuffix(row.setting.dtype).strip()} {row.setting.dtype}")
        found.setdefault(key, []).append((ratio, row.setting.chip))
    lines = []
    for (network, release), each in found.items():
        ratios = [ratio for ratio, _ in each]
        chips = ", ".join(sorted({chip for _, chip in each}))
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        lines.append(f"| {network} | {release} | {chips} | {len(each)} | {middle:.2f} | {low:.2f} to {high:.2f} |")
    return lines


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
        unseen="\n".join(unseen()),
        convolutions="\n".join(convolutions),
        rounds="\n".join(rounds),
        chosen=f"{sum(c.chosen_by_codl for c in measured):,}",
        agreement=agreement(measured),
    )


if __name__ == "__main__":
    PAGE.write_text(page())
