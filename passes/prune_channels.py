"""prune-channels: remove the least important channels, wherever all that is tied to them can go as well."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from hetpart.errors import HetpartError
from hetpart.passes.base import Pass
from hetpart.passes.pruning.groups import Group, find_groups
from hetpart.passes.pruning.importance import importance
from hetpart.passes.pruning.rules import label
from hetpart.passes.pruning.surgery import cut, unshare


@dataclass(frozen=True)
class PruneChannels(Pass):
    """Structured pruning.

    Attributes:
        ratio: share of the channels of each group to remove, in [0, 1).
        importance: what decides which: see hetpart.passes.pruning.importance.
        multiple: a layer keeps a multiple of this many channels; a group that would lose less than that stays.
    """

    name: ClassVar[str] = "prune-channels"
    ratio: float = 0.3
    importance: str = "l2"
    multiple: int = 8

    def apply(self, model: ir.Model) -> bool:
        if not 0 <= self.ratio < 1:
            raise HetpartError("bad-ratio", f"ratio must be at least 0 and below 1, not {self.ratio}")
        if self.multiple < 1:
            raise HetpartError("bad-multiple", f"multiple must be at least 1, not {self.multiple}")
        unshare(model.graph)
        labelling = label(model.graph)
        dropped = [self._least(group) for group in find_groups(model.graph, labelling) if group.frozen is None]
        labels = np.concatenate([np.empty(0, np.int64), *dropped])
        cut(model.graph, labelling, labels)
        return bool(len(labels))

    def _least(self, group: Group) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Labels of the channels of a group that go."""
        scores = importance(group, self.importance)
        keep = kept_channels(len(group), self.ratio, self.multiple, group.copies)
        order: np.ndarray[tuple[int], np.dtype[np.int64]] = group.labels[np.argsort(scores, kind="stable")]
        return order[: len(group) - keep]


def kept_channels(count: int, ratio: float, multiple: int, copies: int) -> int:
    """How many of `count` channels stay so that `copies` times as many are a multiple of `multiple`; at least one."""
    step = multiple // math.gcd(multiple, copies)
    wanted = count * (1 - ratio)
    return min(count, max(1, math.ceil(wanted / step - 1e-9)) * step)
