from __future__ import annotations

import copy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hetpart.errors import HetpartError
from hetpart.targets import CpuCodegen, Target, load_target, target_names
from hetpart.targets.machine import this_machine
from hetpart.targets.read import read_target
from hetpart.targets.schema import (
    COMPUTE_CLASSES,
    HALF_CLASSES,
    INT8_CLASSES,
    MEMORY_CLASSES,
    UNTUNED_CLASSES,
    OpenclCodegen,
)
from hetpart.targets.table import Table

SHIPPED = Path(sys.modules["hetpart.targets"].__file__ or "").parent


def edited(tmp_path: Path, old: str, new: str, name: str = "sd855") -> str:
    """Path of a copy of a shipped target with one replacement."""
    text = (SHIPPED / f"{name}.toml").read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    return str(path)


def refusal(path: str) -> HetpartError:
    with pytest.raises(HetpartError) as caught:
        load_target(path)
    return caught.value


def test_shipped_names() -> None:
    assert target_names() == ("host", "kirin985", "kirin990", "sd855", "sd865", "sd888")


@pytest.mark.parametrize("name", target_names())
def test_every_shipped_target_is_complete(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert target.host.kind == "cpu"
    for processor in target.processors:
        if processor.cost is not None:
            every = {*COMPUTE_CLASSES, *INT8_CLASSES, *HALF_CLASSES, *MEMORY_CLASSES}
            stated = set(processor.cost.efficiency)
            assert stated == every if processor.cost.law is None else stated <= every
            assert stated >= set(UNTUNED_CLASSES) or processor.kind != "cpu"
    for source in ("cpu", "gpu"):
        assert target.link(source, {"cpu": "gpu", "gpu": "cpu"}[source]).fixed_us > 0


@pytest.mark.parametrize("name", target_names())
def test_files_are_short_and_every_cost_has_a_source(name: str) -> None:
    lines = (SHIPPED / f"{name}.toml").read_text().splitlines()
    assert len(lines) < 120
    section = ""
    for line in lines:
        section = line if line.startswith("[") else section
        if section.endswith(".cost]") and "peak" in line:
            assert "#" in line, line


def test_sd855_is_the_chip_we_mean() -> None:
    target = load_target("sd855")
    cpu, gpu, dsp = target.processors
    assert (cpu.kind, gpu.kind, dsp.kind) == ("cpu", "opencl", "hexagon")
    assert target.block == 4
    assert cpu.threads == sum(cluster.cores for cluster in cpu.clusters) == 4
    assert cpu.cost is not None
    clock_ghz = sum(cluster.cores * cluster.clock_mhz for cluster in cpu.clusters) / 1e3
    assert cpu.cost.peak_gflops == pytest.approx(16 * clock_ghz, rel=1e-3)  # 2 pipelines, 4 lanes, multiply-add
    assert dsp.cost is None


def test_host_follows_this_machine() -> None:
    target = load_target("host")
    assert target.block in (4, 8, 16)
    codegen = target.host.codegen
    assert isinstance(codegen, CpuCodegen)
    assert codegen.native
    assert codegen.lanes == target.block
    assert [processor.core for processor in target.processors] == [0, 1]
    gpu = target.processors[1].codegen
    assert isinstance(gpu, OpenclCodegen)
    assert gpu.local_bytes == codegen.l2_bytes == this_machine().l2_bytes


def test_unknown_name_suggests_the_closest() -> None:
    error = refusal("kirin99")
    assert error.code == "unknown-target"
    assert error.hint is not None
    assert "did you mean kirin990?" in error.hint
    assert ", ".join(target_names()) in error.hint


def test_missing_file() -> None:
    error = refusal("no/such/phone.toml")
    assert error.code == "target-file"
    assert "no/such/phone.toml" in error.message


def test_not_toml(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(b"\xff\xfe\x00")
    assert refusal(str(path)).code == "target-file"
    path.write_text("title = ")
    assert refusal(str(path)).code == "target-file"


def test_shares_of_a_law_s_speed_are_one_unless_stated(tmp_path: Path) -> None:
    cost = load_target(edited(tmp_path, "generic = ", "conv1x1 = 0.5\ngeneric = ")).host.cost
    assert cost is not None
    assert (cost.share("conv1x1"), cost.share("conv3x3"), cost.share("int8_conv")) == (0.5, 1.0, 1.0)


def test_a_users_copy_loads_under_its_own_name(tmp_path: Path) -> None:
    target = load_target(edited(tmp_path, '"Qualcomm Snapdragon 855"', '"My phone"'))
    assert (target.name, target.title) == ("mine", "My phone")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("unified_memory = true", "unified_memory = 1", "unified_memory must be true or false, not 1"),
        ("block = 4 ", 'block = "four" ', "block must be a whole number of at least 1, not 'four'"),
        ("block = 4 ", "block = 8 ", "processors.cpu.codegen.lanes must be equal to the target's block (8), not 4"),
        ("launch_us = ", "launch_us = -1  # ", "processors.cpu.cost.launch_us must be a number of at least 0, not -1"),
        (
            "peak_gflops = 161.6",
            "peak_gflops = nan",
            "processors.cpu.cost.peak_gflops must be a positive number, not nan",
        ),
        ("generic = ", "generick = ", "efficiency.generic must be a positive number; it is missing"),
        ("generic = ", "generic = 30  # ", "efficiency.generic must be a share of at most 10, not 30"),
        ("generic = ", "conv = 0.9\ndepthwize = 1\ngeneric = ", "unknown key processors.cpu.cost.efficiency.depthwize"),
        ('chip = "sd855"', 'chip = "sd856"', "processors.cpu.cost.law.chip must be one of sd835, sd845, sd855, "),
        ('fp32 = "paddle-lite"', 'fp32 = "caffe"', "processors.cpu.cost.law.fp32 must be one of bolt, mace, mnn"),
        ('fp16 = "paddle-lite"', 'fp61 = "paddle-lite"', "unknown key processors.cpu.cost.law.fp61"),
        (
            "clock_mhz = 2840",
            "clock_mhz = 2.84",
            "clock_mhz must be a whole number of at least 1, not 2.84",
        ),
        ("threads = 4", "thread = 4", "unknown key processors.cpu.thread"),
        ("p5 = { fixed_us = 367,", "p5 = { fixed_us = 600,", "links[0].p5 must be a law of shorter times"),
        ("p95 = { fixed_us = 753,", "p95 = { fixed_us = 53,", "links[0].p95 must be a law of longer times"),
        ("gb_per_s = 17.5 }", "gb_per_s = 17.5, mood = 1 }", "unknown key links[0].p95.mood"),
        (
            "convert_p95_gb_per_s = 11.8",
            "convert_p95_gb_per_s = 99",
            "convert_gb_per_s must be the speed of the median",
        ),
        ("contention = 1.24", "contention = 0.9", "processors.cpu.cost.contention must be a factor of at least 1"),
        ('kind = "cpu"', 'kind = "npu"', "processors.cpu.kind must be one of cpu, opencl, hexagon, not 'npu'"),
        ('kind = "opencl"', 'kind = "cpu"', "processors.gpu.codegen.triples must be a list of strings; it is missing"),
        ('name = "prime"', "name = 7", "processors.cpu.clusters[0].name must be a non-empty string, not 7"),
        ("work_group = [8, 8, 1]", "work_group = [8, 8]", "work_group must be a list of three positive whole numbers"),
        (
            "work_group = [8, 8, 1]",
            "work_group = [8, 8, 1]\nlocal_bytes = 32768",
            "processors.gpu.codegen.local_bytes must be left out where tile_items is false",
        ),
        ('source = "gpu"', 'source = "npu"', "links[0].source must be one of cpu, gpu, dsp, not 'npu'"),
        ('target = "cpu"', 'target = "gpu"', "links[0].target must be another processor than the source"),
        ('mattr = ["+dotprod", "+fullfp16"]', "mattr = [1]", "processors.cpu.codegen.mattr must be a list of strings"),
        ("[facts]", "[facts]\nlist = [1]", "facts.list must be a string, a number"),
    ],
)
def test_malformed_names_the_key_and_what_is_expected(tmp_path: Path, old: str, new: str, expected: str) -> None:
    error = refusal(edited(tmp_path, old, new))
    assert error.code == "bad-target"
    assert expected in error.message
    assert error.message.startswith("mine.toml: ")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("bytes = 10485760", "bytes = 1048576", "caches[1].bytes must be more than the 1048576 of the cache before"),
        ("bytes = 10485760", "kbytes = 10240", "caches[1].bytes must be a whole number of at least 1; it is missing"),
        ("caches = [{", "caches = [{ ways = 8,", "unknown key processors.cpu.cost.caches[0].ways"),
        ("conv3x3 = 100", "conv3x3 = 0", "half_speed_pixels.conv3x3 must be a whole number of at least 1, not 0"),
        ("conv3x3 = 100", "memory = 100", "unknown key processors.cpu.cost.half_speed_pixels.memory"),
    ],
)
def test_malformed_rooflines(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert expected in refusal(edited(tmp_path, old, new, "host")).message


def test_a_law_has_its_own_caches(tmp_path: Path) -> None:
    path = edited(tmp_path, "launch_us = ", "caches = []\nlaunch_us = ")
    assert "unknown key processors.cpu.cost.caches" in refusal(path).message


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("threads = 4", "thread = 4", "did you mean threads?"),
        ("lanes = 4 ", "lanes = 4\nzzz = 4 ", "known here: l2_bytes, lanes, mattr, mcpu, registers, triples"),
        ("generic = ", "generick = ", "it says generick; did you mean generic?"),
        ('fp32 = "mace"', 'fp32 = "mac"', "did you mean mace?"),
        ("generic = ", "generic = 30  # ", "1 is all of it; it is no percentage"),
        ('kind = "opencl"', 'kind = "openCL"', "did you mean opencl?"),
        ('kind = "opencl"', 'kind = "npu"', None),
        ("block = 4 ", "blocks = 4 ", "it says blocks; did you mean block?"),
        ("block = 4 ", "", None),
    ],
)
def test_the_likely_mistake_is_named(tmp_path: Path, old: str, new: str, hint: str | None) -> None:
    assert refusal(edited(tmp_path, old, new)).hint == hint


