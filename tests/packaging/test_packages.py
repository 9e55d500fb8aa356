"""The package list, the version, the public names, and that no file speaks of somebody's machine."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import pytest

import hetpart

ROOT = Path(__file__).parents[2]
FOLDERS = {"hetpart": "hetpart", "hetpart.passes": "passes", "hetpart.targets": "targets"}


@pytest.fixture(scope="module")
def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def test_the_package_list_is_the_tree(setup: configparser.ConfigParser) -> None:
    listed = setup["options"]["packages"].split()
    found = {
        ".".join((package, *path.parent.relative_to(ROOT / folder).parts))
        for package, folder in FOLDERS.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert listed == sorted(found)
    for package, folder in FOLDERS.items():
        for path in (ROOT / folder).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), f"{path.parent} of {package} has no __init__.py"


def test_the_version_is_stated_once_more_and_alike(setup: configparser.ConfigParser) -> None:
    assert setup["metadata"]["version"] == hetpart.__version__
    header = (ROOT / "hetpart/runtime/include/hetpart.h").read_text()
    assert f'HP_VERSION_TEXT "{hetpart.__version__}"' in header
    cmake = (ROOT / "hetpart/runtime/cmake/CMakeLists.txt").read_text()
    assert f"project(hetpart VERSION {hetpart.__version__} " in cmake


def test_public_names_are_the_documented_ones() -> None:
    assert sorted(hetpart.__all__) == ["HetpartError", "__version__", "check", "compile", "compress", "load"]
    text = (ROOT / "docs/index.md").read_text()
    for name in hetpart.__all__:
        assert getattr(hetpart, name) is not None
        assert f"`{name}`" in text
    with pytest.raises(AttributeError, match="no attribute 'unload'"):
        _ = hetpart.unload


def test_no_file_speaks_of_somebody_s_machine() -> None:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    private = re.compile(r"(?<![\w.$}])/(work|tmp|home/(?!you\b)\w+)/|\.\./shared")
    here = str(Path(__file__).relative_to(ROOT))
    for name in listing.stdout.splitlines():
        if name == here or not (ROOT / name).is_file():
            continue
        for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), start=1):
            assert not private.search(line), f"{name}:{number}: {line}"
