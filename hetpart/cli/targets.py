"""``hetpart targets``: list the targets, or explain one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from hetpart.cli.common import JsonOption, console, print_json


def targets(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME|FILE.toml", help="Target to explain; none lists all.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """List the targets that come with hetpart, or explain one.

    Exit code 0: done; 2: unknown target, or a file that does not describe one.
    """
    from hetpart.targets import load_target, target_names, target_sources

    if name is None:
        known = [load_target(n) for n in target_names()]
        if json:
            print_json({"schema": 1, "targets": [{"name": t.name, "title": t.title} for t in known]})
        else:
            for target in known:
                print(f"{target.name:<10} {target.title}")
        return
    target = load_target(name)
    if json:
        print_json({"schema": 1, **asdict(target), "sources": target_sources(name)})
        return
    from hetpart.report.target import print_target

    print_target(target, target_sources(name), console())
