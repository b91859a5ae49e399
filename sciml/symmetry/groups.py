"""The table of groups that a layer can declare by name.

A new group is one class with `sample`, `act` and `outside` (see `Group`), and one line here.
"""

from __future__ import annotations

from sciml.symmetry.action import Group
from sciml.symmetry.grid import GridTurns, Shifts
from sciml.symmetry.permutation import Permutation
from sciml.symmetry.space import Orthogonal, PeriodicImages, Rotation, Translation

GROUPS: dict[str, Group] = {
    "S": Permutation(),
    "T": Translation(),
    "SO": Rotation(),
    "O": Orthogonal(),
    "images": PeriodicImages(),
    "shifts": Shifts(),
    "Ci": GridTurns("Ci"),
    "C2": GridTurns("C2"),
    "C4": GridTurns("C4", contains=("C2",)),
    "D4": GridTurns("D4", contains=("C2", "C4")),
    "Oct": GridTurns("Oct"),
    "Oh": GridTurns("Oh", contains=("Oct",)),
}
