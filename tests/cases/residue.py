"""Layers and models of residues."""

import torch
from contract import Case

from sciml.builders import complete_graph, residue_pairs
from sciml.builders.complexes import BONDS
from sciml.builders.residue import SECONDARY, TYPES
from sciml.builders.residue.build import SPECS
from sciml.graph import Graph, Spec, batch
from sciml.models import ComplexNetwork, ResidueNetwork
from sciml.models.complex_network import LABELS
from sciml.nn.residue import (
    GVPConvolution,
    InvariantPointAttention,
    PairBlock,
    PairFromNodes,
    PointAttentionBlock,
    RelationalBlock,
    RelationalConvolution,
    ResidueInputs,
    TriangleAttention,
    TriangleMultiplication,
)


def residues(*sizes, seed=0, reach=9.0):
    """Graphs of two random chains with the fields of `residue_graph`; the last residue has no frame."""
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)
    return batch([_residues(n, draw, random, reach) for n in sizes])


def _residues(n, draw, random, reach):
    step = torch.nn.functional.normalize(draw(n, 3), dim=1)
    pos = 3.8 * (step + 0.3).cumsum(0)
    frame = torch.linalg.qr(draw(n, 3, 3))[0]
    frame[:, 2] *= torch.linalg.det(frame)[:, None]  # right-handed
    there = torch.arange(n) < n - 1
    chain = (torch.arange(n) >= n // 2).long()
    place = torch.arange(n) - n // 2 * chain
    near = (torch.cdist(pos, pos) < reach) & ~torch.eye(n, dtype=torch.bool)
    same = chain[:, None] == chain
    along = same & ((place[:, None] - place).abs() == 1)
    sender, receiver = (near | along).nonzero().T
    kind = torch.stack([near, near & (torch.rand(n, n, generator=random) < 0.5), along], dim=-1)
    torsions = torch.rand(n, 7, generator=random) < 0.7
    nodes = {
        "pos": pos,
        "cb": pos + draw(n, 3),
        "frame": (frame * there[:, None, None]).flatten(1),
        "frame_mask": there,
        "type": torch.randint(len(TYPES), (n,), generator=random),
        "secondary": torch.randint(len(SECONDARY), (n,), generator=random),
        "torsion": draw(n, 7) * torsions,
        "torsion_mask": torsions,
        "exposure": torch.rand(n, generator=random, dtype=torch.float64),
        "chain": chain,
        "place": place,
    }
    separation = torch.where(same, place[:, None] - place, 0).T[sender, receiver]
    edges = {
        "kind": kind[sender, receiver],
        "same_chain": same[sender, receiver],
        "separation": separation,
    }
    specs = {key: spec for key, spec in SPECS.items() if key[1] in nodes or key[1] in edges}
    return Graph.create(torch.stack([sender, receiver]), nodes, edges, specs=specs)


def complexes(*sizes, seed=0):
    """Graphs of random pocket residues and ligand atoms, with the fields of `complex_graph`."""
    random = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)
    labels = lambda count, n: torch.randint(count, (n,), generator=random)
    graphs = []
    for n in sizes:
        kind = (torch.arange(n) >= n // 2).long() * 2
        edge_index = (torch.rand(n, n, generator=random) < 0.6).triu(1)
        sender, receiver = (edge_index | edge_index.T).nonzero().T
        across = kind[sender] != kind[receiver]
        bond = torch.where(across, len(BONDS) - 1, labels(len(BONDS), len(across)))
        covalent = bond < len(BONDS) - 1
        edges = {
            "kind": torch.stack([covalent, ~across & (kind[sender] == 0), ~across, across], dim=1),
            "bond": bond,
            "distance": 3 + draw(len(across)).abs(),
            "same_chain": ~across,
            "separation": torch.where(across, 0, receiver - sender),
        }
        nodes = {"pos": 3 * draw(n, 3), "kind": kind}
        nodes |= {name: labels(count, n) for name, count in LABELS.items()}
        graphs.append(Graph.create(torch.stack([sender, receiver]), nodes, edges))
    return batch(graphs)


EVERYTHING = ("place", "type", "frame", "cb", "torsion", "secondary", "exposure")
RESIDUES = residues(6, 4)
NARROW = {"channels": 8, "edge_channels": 5}
SMALL = NARROW | {"vectors": 3}


def features(**options):
    """What layers read, made by the inputs that the network itself takes."""
    torch.manual_seed(1)
    inputs = ResidueInputs(EVERYTHING, 6, 3, 5, types=len(TYPES), **options).double()
    return inputs(RESIDUES).detach()


def network(kind, **options):
    """Small, since derivatives are taken twice by every parameter."""
    return lambda: ResidueNetwork(**{"kind": kind, "layers": 1, "heads": {"site": 1}} | SMALL | options)


def pairs(*sizes):
    """Complete graphs of different sizes with features of pairs."""
    random = torch.Generator().manual_seed(2)
    draw = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)
    graph = complete_graph([draw(n, 6) for n in sizes])
    return graph.with_edges({"e": Spec("5x0e")}, e=draw(graph.num_edges, 5))


