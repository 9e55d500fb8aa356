"""Session: the toy bundle's numbers, and every way of misusing it."""

from __future__ import annotations

import numpy as np
import pytest

from hetpart.errors import HetpartError
from hetpart.runtime.session import Session


def test_x(toy, x):
    with Session(toy) as s:
        for i in range(3):
            o = s.run({"x": x})
        print(o["d"][0], s.trace(), s.run_us)
        print(s.plan_used)