KeyPath = tuple[str | int, ...]


def leaves(data: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Paths of all keys of a file whose values are no tables, but for the free facts."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
            if key != "facts":
                yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def dotted(path: KeyPath) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]


DATA = tomllib.loads((SHIPPED / "sd855.toml").read_text())
OPTIONAL = {
    "threads", "max_image", "max_kernel_us", "storage", "memory", "contention", "power_w", "convert_p5_gb_per_s",
    "convert_p95_gb_per_s", *INT8_CLASSES, *HALF_CLASSES, "fp16", "int8",
}  # fmt: skip


def changed(path: KeyPath, value: object) -> Target | HetpartError:
    """The target with the key at `path` set to `value`, or removed if that is None; or what is refused."""
    data = copy.deepcopy(DATA)
    table: Any = data
    for part in path[:-1]:
        table = table[part]
    del table[path[-1]]
    if value is not None:
        table[path[-1]] = value
    try:
        return read_target(Table(data, "mine.toml"), "mine", this_machine())
    except HetpartError as error:
        return error


@pytest.mark.parametrize("path", list(leaves(DATA)), ids=dotted)
def test_every_key_that_is_missing_or_of_a_wrong_type_is_named(path: KeyPath) -> None:
    optional = path[-1] in OPTIONAL or path[-2:-1] == ("shared",)
    missing, wrong = changed(path, None), changed(path, {"a": 1})
    if not optional:
        assert isinstance(missing, HetpartError)
        assert (missing.code, missing.message.endswith("; it is missing")) == ("bad-target", True)
        assert f"mine.toml: {dotted(path)} must be " in missing.message
    assert isinstance(wrong, HetpartError)
    assert f"mine.toml: {dotted(path)} must be " in wrong.message
    assert wrong.message.endswith(", not {'a': 1}")


