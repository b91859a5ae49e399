"""Networks for tasks on residues."""

from functools import partial

import torch
from contract import Case

from cases.general import featured
from cases.residue import residues
from sciml.datasets.contact_maps import PAIR, hide_contacts
from sciml.graph import Spec
from sciml.models import ContactNetwork, ResiduePredictor
from sciml.nn.weighted_edge_mlp import WeightedEdgeMLP


def weighted(graph):
    """Edges with weights, some of them zero."""
    random = torch.Generator().manual_seed(1)
    weight = torch.rand(graph.num_edges, generator=random, dtype=torch.float64)
    return graph.with_edges({"weight": Spec()}, weight=weight * (weight > 0.3))


SMALL = {"channels": 6, "vectors": 2, "edge_channels": 4, "layers": 1, "dropout": 0.0}
RESIDUES = residues(4, 3)
ASKED = hide_contacts(residues(9, 8, reach=14.0)).to(torch.float64)
predictor = lambda task, **options: partial(ResiduePredictor, task, **SMALL | options)

CASES = [
    Case(
        "edge network, weighted",
        lambda: WeightedEdgeMLP(2, 4, edge_channels=3),
        weighted(featured(4, 6)),
    ),
    Case(
        "edge network, weighted, two-sided",
        lambda: WeightedEdgeMLP(2, hidden=(3, 4), sender_channels=3),
        weighted(featured(4, 3, senders=5)),
    ),
    Case("contact network", lambda: ContactNetwork(len(PAIR), channels=6, layers=2), ASKED),
    Case("residue predictor, secondary structure", predictor("secondary", kind="ipa"), RESIDUES),
    Case("residue predictor, type", predictor("type"), RESIDUES),
    Case("residue predictor, denoising", predictor("denoise"), RESIDUES),
    Case("residue predictor, contacts", predictor("contacts"), ASKED),
]
