"""Laws of motion of several terms out of trajectories (docs/laws.md)."""

from sciml.distill.motion.pipeline import Discovery, discover
from sciml.distill.motion.report import write_motion_report

__all__ = ["Discovery", "discover", "write_motion_report"]
