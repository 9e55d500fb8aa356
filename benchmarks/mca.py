"""How well an aarch64 kernel's inner loop keeps the multiply-add pipes busy, by llvm-mca's model of the processor.

The model knows pipelines, latencies and registers, not caches: it is an upper bound of what the loop can reach, and it
tells at once of too few accumulators and of spilled registers. The processor is Neoverse N1, sibling of the Cortex-A76;
llvm-mca's "cortex-a76" is the older A57's model with one multiply-add a cycle.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MCPU = "neoverse-n1"
PER_CYCLE = 2  # vector arithmetic, on pipes V0 and V1: Neoverse N1 and Cortex-A76 software optimisation guides
ITERATIONS = 100

_LABEL = re.compile(r"^(\.?[\w$.]+):")
_BRANCH = re.compile(r"^(?:b(?:\.\w+)?|cbn?z|tbn?z)\s.*?(\.L\w+)$")
_ARITHMETIC = {"fmla", "fmls", "fmul", "fadd", "fsub", "fdiv", "fmax", "fmin", "fmaxnm", "fminnm"}
_VECTOR = re.compile(r"\b[vqds](\d+)\b")
_COPY = re.compile(r"mov v\d+\.16b, v(\d+)\.16b")
_SPILL = re.compile(r"^(?:ld|st)[pru]+\s+[qdsv]\d+.*\[sp")


@dataclass(frozen=True)
class Loop:
    """The instructions of an innermost loop, its branch included."""

    instructions: tuple[str, ...]

    @property
    def multiply_adds(self) -> int:
        return sum(line.startswith("fmla") for line in self.instructions)

    @property
    def continued(self) -> int:
        """Multiply-adds to sums that the passes before began: those of a reduction."""
        count, begun, others = 0, set[str](), set[str]()
        for line in self.instructions:
            written = _written(line)
            if line.startswith("fmla") and not written & others:
                begun |= written
                count += 1
            else:
                others |= written - begun
        return count

    @property
    def arithmetic(self) -> int:
        """Vector arithmetic on floats: multiply-adds, what an epilogue in the loop needs, and the starts of sums.

        A sum starts with a copy of a register that the loop does not change, the bias. Other copies are a waste.
        """
        written = set[str]().union(*(_written(line) for line in self.instructions))
        starts = sum(
            match.group(1) not in written for line in self.instructions if (match := _COPY.match(line)) is not None
        )
        return starts + sum(line.split()[0] in _ARITHMETIC for line in self.instructions)

    @property
    def spills(self) -> int:
        """Vector registers that are stored to or loaded from the stack."""
        return sum(_SPILL.match(line) is not None for line in self.instructions)


def _written(line: str) -> set[str]:
    """Numbers of the vector registers that an instruction writes."""
    name, _, operands = line.partition(" ")
    if name.startswith(("st", "b.", "cb", "tb")):
        return set()
    several = name.startswith(("ldp", "ldnp")) or operands.startswith("{")
    return set(_VECTOR.findall(re.split(r"[\[}]" if several else ",", operands)[0]))


def main_loop(loops: Sequence[Loop]) -> Loop | None:
    """Of the innermost loops of a kernel, the one with the most multiply-adds; None if there is none with any.

    A loop over the reduction comes before any that begins its sums anew, such as one of Winograd's transforms.
    """
    loops = [loop for loop in loops if loop.multiply_adds]
    return max(loops, key=lambda loop: (loop.continued, loop.multiply_adds), default=None)


def innermost_loops(assembly: str) -> list[Loop]:
    """All pieces of code from a label to a branch back to it that hold no other such piece."""
    lines: list[str] = []
    place: dict[str, int] = {}
    spans: list[tuple[int, int]] = []
    for raw in assembly.splitlines():
        text = " ".join(raw.split("//")[0].split())
        if label := _LABEL.match(text):
            place[label.group(1)] = len(lines)
        elif text and not text.startswith("."):
            branch = _BRANCH.match(text)
            if branch and branch.group(1) in place:
                spans.append((place[branch.group(1)], len(lines) + 1))
            lines.append(text)
    inner = [(a, b) for a, b in spans if not any((a, b) != (c, d) and a <= c and d <= b for c, d in spans)]
    return [Loop(tuple(lines[a:b])) for a, b in inner]


def analyser() -> str:
    """The path of llvm-mca, version 16 or later (older ones know no Neoverse N1).

    Raises:
        RuntimeError: there is none; the message says how to get it.
    """
    for name in ("llvm-mca", *(f"llvm-mca-{version}" for version in range(24, 15, -1))):
        path = shutil.which(name)
        if path is not None and MCPU in _run([path, "-march=aarch64", "-mcpu=help"], "").stderr and _models(path):
            return path
    raise RuntimeError("no llvm-mca that knows Neoverse N1: apt-get install llvm-19 (Debian), or any LLVM from 16 on")


def shares(loops: Mapping[str, Loop], path: str) -> dict[str, float]:
    """By name: arithmetic instructions per cycle of each loop, as a share of the two that the processor can do.

    In a loop over the reduction these are its multiply-adds. Where the taps are unrolled (depthwise), the loop holds
    the starts and ends of sums too, which are needed; comparisons, selections and moves are not.
    """
    text = []
    for name, loop in loops.items():
        text += [f"# LLVM-MCA-BEGIN {name}", *loop.instructions, f"# LLVM-MCA-END {name}"]
    command = [path, "-mtriple=aarch64-linux-gnu", f"-mcpu={MCPU}", f"-iterations={ITERATIONS}", "-json"]
    done = _run(command, "\n".join(text) + "\n")
    if done.returncode:
        raise RuntimeError(f"llvm-mca: {done.stderr.strip()[:500]}")
    cycles = {
        region["Name"]: region["SummaryView"]["TotalCycles"] / ITERATIONS
        for region in json.loads(done.stdout)["CodeRegions"]
    }
    return {name: loop.arithmetic / PER_CYCLE / cycles[name] for name, loop in loops.items()}


def _models(path: str) -> bool:
    """Whether two independent multiply-adds a cycle come out, as of LLVM's scheduling model of this processor."""
    code = "".join(f"fmla v{i}.4s, v30.4s, v31.4s\n" for i in range(16))
    done = _run([path, "-mtriple=aarch64-linux-gnu", f"-mcpu={MCPU}", "-iterations=100", "-json"], code)
    if done.returncode:
        return False
    cycles: int = json.loads(done.stdout)["CodeRegions"][0]["SummaryView"]["TotalCycles"]
    return cycles < 100 * 16 / PER_CYCLE * 1.1


def _run(command: Sequence[str], stdin: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=stdin, capture_output=True, text=True)
