"""What other engines are published to support, for comparison."""

from hetpart.oracle.profiles.convert import EngineOp, convert
from hetpart.oracle.profiles.judge import judge_operator
from hetpart.oracle.profiles.placement import accelerated
from hetpart.oracle.profiles.profile import Profile, load_profile, profile_names

__all__ = ["EngineOp", "Profile", "accelerated", "convert", "judge_operator", "load_profile", "profile_names"]
