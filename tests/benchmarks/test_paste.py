"""Tables in pages."""

from pathlib import Path

import pytest

from benchmarks.paste import paste


def test_only_what_stands_between_the_marks_changes(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Speed\n<!-- a -->\nold\n<!-- end of a -->\nwords\n<!-- b -->\n<!-- end of b -->\n")
    paste(page, "a", "new\n\ntable\n\n")
    assert page.read_text() == (
        "# Speed\n<!-- a -->\nnew\n\ntable\n<!-- end of a -->\nwords\n<!-- b -->\n<!-- end of b -->\n"
    )
    with pytest.raises(ValueError, match="no marks <!-- c -->"):
        paste(page, "c", "text")
