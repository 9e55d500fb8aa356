"""Times that were measured, in place of estimates: what a profile holds, how it is made of traces, how it is used."""

from hetpart.profile.apply import Applied, apply
from hetpart.profile.data import Contention, CopyTime, Entry, LinkTime, Profile, Spread
from hetpart.profile.file import read_profile, write_profile

__all__ = [
    "Applied", "Contention", "CopyTime", "Entry", "LinkTime", "Profile", "Spread", "apply", "read_profile",
    "write_profile",
]  # fmt: skip