@pytest.mark.parametrize("path", list(leaves(DATA)), ids=dotted)
def test_every_misspelt_key_is_suggested(path: KeyPath) -> None:
    data = copy.deepcopy(DATA)
    table: Any = data
    for part in path[:-1]:
        table = table[part]
    name = str(path[-1])
    table[name + "s"] = table.pop(name)
    with pytest.raises(HetpartError) as caught:
        read_target(Table(data, "mine.toml"), "mine", this_machine())
    assert f"did you mean {name}?" in (caught.value.hint or "")


def test_links_must_be_complete(tmp_path: Path) -> None:
    text = (SHIPPED / "sd855.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text[: text.rindex("[[links]]")])
    assert "one from cpu to gpu is needed" in refusal(str(path)).message


def test_no_processors(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('title = "t"\nblock = 4\nunified_memory = true\n[processors]\n')
    assert "processors must be tables of which the first" in refusal(str(path)).message


def test_unknown_processor_and_link() -> None:
    target = load_target("sd855")
    with pytest.raises(HetpartError, match="has no processor 'npu'"):
        target.processor("npu")
    with pytest.raises(HetpartError, match="no link from cpu to dsp"):
        target.link("cpu", "dsp")


def test_importing_targets_is_light() -> None:
    code = (
        "import sys, hetpart.targets as t; t.load_target('sd855'); print('tvm' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_without_classes_of_other_types_the_float32_ones_count(tmp_path: Path) -> None:
    text = (SHIPPED / "host.toml").read_text()
    plain = "\n".join(line for line in text.splitlines() if not line.startswith(("int8_", "fp16_")))
    (tmp_path / "plain.toml").write_text(plain)
    cost = load_target(str(tmp_path / "plain.toml")).host.cost
    assert cost is not None
    for other, float32 in (INT8_CLASSES | HALF_CLASSES).items():
        assert cost.efficiency[other] == cost.efficiency[float32]
