"""The oracle: what can run where, and why not."""

from hetpart.oracle.judge import ensure_placeable, judge
from hetpart.oracle.memory import why_shared
from hetpart.oracle.verdict import Verdict

__all__ = ["Verdict", "ensure_placeable", "judge", "why_shared"]
