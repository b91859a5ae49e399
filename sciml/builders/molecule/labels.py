"""What is known of atoms and bonds: labels, how many values each has, and what they stand for.

The choice is Chemprop's (Heid et al. 2024, doi 10.1021/acs.jcim.3c01250; Yang et al. 2019, arXiv 1904.01561),
with two differences. Labels are integers, from which a model takes an embedding or `one_hot` makes 0 and 1.
And chirality is told by CIP descriptors (R, S; E, Z), which belong to the molecule, in place of tags that
turn over when atoms are numbered anew.
"""

from __future__ import annotations

import torch

from sciml.graph import Graph, Place, Spec

CHARGE_ZERO = 4  # the label of a neutral atom: charges from -4 to 4 are labels 0 to 8

# Name of the field: its values, in order. Numbers beyond the last one count as the last one.
ATOM: dict[str, tuple[str, ...]] = {
    "element": tuple(map(str, range(119))),  # atomic number; 0 is the dummy atom *
    "degree": (*map(str, range(8)), "8 or more"),  # neighbours, hydrogens included
    "charge": tuple(f"{q:+d}" for q in range(-CHARGE_ZERO, CHARGE_ZERO + 1)),
    "hydrogens": (*map(str, range(4)), "4 or more"),  # neighbours that are hydrogen, drawn or not
    "hybridization": ("none", "s", "sp", "sp2", "sp3", "sp2d", "sp3d", "sp3d2", "other"),
    "aromatic": ("no", "yes"),
    "ring": ("no", "yes"),
    "chirality": ("none", "R", "S", "r", "s"),
}
BOND: dict[str, tuple[str, ...]] = {
    "bond": ("single", "double", "triple", "aromatic", "dative", "other"),
    "conjugated": ("no", "yes"),
    "ring": ("no", "yes"),
    "stereo": ("none", "E", "Z"),
}
SPECS: dict[tuple[Place, str], Spec] = {
    **{("nodes", name): Spec(classes=len(values)) for name, values in ATOM.items()},
    **{("edges", name): Spec(classes=len(values)) for name, values in BOND.items()},
}


def one_hot(graph: Graph) -> Graph:
    """Add the labels of a molecular graph as numbers 0 and 1: ``nodes["x"]`` and ``edges["e"]``.

    Shapes are (atoms, 160) and (bonds, 13), float32: one column for each value of each label, in the order
    of `ATOM` and `BOND`.
    """

    def columns(place: Place, labels: dict[str, tuple[str, ...]]) -> torch.Tensor:
        fields = getattr(graph, place)
        parts = [torch.nn.functional.one_hot(fields[name], len(values)) for name, values in labels.items()]
        return torch.cat(parts, dim=1).float()

    x, e = columns("nodes", ATOM), columns("edges", BOND)
    graph = graph.with_nodes({"x": Spec(f"{x.shape[1]}x0e")}, x=x)
    return graph.with_edges({"e": Spec(f"{e.shape[1]}x0e")}, e=e)
