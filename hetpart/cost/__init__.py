"""What a unit costs on a processor, in microseconds."""

from hetpart.cost.estimate import Cost, estimate, transfer_us
from hetpart.cost.work import Work, node_macs, work

__all__ = ["Cost", "Work", "estimate", "node_macs", "transfer_us", "work"]
