"""Named sets and the users' own files."""

from sciml.datasets.fields import FieldSeries
from sciml.datasets.readers import load_trajectories, write_npz
from sciml.datasets.readers.field import load_field, write_field
from sciml.datasets.simulated import simulated
from sciml.datasets.solar_system import solar_system
from sciml.datasets.trajectories import Trajectories

__all__ = [
    "FieldSeries",
    "Trajectories",
    "load_field",
    "load_trajectories",
    "simulated",
    "solar_system",
    "write_field",
    "write_npz",
]
