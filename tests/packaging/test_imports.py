"""The directions of imports that docs/architecture.md states, and who may use the heavy libraries."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]

ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "cache": {"errors"},
    "files": {"errors"},
    "phases": set(),
    "targets": {"errors"},
    "graph": {"errors"},
    "frontend": {"errors", "graph"},
    "passes": {"errors", "activations", "calibration", "graph"},
    "oracle": {"errors", "graph", "targets"},
    "cost": {"errors", "graph", "targets"},
    "reference": set(),
    "calibration": {"errors"},
    "activations": {"errors", "calibration", "reference"},
    "verify": {"errors", "graph", "reference"},
    "undefined": {"graph", "reference", "verify"},
    "partition": {"errors"},
    "forecast": {"errors", "formulate", "partition", "targets"},
    "formulate": {"errors", "cost", "graph", "partition", "targets"},
    "plan": {"errors", "files", "graph"},
    "kernels": {"errors", "cache", "files", "graph", "oracle", "reference"},
    "codegen": {"errors", "cache", "files", "graph", "kernels", "plan", "targets"},
    "profile": {"errors", "codegen", "cost", "files", "graph", "kernels", "partition", "plan", "targets"},
    "bundle": {"errors", "files", "plan"},
    "runtime": {"errors", "bundle", "cache"},
    "compression": {
        "errors", "calibration", "cost", "frontend", "graph", "oracle", "passes", "reference", "rewritten", "targets",
        "verify",
    },
    "compiler": {
        "errors", "compression", "cost", "forecast", "formulate", "frontend", "graph", "oracle", "partition", "passes",
        "phases", "plan", "profile", "targets",
    },
    "single": {"errors", "compiler", "cost", "graph", "phases", "targets"},
    "fallback": {"compiler", "formulate", "partition", "targets"},
    "fix": {"compiler", "fallback", "formulate", "frontend", "partition", "passes", "phases", "targets"},
    "explain": {"errors", "compiler", "fix", "frontend", "graph", "passes", "phases", "targets"},
    "rewritten": {"errors", "files", "graph", "verify"},
    "rehearse": {
        "errors", "bundle", "codegen", "compiler", "frontend", "graph", "kernels", "plan", "runtime", "targets",
        "undefined", "verify",
    },
    "tune": {"errors", "codegen", "compiler", "kernels", "phases", "targets"},
    "profiler": {
        "errors", "bundle", "codegen", "compiler", "forecast", "formulate", "partition", "phases", "profile",
        "rehearse", "runtime", "targets", "verify", "version",
    },
    "report": {
        "errors", "bundle", "compiler", "compression", "cost", "explain", "fallback", "fix", "formulate", "graph",
        "oracle", "partition", "profile", "targets",
    },
    "build": {
        "errors", "bundle", "codegen", "compiler", "phases", "profile", "rehearse", "report", "runtime", "targets",
        "version",
    },
    "api": {
        "errors", "build", "bundle", "compiler", "compression", "cost", "fallback", "frontend", "oracle", "phases",
        "report", "runtime", "single", "targets",
    },
    "version": {"errors", "api"},
    "backend": {"errors", "api", "compiler", "runtime"},
    "cli": {
        "errors", "api", "build", "bundle", "cache", "codegen", "compiler", "compression", "explain", "files", "fix",
        "frontend", "graph", "passes", "phases", "profile", "profiler", "report", "rewritten", "runtime", "targets",
        "tune", "verify", "version",
    },
}  # fmt: skip
"""Part -> the parts that it may import. A part is a package or a module; `version` is hetpart/__init__.py."""

HEAVY = {
    "tvm": ("hetpart/kernels/cpu/", "hetpart/codegen/"),
    "ortools": ("hetpart/partition/",),
    "onnxslim": ("hetpart/frontend/",),
    "onnxruntime": ("hetpart/reference.py", "passes/fold_constants.py"),
    "pyopencl": (),
    "rich": ("hetpart/cli/", "hetpart/report/"),
    "typer": ("hetpart/cli/",),
}
"""Library -> where it may be imported."""

LAZY = {"tvm": "hetpart/codegen/", "ortools": "hetpart/partition/", "onnxruntime": "passes/"}
"""Library -> the folder in which it may be imported inside of functions only."""


def sources() -> Iterator[tuple[Path, str, ast.Module]]:
    """(path, part, syntax tree) of every module."""
    for folder in ("hetpart", "passes", "targets"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT).with_suffix("").parts
            inside = inside[1:] if folder == "hetpart" else inside
            yield (
                path.relative_to(ROOT),
                "version" if inside == ("__init__",) else inside[0],
                ast.parse(path.read_text()),
            )


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names of all modules that `tree` imports anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.module or ""
            if node.module == "hetpart":
                yield from (f"hetpart.{alias.name}" for alias in node.names)


def test_every_import_goes_in_an_allowed_direction() -> None:
    for path, part, tree in sources():
        for name in imported(tree):
            package, _, inside = name.partition(".")
            target = inside.split(".")[0].replace("__version__", "version")
            if package == "hetpart" and target not in ("", part):
                assert target in ALLOWED[part], f"{path} imports {name}"


def test_the_allowed_directions_have_no_cycle() -> None:
    # the package itself names the public functions without importing them
    TopologicalSorter(ALLOWED | {"version": set()}).prepare()


def test_heavy_libraries_have_their_places() -> None:
    for path, _, tree in sources():
        for name in imported(tree):
            library = name.split(".")[0]
            if library in HEAVY:
                assert str(path).startswith(HEAVY[library]), f"{path} imports {name}"


def test_heavy_libraries_are_imported_late_where_packages_must_load_fast() -> None:
    for path, _, tree in sources():
        for statement in tree.body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                for name in imported(statement):
                    folder = LAZY.get(name.split(".")[0])
                    assert folder is None or not str(path).startswith(folder), f"{path} imports {name} when it loads"
