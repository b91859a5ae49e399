"""Interatomic potentials and their layers."""

import numpy as np
import torch
from ase import Atoms
from contract import Case

from sciml.builders import atoms_graph
from sciml.graph import Spec
from sciml.models import AtomEncoder, Denoiser, PaiNN, PotentialEnsemble, SchNet, StructurePredictor
from sciml.nn import ContinuousFilter, PaiNNLayer

CUTOFF = 2.5


def clusters():
    """Two small clusters, one of them in a skewed cell that is smaller than the cutoff."""
    random = np.random.default_rng(0)
    cell = [[2.4, 0.0, 0.0], [0.9, 2.6, 0.0], [-0.4, 0.7, 2.8]]
    return [
        Atoms("COH2", positions=random.normal(scale=1.2, size=(4, 3))),
        Atoms("HN", positions=[[0.1, 0.0, 0.2], [1.0, 1.2, 0.9]], cell=cell, pbc=True),
    ]


def featured(channels, radial):
    """Edges with radial functions, an envelope and directions; scalars and vectors at the nodes."""
    graph = atoms_graph(clusters(), CUTOFF)
    random = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)
    vectors = graph.edge_vectors()
    graph = graph.with_nodes(
        {"v": Spec("1o")}, x=draw(graph.num_nodes, channels), v=draw(graph.num_nodes, channels, 3)
    )
    return (
        graph.without("edges", "shift")
        .without("globals", "cell")
        .with_edges(
            {"direction": Spec("1o")},
            radial=draw(graph.num_edges, radial),
            envelope=draw(graph.num_edges),
            direction=vectors / vectors.norm(dim=1, keepdim=True),
        )
    )


def molecules():
    """Two small clusters in open space, and a single atom."""
    open_ = [Atoms(atoms.numbers, atoms.positions) for atoms in clusters()]
    return atoms_graph([*open_, Atoms("O", [[0.3, 0.1, -0.2]])], CUTOFF)


GRAPH = atoms_graph(clusters(), CUTOFF)
SMALL = {"channels": 8, "layers": 2, "radial": 6, "cutoff": CUTOFF}

CASES = [
    Case("SchNet layer", lambda: ContinuousFilter(4, 5), featured(4, 5)),
    Case("PaiNN layer", lambda: PaiNNLayer(4, 5), featured(4, 5)),
    Case("PaiNN layer, first", lambda: PaiNNLayer(4, 5), featured(4, 5).without("nodes", "v")),
    Case("SchNet", lambda: SchNet(**SMALL), GRAPH),
    Case("PaiNN", lambda: PaiNN(**SMALL), GRAPH),
    Case("SchNet with repulsion", lambda: SchNet(**SMALL, repulsion="zbl"), GRAPH),
    Case("Ensemble of SchNets", lambda: PotentialEnsemble([SchNet(**SMALL) for _ in range(2)]), GRAPH),
    Case("Encoder of atoms", lambda: AtomEncoder(**SMALL), GRAPH),
    Case("Denoiser", lambda: Denoiser(**SMALL), GRAPH),
    Case(
        "Properties of structures",
        lambda: StructurePredictor({"energy": "sum", "gap": "mean", "dipole": "dipole"}, **SMALL),
        molecules(),
    ),
]
