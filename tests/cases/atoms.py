"""Interatomic potentials and their layers."""

import numpy as np
import torch
from ase import Atoms
from contract import Case

from sciml.builders import atoms_graph
from sciml.graph import Spec
from sciml.models import (
    EGNN,
    MACE,
    AtomEncoder,
    Denoiser,
    NequIP,
    PaiNN,
    PotentialEnsemble,
    SchNet,
    StructurePredictor,
)
from sciml.nn import ContinuousFilter, EGNNLayer, PaiNNLayer
from sciml.nn.equivariant import MACELayer, NequIPLayer, TensorConvolution, harmonics
from sciml.nn.equivariant.harmonics import harmonics_irreps
from sciml.nn.equivariant.paths import kinds

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
            distance=vectors.norm(dim=1),
            envelope=draw(graph.num_edges),
            direction=vectors / vectors.norm(dim=1, keepdim=True),
        )
    )


def molecules():
    """Two small clusters in open space, and a single atom."""
    open_ = [Atoms(atoms.numbers, atoms.positions) for atoms in clusters()]
    return atoms_graph([*open_, Atoms("O", [[0.3, 0.1, -0.2]])], CUTOFF)


def tensorial(irreps, lmax, channels, radial):
    """Tensors at the nodes, one-hot elements, and harmonics on edges."""
    graph = featured(1, radial).without("nodes", "x", "v", "number")
    random = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)
    fields = {f"x{k}": draw(graph.num_nodes, channels, k.size) for k in kinds(irreps)}
    specs = {f"x{k}": Spec(str(k)) for k in kinds(irreps)}
    element = torch.eye(3, dtype=torch.float64)[torch.arange(graph.num_nodes) % 3]
    graph = graph.with_nodes(specs, **fields, element=element)
    values = harmonics(graph.edges["direction"], lmax)
    graph = graph.with_edges({"harmonics": Spec(harmonics_irreps(lmax))}, harmonics=values)
    return graph.without("edges", "direction")


BOTH = "0e+0o+1e+1o"
GRAPH = atoms_graph(clusters(), CUTOFF)
SMALL = {"channels": 8, "layers": 2, "radial": 6, "cutoff": CUTOFF}

CASES = [
    Case("SchNet layer", lambda: ContinuousFilter(4, 5), featured(4, 5)),
    Case("PaiNN layer", lambda: PaiNNLayer(4, 5), featured(4, 5)),
    Case("PaiNN layer, first", lambda: PaiNNLayer(4, 5), featured(4, 5).without("nodes", "v")),
    Case(
        "tensor convolution",
        lambda: TensorConvolution("0e+1o+2e", "0e+1o+2e", 2, 4, 5, (6,)),
        tensorial("0e+1o+2e", 2, 4, 5),
    ),
    Case(
        "NequIP layer",
        lambda: NequIPLayer(BOTH, BOTH, 1, 4, 3, 5, (6,)),
        tensorial(BOTH, 1, 4, 5),
    ),
    Case("EGNN layer", lambda: EGNNLayer(4, CUTOFF, 4.0), featured(4, 5)),
    Case("EGNN", lambda: EGNN(6, 2, 4.0, CUTOFF), GRAPH),
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
    Case("NequIP", lambda: NequIP(**SMALL | {"channels": 4, "hidden": (8,)}), GRAPH),
    Case(
        "NequIP, chiral",
        lambda: NequIP(
            **SMALL | {"channels": 4, "layers": 3, "cutoff": 6.0}, lmax=1, parity="none", hidden=(8,)
        ),
        atoms_graph(clusters()[:1], 6.0),
    ),
    Case(
        "MACE layer",
        lambda: MACELayer("0e+1o", "0e+1o", 2, 3, 3, 3, 5, (6,), 4.0),
        tensorial("0e+1o", 2, 3, 5),
    ),
    Case("MACE", lambda: MACE(**SMALL | {"channels": 4}, lmax=2, hidden=(8,), neighbors=4.0), GRAPH),
]
