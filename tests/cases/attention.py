"""Attention and positional encodings."""

import torch
from contract import Case

from cases.examples import FEW, grids
from sciml.builders import all_pairs, complete_graph, sequence_graph, with_walks
from sciml.graph import Graph, Spec, batch
from sciml.models import GraphTransformer
from sciml.nn import with_modes
from sciml.nn.attention import (
    AttentionByMessages,
    DistanceBias,
    EdgeBias,
    EquivariantAttention,
    LabelBias,
    LaplacianEncoding,
    LearnedEncoding,
    MultiHeadAttention,
    OffsetBias,
    QuadraticBias,
    Rotary,
    SinusoidalEncoding,
    SpectralBias,
    TransformerBlock,
    WalkEncoding,
    as_attention,
)
from sciml.nn.convolution import GridConvolution


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sets(*sizes, channels=4, dim=3, seed=0):
    """Complete graphs of random features at random places."""
    values = [draw(n, channels, seed=seed + i) for i, n in enumerate(sizes)]
    return complete_graph(values, pos=[draw(n, dim, seed=seed + 9 + i) for i, n in enumerate(sizes)])


def two_sided(receivers, senders, dim=2):
    """Two node sets of random features at random places."""
    return complete_graph(
        [draw(n, 4, seed=i) for i, n in enumerate(receivers)],
        [draw(n, 3, seed=7 + i) for i, n in enumerate(senders)],
        pos=[draw(n, dim, seed=11 + i) for i, n in enumerate(receivers)],
        sender_pos=[draw(n, dim, seed=17 + i) for i, n in enumerate(senders)],
    )


def molecule(*pairs, nodes, channels=4):
    """A small undirected graph with features on nodes and edges."""
    edge_index = torch.tensor([*pairs, *((b, a) for a, b in pairs)]).T.reshape(2, -1)
    bond = draw(len(pairs), 2, seed=3).repeat(2, 1)
    return Graph.create(edge_index, {"x": draw(nodes, channels)}, {"bond": bond})


RING = molecule((0, 1), (1, 2), (2, 3), (3, 0), (0, 4), nodes=5)  # a square with a tail
PATHS = molecule((0, 1), (1, 2), (3, 4), nodes=6)  # two pieces, and a node alone
MOLECULES = with_modes(with_walks(batch([RING, PATHS]), 4), 4)
PAIRS = all_pairs(MOLECULES, 3)


def steerable(irreps, size):
    """Particles with random features in irreps."""
    return FEW.without("nodes", "mass", "charge", "particle").with_nodes(
        {"x": Spec(irreps)}, x=draw(FEW.num_nodes, size)
    )


def sequences(*lengths, **options):
    return sequence_graph([draw(n, 4, seed=i) for i, n in enumerate(lengths)], **options)


CASES = [
    Case("attention, one size", lambda: MultiHeadAttention(4, 2), sets(4, 4)),
    Case("attention, unequal sizes", lambda: MultiHeadAttention(4, 2, out_channels=3), sets(2, 4, 1)),
    Case("attention, causal", lambda: MultiHeadAttention(4, 2), sequences(4, 3, causal=True)),
    Case("attention, sparse", lambda: MultiHeadAttention(4, 4), MOLECULES),
    Case("cross-attention", lambda: MultiHeadAttention(4, 2, sender_channels=3), two_sided([3, 3], [2, 2])),
    Case(
        "cross-attention, unequal sizes",
        lambda: MultiHeadAttention(
            4, 2, sender_channels=3, width=4, rotary=Rotary(4, 2), biases=[DistanceBias(2, 3.0, 4)]
        ),
        two_sided([3, 1], [2, 4]),
    ),
    Case("attention, distances", lambda: MultiHeadAttention(4, 2, biases=[DistanceBias(2, 3.0)]), sets(2, 4)),
    Case("attention, rotary", lambda: MultiHeadAttention(4, 2, rotary=Rotary(2)), sequences(4, 3)),
    Case(
        "attention, offsets with keys",
        lambda: MultiHeadAttention(4, 2, biases=[OffsetBias(2, (2,), key_width=2)]),
        sequences(6, 6),
    ),
    Case(
        "attention, window of a grid",
        lambda: MultiHeadAttention(2, 2, biases=[LabelBias(2, 9, key_width=1)]),
        grids(3, 4, kernel=3),
    ),
    Case("attention, parabolas", lambda: MultiHeadAttention(4, 2, biases=[QuadraticBias(2, 3)]), sets(3, 3)),
    Case(
        "attention, hops and bonds",
        lambda: MultiHeadAttention(4, 2, biases=[LabelBias(2, 5, "hops"), EdgeBias(2, 2, "bond")]),
        PAIRS,
    ),
    Case("attention, spectral", lambda: MultiHeadAttention(4, 2, biases=[SpectralBias(2)]), PAIRS),
    Case("attention by messages", lambda: AttentionByMessages(MultiHeadAttention(4, 2)), sets(2, 4)),
    Case("convolution by attention", lambda: as_attention(GridConvolution(2, 3), 3.0), grids(3, 4)),
    Case(
        "convolution by attention, stride",
        lambda: as_attention(GridConvolution(2, 3, 2, dim=1, stride=2), 3.0),
        grids(6),
    ),
    Case("sinusoidal encoding", lambda: SinusoidalEncoding(4), sequences(4, 3)),
    Case("learned encoding", lambda: LearnedEncoding(4, (5,)), sequences(4, 3)),
    Case("walk encoding", lambda: WalkEncoding(4, 4), MOLECULES),
    Case("Laplacian encoding", lambda: LaplacianEncoding(4), MOLECULES),
    Case("transformer block", lambda: TransformerBlock(4, 2), sets(4, 2)),
    Case("transformer block, cross", lambda: TransformerBlock(4, 2, sender_channels=3), two_sided([3], [4])),
    Case(
        "equivariant attention",
        lambda: EquivariantAttention("2x0e+2x1o", cutoff=3.0, degree=1, basis=4, hidden=(4,)),
        steerable("2x0e+2x1o", 8),
    ),
    Case(
        "equivariant attention, all parities",
        lambda: EquivariantAttention(
            "2x0e+1x1o+1x1e",
            "1x0o+1x1e+1x2e",
            irreps_hidden="2x0e+2x0o+2x1e+2x2e",
            cutoff=3.0,
            basis=4,
            hidden=(4,),
        ),
        steerable("2x0e+1x1o+1x1e", 8),
    ),
    Case(
        "equivariant attention, chiral",
        lambda: EquivariantAttention(
            "2x0e+2x1o", cutoff=3.0, degree=1, reflections=False, basis=4, hidden=(4,)
        ),
        steerable("2x0e+2x1o", 8),
    ),
    Case(
        "graph transformer, molecules",
        lambda: GraphTransformer(
            4,
            2,
            8,
            1,
            2,
            {"walks": {"steps": 4}, "laplacian": {}, "hops": {"most": 3}, "spectral": {}},
            factor=1,
        ),
        PAIRS,
    ),
    Case(
        "graph transformer, points",
        lambda: GraphTransformer(4, 1, 4, 2, 2, {"distance": {"extent": 3.0}}, readout="nodes", factor=1),
        sets(3, 2),
    ),
]
