"""The documentation and the command line say the same, and the example program works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

import hetpart
from examples import zoo
from hetpart.bundle.toolchain import compiler
from hetpart.cli.app import app
from hetpart.runtime.library import CFLAGS, LIBRARIES
from tests.cli.support import write_tiny

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FLAGS = {
    name: {option for parameter in command.params for option in parameter.opts if option.startswith("-")}
    | {"-h", "--help"}
    for name, command in typer.main.get_command(app).commands.items()  # type: ignore[attr-defined]  # it is a group
}


@pytest.mark.parametrize("verb", FLAGS)
def test_the_verb_s_page_names_exactly_its_flags(verb: str) -> None:
    text = (ROOT / "docs" / f"{verb}.md").read_text()
    rows = re.findall(r"^\| (`-.*?) \|", text.replace(r"\|", "/"), re.MULTILINE)
    documented = {flag for row in rows for flag in re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", row)}
    assert documented == FLAGS[verb]


@pytest.mark.parametrize("verb", FLAGS)
def test_the_verb_s_page_says_what_a_user_wants_to_know(verb: str) -> None:
    text = (ROOT / "docs" / f"{verb}.md").read_text()
    assert text.startswith(f"# hetpart {verb}\n")
    assert re.search(r"^Exit code 0: ", text, re.MULTILINE)
    for heading in ("## Example", "## Pitfalls"):
        assert heading in text
    assert f"]({verb}.md)" in (ROOT / "docs" / "index.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_pages_exist(page: Path) -> None:
    text = page.read_text()
    for verb, rest in re.findall(r"^(?:\$ )?hetpart ([a-z]+)(.*)$", _code(text), re.MULTILINE):
        assert verb in FLAGS, f"hetpart {verb}"
        used = set(re.findall(r"(?<=[ \[])--?[A-Za-z][\w-]*", rest.split("#")[0]))
        assert used <= FLAGS[verb], f"hetpart {verb}{rest}"
    for model in re.findall(r"python -m examples\.zoo ([a-z]\w+)", _code(text)):
        assert model in zoo.names()
    makefile = (ROOT / "Makefile").read_text()
    for goal in re.findall(r"^make ([\w-]+)", _code(text), re.MULTILINE) + re.findall(r"`make ([\w-]+)`", text):
        assert re.search(rf"^{goal}:", makefile, re.MULTILINE), f"make {goal}"


def _code(text: str) -> str:
    """The indented and the fenced blocks, without indentation."""
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^ {4}\s*(.*)$", text, re.MULTILINE)
    return "\n".join((*fenced, *indented))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("app")
    hetpart.compile(write_tiny(folder / "tiny.onnx"), output=folder / "model.hetpart", verify="none")
    return folder / "model.hetpart"


def _block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", (ROOT / "docs/runtime.md").read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_the_example_program_runs(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(_block("c"))
    programs = ("run_", "profile_")
    sources = [path for path in sorted((bundle / "runtime/src").glob("*.c")) if not path.name.startswith(programs)]
    command = [*compiler(), *CFLAGS, "-Werror", f"-I{bundle}/include", "main.c", *map(str, sources), *LIBRARIES]
    subprocess.run([*command, "-o", "app"], cwd=tmp_path, check=True)
    _check_app(tmp_path / "app", bundle)


def test_the_example_builds_with_cmake(bundle: Path, tmp_path: Path) -> None:
    if shutil.which("cmake") is None or shutil.which("cc") is None:
        pytest.skip("cmake and a C compiler are needed")
    (tmp_path / "main.c").write_text(_block("c"))
    (tmp_path / "CMakeLists.txt").write_text(_block("cmake"))
    shutil.copytree(bundle, tmp_path / "model.hetpart")
    environment = {name: value for name, value in os.environ.items() if name not in ("CC", "CFLAGS")}
    strict = "-DCMAKE_C_FLAGS=-Wall -Wextra -Wpedantic -Werror"  # as apps have it
    for command in (["cmake", "-S", ".", "-B", "build", strict], ["cmake", "--build", "build"]):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    _check_app(tmp_path / "build" / "app", bundle)


def _check_app(program: Path, bundle: Path) -> None:
    done = subprocess.run([program, bundle], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("logits: float32, 40 bytes\n")
