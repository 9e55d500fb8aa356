"""The phone chips whose latencies are published, and the settings in which a network runs on one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Chip:
    """A chip's nominal figures, from its maker's product brief.

    Attributes:
        title: for people.
        core: its fastest CPU cores.
        clock_ghz: of the fastest core.
        second_ghz: of the other big cores.
        gpu_gmacs: nominal fp32 multiply-adds per second of the GPU, in 1e9.
        gpu: GPU family.
    """

    title: str
    core: str
    clock_ghz: float
    second_ghz: float
    gpu_gmacs: float
    gpu: str


CHIPS = {
    "sd835": Chip("Snapdragon 835", "a73", 2.45, 2.45, 284, "adreno"),
    "sd845": Chip("Snapdragon 845", "a75", 2.8, 2.8, 364, "adreno"),
    "sd855": Chip("Snapdragon 855", "a76", 2.84, 2.42, 477, "adreno"),
    "sd855plus": Chip("Snapdragon 855+", "a76", 2.96, 2.42, 560, "adreno"),
    "sd865": Chip("Snapdragon 865", "a76", 2.84, 2.42, 600, "adreno"),
    "sd888": Chip("Snapdragon 888", "x1", 2.84, 2.42, 860, "adreno"),
    "kirin970": Chip("Kirin 970", "a73", 2.36, 2.36, 286, "mali"),
    "kirin980": Chip("Kirin 980", "a76", 2.6, 1.92, 172, "mali"),
    "kirin985": Chip("Kirin 985", "a76", 2.58, 2.40, 179, "mali"),
    "kirin990": Chip("Kirin 990", "a76", 2.86, 2.09, 230, "mali"),
    "kirin990-5g": Chip("Kirin 990 5G", "a76", 2.86, 2.36, 230, "mali"),
}
"""No latency is published for kirin985; the A77 of sd865 has the A76's vector units."""

MACS_PER_CYCLE = {
    "a55": {"fp32": 4, "fp16": 8, "int8": 16},
    "a73": {"fp32": 4, "fp16": 4, "int8": 8},
    "a75": {"fp32": 4, "fp16": 8, "int8": 8},
    "a76": {"fp32": 8, "fp16": 16, "int8": 32},
    "x1": {"fp32": 16, "fp16": 32, "int8": 64},
}
"""Vector multiply-adds per cycle of a core (Arm's optimisation guides); int8 by dot products where it has them."""

DTYPE_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}


@dataclass(frozen=True, order=True)
class Setting:
    """How a network runs: all that a latency depends on besides the network.

    Attributes:
        chip: key of `CHIPS`.
        engine: e.g. ``ncnn``.
        processor: ``cpu`` or ``gpu``.
        dtype: key of `DTYPE_BYTES`.
        threads: 0 on a GPU.
        memory: ``buffer`` for GPU kernels on buffers where the engine has both; else empty.
        little: on one of the small cores.
    """

    chip: str
    engine: str
    processor: str
    dtype: str
    threads: int
    memory: str = ""
    little: bool = False

    @property
    def key(self) -> str:
        """The setting as one word, for tables."""
        parts = (self.chip, self.engine, self.processor, self.dtype, str(self.threads), self.memory)
        return "/".join(part for part in (*parts, "little" if self.little else "") if part)
