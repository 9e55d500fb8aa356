"""Where the figures of a target file come from: its comments, by the dotted path of the key they stand at."""

from __future__ import annotations

import re

_HEADER = re.compile(r"(\[\[?)\s*([\w.-]+)\s*\]\]?")
_KEY = re.compile(r"([\w.-]+)\s*=\s*")
_VALUE = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|[^#"'])*""")


def sources(text: str) -> dict[str, str]:
    """The comments of a valid target file, ``processors.cpu.threads`` -> "prime and gold; ...".

    A comment behind a value belongs to its key. Lines of comments above a table (of an array: ``links[0]``) or above
    the file's first key ("" is their path) belong to that.
    """
    found: dict[str, str] = {}
    table, above, counts = "", list[str](), dict[str, int]()
    for line in text.splitlines():
        content = line.strip()
        if content.startswith("#"):
            above.append(content.lstrip("# "))
            continue
        if header := _HEADER.match(content):
            table = header[2]
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = f"{table}[{counts[table]}]"
        key = _KEY.match(content)
        path = ".".join(part for part in (table, key[1] if key else "") if part)
        if above and (header or (key and not found and not table)):
            found[table] = " ".join(above)
        if begins := _VALUE.match(content) if key else header:
            above = []
            rest = content[begins.end() :]
            if comment := rest.partition("#")[2].strip():
                found[path] = comment
    return found
