"""Layers and models of two-sided graphs, molecules and sequences."""

import torch
from contract import Case

from cases.general import featured
from sciml.builders import molecule_graph, protein_sequence_graph
from sciml.builders.molecule import ATOM
from sciml.graph import Graph, Spec, batch
from sciml.models import CollaborativeFilter, MoleculeEncoder, SequenceEncoder
from sciml.nn import ChainConvolution, EdgeReadout, LabelEmbedding, NormalizedSum

MOLECULES = molecule_graph(["CC(=O)N", "F/C=C\\Cl", "C1CO1"])


def chains(*texts, channels=2, seed=0, **options):
    """Sequences with random features."""
    graph = protein_sequence_graph(texts, **options)
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(graph.num_nodes, channels, generator=random, dtype=torch.float64)
    return graph.with_nodes({"x": Spec(f"{channels}x0e")}, x=x)


def preferences(*sizes, seed=0):
    """Two-sided graphs whose nodes are numbered users and items."""
    random = torch.Generator().manual_seed(seed)
    graphs = []
    for users, items in sizes:
        edge_index = (torch.rand(users, items, generator=random) < 0.5).nonzero().T
        label = lambda n: torch.randperm(9, generator=random)[:n]
        graphs.append(Graph.create(edge_index, {"item": label(items)}, senders={"user": label(users)}))
    return batch(graphs)


CASES = [
    Case("normalized sum", NormalizedSum, featured(4, 6)),
    Case("normalized sum, two-sided", NormalizedSum, featured(4, 3, senders=5)),
    Case("chain convolution", lambda: ChainConvolution(2, 3, 3), chains("ACDE", "FG", kernel=3)),
    Case(
        "chain convolution, dilated",
        lambda: ChainConvolution(2, 3, 3, dilation=2, bias=False),
        chains("ACDEF", "GHI", kernel=3, dilation=2),
    ),
    Case(
        "label embedding",
        lambda: LabelEmbedding({name: len(values) for name, values in ATOM.items()}, 4),
        MOLECULES,
    ),
    Case("edge readout", lambda: EdgeReadout(2, hidden=4), featured(4, 6)),
    Case(
        "edge readout, two-sided",
        lambda: EdgeReadout(2, 3, hidden=4, outputs=2),
        featured(4, 3, senders=5),
    ),
    Case("collaborative filter", lambda: CollaborativeFilter(9, 9, 4), preferences((4, 5), (3, 6))),
    Case("molecule encoder", lambda: MoleculeEncoder(8, layers=2), MOLECULES),
    Case("sequence encoder", lambda: SequenceEncoder(8, 2, 3), protein_sequence_graph(["ACDEFG", "WYV"])),
]
