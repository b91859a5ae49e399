"""Layers and models of molecules and their properties."""

import torch
from contract import Case

from cases.general import featured
from sciml.builders import molecule_graph
from sciml.graph import Spec
from sciml.models import DMPNN, GIN, MoleculeTransformer, PropertyPredictor
from sciml.nn import DirectedMessages, IsomorphismLayer

MOLECULES = molecule_graph(["CC(=O)N", "F/C=C\\Cl", "C1CO1", "[Na+].[Cl-]"])


def with_states(graph, channels=3):
    """Edges with states: now, and at the start."""
    random = torch.Generator().manual_seed(2)
    draw = lambda: torch.randn(graph.num_edges, channels, generator=random, dtype=torch.float64)
    spec = Spec(f"{channels}x0e")
    return graph.with_edges({"h": spec, "h0": spec}, h=draw(), h0=draw())


def described(graph, number=3):
    """Molecules with numbers beside them."""
    random = torch.Generator().manual_seed(3)
    return graph.with_globals(
        {"descriptors": Spec()},
        descriptors=torch.randn(len(graph), number, generator=random, dtype=torch.float64),
    )


CASES = [
    Case("directed messages", lambda: DirectedMessages(3), with_states(featured(4, 6))),
    Case("graph isomorphism layer", lambda: IsomorphismLayer(3), featured(4, 6, channels=3)),
    Case("graph isomorphism layer, bare", lambda: IsomorphismLayer(2, edge_field=None), featured(4, 6)),
    Case("D-MPNN", lambda: DMPNN(8, steps=2), MOLECULES),
    Case("D-MPNN, sum", lambda: DMPNN(8, steps=1, pool="sum"), MOLECULES),
    Case("GIN", lambda: GIN(8, steps=2), MOLECULES),
    Case(
        "molecule transformer",
        lambda: MoleculeTransformer(8, steps=2, heads=2),
        MoleculeTransformer.prepare(MOLECULES).to(torch.float64),
    ),
    Case(
        "property predictor",
        lambda: PropertyPredictor(["a", "b"], channels=6, steps=1, members=2, descriptors=3),
        described(MOLECULES),
    ),
    Case(
        "property predictor with a process",
        lambda: PropertyPredictor(
            ["a"], channels=6, steps=1, descriptors={"rdkit": 1, "solvation": 1, "fragments": 1}, points=2
        ),
        described(MOLECULES),
    ),
    Case(
        "property predictor of labels",
        lambda: PropertyPredictor(["a"], channels=6, steps=1, kind="classification"),
        MOLECULES,
    ),
]
