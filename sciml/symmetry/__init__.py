"""Groups, their actions on a Graph, and the checker of equivariance.

A group G acts on inputs and outputs; a layer f is *equivariant* if it makes no difference whether one
acts before or after it,

    f(g · x) = g · f(x)    for all g in G,

and *invariant* where G leaves the output alone, f(g · x) = f(x). What an element does to a field follows
from the field's Spec: points translate, arrows turn, pseudoscalars change sign under a mirror.

A layer says what it holds, and `check` puts it to the test:

    class Layer(torch.nn.Module):
        symmetry = Symmetry(groups=("S", "T", "O"))

    print(check(Layer(), graph))
"""

from sciml.symmetry.action import Group, Outside
from sciml.symmetry.checker import Symmetry, check
from sciml.symmetry.finite import FiniteGroup, finite_group
from sciml.symmetry.grid import GridTurns, Shifts
from sciml.symmetry.groups import GROUPS
from sciml.symmetry.permutation import Permutation
from sciml.symmetry.report import Report, Row, SymmetryError
from sciml.symmetry.space import Orthogonal, PeriodicImages, Rotation, Translation

__all__ = [
    "GROUPS",
    "FiniteGroup",
    "GridTurns",
    "Group",
    "Orthogonal",
    "Outside",
    "PeriodicImages",
    "Permutation",
    "Report",
    "Rotation",
    "Row",
    "Shifts",
    "Symmetry",
    "SymmetryError",
    "Translation",
    "check",
    "finite_group",
]
