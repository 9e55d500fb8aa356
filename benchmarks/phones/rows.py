"""The published latencies as rows of the fit: which network, in which setting, and how long it took.

latency.csv names the source of every row. Left out: several processors at once, NPUs and vendor drivers, sparse
weights, networks without a layer table, rows marked suspect. Paddle-Lite's HRNet_w18 is no classifier: its benchmark
page links HRNet_18_voc.tar.gz, and PaddleSeg's HRNet-W18 for Pascal VOC works at 512 x 512
(configs/fcn/fcn_hrnetw18_voc12aug_512x512_40k.yml).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from benchmarks.phones.layers import Table, read_tables
from hetpart.cost.phones import Setting

PATH = Path(__file__).with_name("latency.csv")

CHIP = {
    "SD835": "sd835", "SD845": "sd845", "SD855": "sd855", "SD855+": "sd855plus", "SD865": "sd865", "SD888": "sd888",
    "Kirin970": "kirin970", "Kirin980": "kirin980", "Kirin990": "kirin990", "Kirin990-5G": "kirin990-5g",
}  # fmt: skip
ENGINES = {"Paddle-Lite": "paddle-lite", "MACE": "mace", "MACE/CoDL": "mace", "TVM": "tvm"}

NETWORK = {
    "mobilenet": "mobilenet_v1-1.0-224", "mobilenetv1": "mobilenet_v1-1.0-224", "mobilenet_v1": "mobilenet_v1-1.0-224",
    "mobilenet-v1-1.0": "mobilenet_v1-1.0-224", "mobilenet_v1_fp32_224": "mobilenet_v1-1.0-224",
    **{f"mobilenet_v1_{w}_{s}": f"mobilenet_v1-{w}-{s}" for w, s in (
        ("1.0", 224), ("0.75", 224), ("0.5", 224), ("0.25", 224), ("1.0", 192), ("1.0", 160), ("1.0", 128))},
    "mobilenetv2": "mobilenet_v2", "mobilenet_v2": "mobilenet_v2", "mobilenet_v2_1.0_224": "mobilenet_v2",
    "mobilenetv2_224": "mobilenet_v2", "mobilenet_v3": "mobilenet_v3_large",
    "mobilenetv3_large_x1_0": "mobilenet_v3_large", "mobilenetv3large": "mobilenet_v3_large",
    "mobilenet_v3_large": "mobilenet_v3_large", "mobilenetv3_small_x1_0": "mobilenet_v3_small",
    "mobilenetv3small": "mobilenet_v3_small", "mobilenet_v3_small": "mobilenet_v3_small",
    "mobilenet_v3_large_0.75": "mobilenet_v3_large-0.75", "mobilenet_v3_small_0.75": "mobilenet_v3_small-0.75",
    "mobilenet_v3_large_minimalistic": "mobilenet_v3_large-minimal",
    "mobilenet_v3_small_minimalistic": "mobilenet_v3_small-minimal",
    "shufflenet": "shufflenet_v1", "proxylessnasnet": "proxylessnas", "proxylessnas": "proxylessnas",
    "efficientnet_b0": "efficientnet_b0", "efficientnetv2_b0": "efficientnet_v2_b0", "ghostnet": "ghostnet",
    "regnety_400m": "regnet_y_400mf", "vgg13": "vgg13", "vgg16": "vgg16", "vgg-16": "vgg16", "vgg19": "vgg19",
    "vgg-19": "vgg19", "alexnet": "alexnet", "resnet34": "resnet34", "resnet50": "resnet50", "resnet-50": "resnet50",
    "resnet50_fp32_224": "resnet50", "resnet50_v1": "resnet50-caffe", "resnet50_v2": "resnet50_v2",
    "resnet-v2-50": "resnet50_v2", "resnet_v2_101": "resnet101_v2", "vision_transformer": "vision_transformer",
    "inception_v1": "inception_v1", "inception_v3": "inception_v3",
    "inception-v3": "inception_v3", "inception_v4": "inception_v4", "inception_resnet_v2": "inception_resnet_v2",
    "mobilenet_ssd": "mobilenet_ssd", "ssd_mobilenetv1": "mobilenet_ssd",
    "ssd_mobilenet_v1_relu_voc_fp32_300": "mobilenet_ssd", "ssd_mobilenetv3_large": "ssd_mobilenet_v3_large",
    "mobilenet_yolo": "mobilenet_yolo", "mobilenetv2_yolov3": "mobilenet_v2_yolov3", "yolov4-tiny": "yolov4_tiny",
    "blazeface": "blazeface", "nanodet_m": "nanodet_m", "hrnet_w18": "fcn_hrnet_w18", "yolov2": "codl_yolov2",
    "faststyletransfer": "codl_style", "hrnetw18c": "fcn_hrnet_w18", "inceptionv1": "inception_v1",
    "efficientnet": "efficientnet_b0", "ssdmobilenetv1": "mobilenet_ssd", "mobilenetv3": "mobilenet_v3_large",
    "squeezenet_v1.1": "squeezenet1_1", "mnasnet": "mnasnet", "resnet18": "resnet18", "resnet-18": "resnet18",
    "shufflenetv2": "shufflenet_v2",
}  # fmt: skip

UNSEEN = frozenset({"squeezenet1_1", "mnasnet", "resnet18", "shufflenet_v2"})
"""Networks kept out of every fit, and out of the choice of its form: the check of docs/cost-model.md."""


@dataclass(frozen=True)
class Row:
    """One published latency; `version` tells releases and instruction sets of an engine apart."""

    network: str
    setting: Setting
    version: str
    latency_ms: float
    weight: float

    @property
    def family(self) -> str:
        """Networks that differ in width, size or exporter only: left out together."""
        name = self.network
        for stem in ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3", "shufflenet_v1", "vgg", "alexnet", "inception_"):
            if name.startswith(stem) and name not in ("mobilenet_v2_yolov3", "inception_resnet_v2"):
                return stem + name[len(stem) :].split("-")[0] if stem == "inception_" else stem
        return name.split("-")[0].removesuffix("_v2") if name.startswith("resnet") else name


def read_rows(path: Path = PATH, *, unseen: bool = False) -> list[Row]:
    """The rows of the fit; `unseen`: those of the networks that it must not see."""
    with path.open(newline="") as file:
        found = [row for row in map(_row, csv.DictReader(file)) if row is not None]
    return [row for row in found if (row.network in UNSEEN) == unseen]


def networks() -> dict[str, Table]:
    """The layer tables of the networks whose latencies are published."""
    tables = read_tables()
    return {name: tables[name] for name in sorted({row.network for row in read_rows()} & tables.keys())}


def _row(raw: dict[str, str]) -> Row | None:
    framework, processor, note, dtype = raw["framework"], raw["processor"], raw["note"], raw["dtype"]
    dtype = "int8" if dtype == "uint8" else dtype
    excluded = ("CoDL", "muLayer", "Ideal", "CPU+GPU", "NPU", "NNAPI")
    if raw["soc"] not in CHIP or dtype not in ("fp32", "fp16", "int8") or "SUSPECT" in note:
        return None
    if any(word in processor for word in excluded) or any(w in framework for w in ("NNAPI", "HiAI", "SNPE")):
        return None
    gpu = any(word in processor for word in ("Adreno", "Mali", "GPU"))
    first, _, version = framework.partition(" ")
    engine = ENGINES.get(first, first.lower())
    network = _network(raw["model"].lower().replace(" ", "_"), framework, note)
    if network is None or (engine == "mace" and raw["model"] == "mobilenet_v2"):  # threads and precision not stated
        return None
    if engine == "tnn" and raw["soc"] == "SD835" and dtype == "fp16" and not gpu:
        dtype = "fp32"  # its core has no fp16 arithmetic
    version = "nn-meter" if framework == "TFLite 2.1" else version.replace("GPU delegate", "").strip()
    if engine == "tnn":
        version = "v0.1" if "v0.1" in note else "v0.3"
    if "armv7" in note and not gpu:
        version += f" armv7 {dtype}"
    little = "1xA55" in processor
    threads = 0 if gpu else 1 if little else int(float(raw["threads"] or 4))
    memory = "buffer" if gpu and "buffer" in processor else ""
    setting = Setting(CHIP[raw["soc"]], engine, "gpu" if gpu else "cpu", dtype, threads, memory, little)
    weight = 0.5 if raw["kind"] == "predicted" else 1.0
    return Row(network, setting, version.strip(), float(raw["latency_ms"]), weight)


def _network(model: str, framework: str, note: str) -> str | None:
    """The layer table of a row. Two MobileNetV2 exist, and two AlexNets; small Bolt networks are small ones."""
    name = NETWORK.get(model)
    caffe = "caffe model" in note or "Bolt" in framework or "v0.3" in note or framework.startswith("Paddle-Lite 2020")
    if name == "mobilenet_v2" and caffe:
        return "mobilenet_v2-caffe"
    if model == "mobilenet_v3" and "Bolt" in framework:
        return "mobilenet_v3_small"
    if framework == "ncnn" and name == "alexnet":
        return "alexnet-caffe"
    return "resnet50-caffe" if name == "resnet50" and framework.startswith(("ncnn", "Bolt")) else name
