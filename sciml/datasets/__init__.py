"""Named sets and the users' own files."""

from sciml.datasets.fields import FieldSeries
from sciml.datasets.frame_files import read_frames
from sciml.datasets.frame_store import StoredFrames, store_frames
from sciml.datasets.frames import Frames
from sciml.datasets.molecule_splits import MoleculeSplit, split_molecules
from sciml.datasets.molecule_table import MoleculeTable, freesolv, read_molecule_table
from sciml.datasets.pair_splits import PairSplit, split_pairs
from sciml.datasets.pairs import Pairs, read_pairs, write_pairs
from sciml.datasets.potentials import PotentialData, potential_data
from sciml.datasets.readers import load_trajectories, write_npz
from sciml.datasets.readers.field import load_field, write_field
from sciml.datasets.residues import ResidueData, residue_data
from sciml.datasets.simulated import simulated
from sciml.datasets.solar_system import solar_system
from sciml.datasets.structures import Structures, read_structures
from sciml.datasets.trajectories import Trajectories

__all__ = [
    "FieldSeries",
    "Frames",
    "MoleculeSplit",
    "MoleculeTable",
    "PairSplit",
    "Pairs",
    "PotentialData",
    "ResidueData",
    "StoredFrames",
    "Structures",
    "Trajectories",
    "freesolv",
    "load_field",
    "load_trajectories",
    "potential_data",
    "read_frames",
    "read_molecule_table",
    "read_pairs",
    "read_structures",
    "residue_data",
    "simulated",
    "solar_system",
    "split_molecules",
    "split_pairs",
    "store_frames",
    "write_field",
    "write_npz",
    "write_pairs",
]
