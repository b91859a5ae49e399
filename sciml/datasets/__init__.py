"""Named sets and the users' own files."""

from sciml.datasets.readers import load_trajectories, write_npz
from sciml.datasets.solar_system import solar_system
from sciml.datasets.trajectories import Trajectories

__all__ = ["Trajectories", "load_trajectories", "solar_system", "write_npz"]
