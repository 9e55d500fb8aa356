"""``hetpart cache``: show or clear the compile cache."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from hetpart.cli.common import JsonOption, print_json


class Action(StrEnum):
    """What to do with the cache."""

    SHOW = "show"
    CLEAR = "clear"


def cache(
    action: Annotated[
        Action, typer.Argument(metavar="ACTION", help="show: where it is and how big; clear: delete it.")
    ] = Action.SHOW,
    json: JsonOption = False,
) -> None:
    """Show or clear the cache of compiled kernels and of the compiled runtime.

    Exit code 0: done; 2: it cannot be cleared.
    """
    from hetpart.cache import cache_root, cache_size, clear_cache

    size = clear_cache() if action is Action.CLEAR else cache_size()
    if json:
        print_json({"schema": 1, "path": str(cache_root()), "action": action.value, "bytes": size})
    elif action is Action.CLEAR:
        print(f"freed {size / 1e6:.1f} MB in {cache_root()}")
    else:
        print(f"{size / 1e6:.1f} MB in {cache_root()}")