PAIRS = pairs(4, 2, 3)


def labelled():
    """Features, with edges of one kind each."""
    graph = features().without("edges", "relation")
    return graph.with_edges({"relation": Spec(classes=3)}, relation=torch.arange(graph.num_edges) % 3)


def kinds():
    """Features, with kinds of nodes."""
    graph = features()
    return graph.with_nodes({"kind": Spec(classes=2)}, kind=torch.arange(graph.num_nodes) % 2)


CASES = [
    Case("residue inputs", lambda: ResidueInputs(EVERYTHING, 6, 3, 5, types=len(TYPES)), RESIDUES),
    Case(
        "residue inputs, reflections",
        lambda: ResidueInputs(EVERYTHING, 6, 3, 5, types=len(TYPES), reflections=True),
        RESIDUES,
    ),
    Case("GVP convolution", lambda: GVPConvolution(6, 3, 5), features()),
    Case(
        "GVP convolution, reflections",
        lambda: GVPConvolution(6, 3, 5, depth=1, reflections=True),
        features(reflections=True),
    ),
    Case(
        "invariant point attention",
        lambda: InvariantPointAttention(6, 5, heads=2, width=3, points=2, value_points=2),
        features(),
    ),
    Case("point attention block", lambda: PointAttentionBlock(6, 5, heads=2, points=2), features()),
    Case("relational convolution", lambda: RelationalConvolution(6, 4, relations=5), features()),
    Case(
        "relational convolution, bases and edges",
        lambda: RelationalConvolution(6, relations=5, bases=2, edge_channels=5),
        features(),
    ),
    Case(
        "relational convolution, labels",
        lambda: RelationalConvolution(6, relations=3, bases=2, edge_channels=5),
        labelled(),
    ),
    Case(
        "relational convolution, kinds of nodes",
        lambda: RelationalConvolution(6, relations=5, node_kinds=2),
        kinds(),
    ),
    Case(
        "complex network",
        lambda: ComplexNetwork({"affinity": 1}, heads={"site": 2}, layers=1, bases=3, **NARROW),
        complexes(6, 4),
    ),
    Case("relational block", lambda: RelationalBlock(6, 5, 5), features()),
    Case("triangle multiplication, incoming", lambda: TriangleMultiplication(5, 3, "incoming"), PAIRS),
    Case("triangle multiplication", lambda: TriangleMultiplication(5), PAIRS),
    Case("triangle attention", lambda: TriangleAttention(5, 2, 3), PAIRS),
    Case("triangle attention, incoming", lambda: TriangleAttention(5, 2, 3, "incoming"), PAIRS),
    Case("pairs from nodes", lambda: PairFromNodes(6, 5), features()),
    Case("pair block", lambda: PairBlock(6, 5, hidden=3, heads=2, width=2), PAIRS),
    Case("residue network, GVP", network("gvp", vector_heads=("shift",)), RESIDUES),
    Case(
        "residue network, GVP, reflections",
        network("gvp", inputs=EVERYTHING, reflections=True, edge_heads={"contact": 1}),
        RESIDUES,
    ),
    Case("residue network, IPA", network("ipa", vector_heads=("shift",)), RESIDUES),
    Case(
        "residue network, pairs",
        network("relational", heads={}, pair_blocks=1, edge_heads={"contact": 1}),
        residue_pairs(residues(4, 3)),
    ),
    Case(
        "residue network, relational",
        network("relational", edge_heads={"contact": 2}, graph_heads={"stability": 2}),
        RESIDUES,
    ),
    Case("residue network, relational, trace", network("relational", inputs=("place", "type")), RESIDUES),
]
