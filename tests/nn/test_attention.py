"""Attention is torch's, by edges and by kernel; masks are edges; what is lacking is named."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from sciml.builders import complete_graph, grid_graph, sequence_graph
from sciml.graph import Graph
from sciml.nn import (
    DistanceBias,
    LabelBias,
    LaplacianEncoding,
    LearnedEncoding,
    MultiHeadAttention,
    OffsetBias,
    Rotary,
    SinusoidalEncoding,
    SpectralBias,
    TransformerBlock,
    recording,
)
from sciml.nn.attention.kernel import Padding

both = pytest.mark.parametrize("fused", [True, False])


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def attention(*arguments, fused=True, **options):
    torch.manual_seed(1)
    layer = MultiHeadAttention(*arguments, **options).double()
    layer.fused = fused
    return layer


def torchs(ours):
    """torch's own layer with the same weights."""
    theirs = nn.MultiheadAttention(
        ours.channels, ours.heads, kdim=ours.sender_channels, vdim=ours.sender_channels, batch_first=True
    ).double()
    maps = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        if theirs.in_proj_weight is None:
            theirs.q_proj_weight.copy_(ours.query.weight)
            theirs.k_proj_weight.copy_(ours.key.weight)
            theirs.v_proj_weight.copy_(ours.value.weight)
        else:
            theirs.in_proj_weight.copy_(torch.cat([m.weight for m in maps]))
        theirs.in_proj_bias.copy_(torch.cat([m.bias for m in maps]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    return theirs


# ------------------------------------------------------------------ against torch


@both
def test_self_attention_is_torchs(fused):
    x, layer = draw(3, 5, 8), attention(8, 4, fused=fused)
    expected, weights = torchs(layer)(x, x, x, average_attn_weights=False)
    graph = complete_graph(x)
    torch.testing.assert_close(layer(graph).nodes["x"], expected.flatten(0, 1))
    torch.testing.assert_close(layer.weights(graph).reshape(3, 5, 5, 4).permute(0, 3, 1, 2), weights)


@both
def test_cross_attention_is_torchs(fused):
    x, y, layer = draw(2, 5, 8), draw(2, 3, 6), attention(8, 2, sender_channels=6, fused=fused)
    expected, _ = torchs(layer)(x, y, y)
    torch.testing.assert_close(layer(complete_graph(x, y)).nodes["x"], expected.flatten(0, 1))


@both
def test_unequal_sizes_are_torchs_padding_mask(fused):
    x, layer = [draw(n, 8, seed=n) for n in (4, 1, 3)], attention(8, 2, fused=fused)
    padded = nn.utils.rnn.pad_sequence(x, batch_first=True)
    there = torch.arange(4) < torch.tensor([[4], [1], [3]])
    expected, _ = torchs(layer)(padded, padded, padded, key_padding_mask=~there)
    torch.testing.assert_close(layer(complete_graph(x)).nodes["x"], expected[there])


@pytest.mark.parametrize(("causal", "reach"), [(True, None), (False, 1), (True, 2)])
def test_masks_are_edges(causal, reach):
    x, layer = draw(2, 6, 8), attention(8, 2)
    steps = torch.arange(6) - torch.arange(6)[:, None]
    masked = ((steps > 0) & causal) | (steps.abs() > (6 if reach is None else reach))
    expected, _ = torchs(layer)(x, x, x, attn_mask=masked)
    graph = sequence_graph(x, causal=causal, reach=reach)
    torch.testing.assert_close(layer(graph).nodes["x"], expected.flatten(0, 1))


def test_the_past_does_not_hear_the_future():
    layer, x = attention(4, 2), draw(1, 6, 4).requires_grad_()
    y = layer(sequence_graph(x, causal=True)).nodes["x"]
    (slope,) = torch.autograd.grad(y[2].sum(), x)
    assert (slope[0, 3:] == 0).all()
    assert (slope[0, :3] != 0).all()


# ------------------------------------------------------------------ the fused path


def test_the_kernel_runs_where_the_layout_allows_it(monkeypatch):
    calls, kernel = [], F.scaled_dot_product_attention
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda *args, **kw: calls.append(args) or kernel(*args, **kw)
    )
    layer, graph = attention(4, 2), complete_graph([draw(3, 4), draw(2, 4)])
    layer(graph)
    layer(graph[0])
    assert [call[0].shape for call in calls] == [(2, 2, 3, 2), (1, 2, 3, 2)]
    layer(sequence_graph(draw(1, 3, 4), causal=True))
    layer.fused = False
    layer(graph)
    layer.fused = True
    with recording(layer) as tape:
        layer(graph)
    assert len(calls) == 2
    assert tape.messages["layer"][0].shape == (13, 2, 2)  # edges, heads, width


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=4), st.booleans())
def test_kernel_and_edges_agree_for_all_sizes(sizes, encoded):
    """In value and in slope, with graphs of no receivers or no senders among them."""
    pos = {}
    if encoded:
        pos = {"pos": [draw(n, 2) for n, _ in sizes], "sender_pos": [draw(m, 2, seed=1) for _, m in sizes]}
    values, senders = [draw(n, 4, seed=n) for n, _ in sizes], [draw(m, 4, seed=m + 9) for _, m in sizes]
    graph = complete_graph(values, senders, **pos)
    leaves = [graph.nodes["x"].clone().requires_grad_(), graph.senders["x"].clone().requires_grad_()]
    graph = graph.with_nodes(x=leaves[0]).with_senders(x=leaves[1])
    layer, found = attention(4, 2, biases=[DistanceBias(2, 3.0)] * encoded), []
    for layer.fused in (True, False):
        y = layer(graph).nodes["x"]
        targets = [*leaves, *layer.parameters()]
        slopes = torch.autograd.grad(y.square().sum(), targets, allow_unused=True, materialize_grads=True)
        found.append((y, slopes))
    torch.testing.assert_close(found[0], found[1])


def test_equal_sizes_are_not_copied():
    graph, layer = complete_graph(draw(2, 3, 4)), attention(4, 2)
    query = layer.queries(graph)
    assert Padding.of(graph).receivers_in(query).data_ptr() == query.data_ptr()


@pytest.mark.parametrize("sizes", [(3, 3), (3, 1, 2)])
@pytest.mark.parametrize("encoded", [True, False])
def test_second_derivatives_of_the_kernel_are_those_of_the_edges(sizes, encoded):
    """Of a force that is trained on: the derivative by weights of a derivative by positions."""
    biases = [DistanceBias(2, 3.0)] if encoded else []
    layer = attention(4, 2, biases=biases, rotary=Rotary(2) if encoded else None)
    found = []
    for fused in (True, False):
        layer.fused = fused
        x = [draw(n, 4, seed=n) for n in sizes]
        pos = torch.cat([draw(n, 1, seed=n + 5) for n in sizes]).requires_grad_()
        graph = complete_graph(x, pos=[draw(n, 1) for n in sizes]).with_nodes(pos=pos)
        graph = graph.with_nodes(x=graph.nodes["x"] + pos)
        (force,) = torch.autograd.grad(layer(graph).nodes["x"].square().sum(), pos, create_graph=True)
        found.append(torch.autograd.grad(force.square().sum(), [*layer.parameters()], allow_unused=True))
    torch.testing.assert_close(found[0], found[1])


def test_derivatives_twice_through_one_graph():
    """A graph that is kept can be gone through again, and gives the same."""
    layer, x = attention(4, 2), draw(1, 3, 4).requires_grad_()
    loss = layer(complete_graph(x)).nodes["x"].square().sum()
    first, second = (torch.autograd.grad(loss, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    assert not first.requires_grad


def test_functional_derivatives():
    layer, graph = attention(4, 2), complete_graph(draw(1, 3, 4))
    loss = lambda x: layer(graph.with_nodes(x=x)).nodes["x"].square().sum()
    x = graph.nodes["x"].clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(x), x)
    torch.testing.assert_close(torch.func.grad(loss)(graph.nodes["x"]), slope)
    along = draw(3, 4, seed=1)
    _, change = torch.func.jvp(loss, (graph.nodes["x"],), (along,))
    torch.testing.assert_close(change, (slope * along).sum())


def test_compiled():
    layer, graph = attention(4, 2), complete_graph([draw(3, 4), draw(2, 4)])
    compiled = torch.compile(layer, backend="aot_eager")
    torch.testing.assert_close(compiled(graph).nodes["x"], layer(graph).nodes["x"])


def test_autocast_with_encodings():
    layer = MultiHeadAttention(4, 2, biases=[DistanceBias(2, 3.0)])
    graph = complete_graph(draw(2, 3, 4).float(), pos=draw(2, 3, 3).float())
    with torch.autocast("cpu", torch.bfloat16):
        lower = layer(graph).nodes["x"]
    assert lower.dtype == torch.bfloat16
    torch.testing.assert_close(lower.float(), layer(graph).nodes["x"], rtol=0.05, atol=0.05)


# ------------------------------------------------------------------ properties


@both
def test_permutations(fused):
    layer, x, order = attention(4, 2, fused=fused), draw(1, 6, 4), torch.tensor([3, 0, 5, 1, 4, 2])
    y = layer(complete_graph(x)).nodes["x"]
    torch.testing.assert_close(layer(complete_graph(x[:, order])).nodes["x"], y[order])
    assert not torch.allclose(y[order], y)


@both
def test_senders_permuted_change_nothing(fused):
    layer, x, y = attention(4, 2, fused=fused), draw(1, 3, 4), draw(1, 5, 4, seed=1)
    torch.testing.assert_close(
        layer(complete_graph(x, y.flip(1))).nodes["x"], layer(complete_graph(x, y)).nodes["x"]
    )


@both
def test_who_hears_nobody_gets_the_constant(fused):
    layer = attention(4, 2, fused=fused)
    x = [draw(2, 4), draw(3, 4)]
    y = layer(complete_graph(x, [draw(3, 4), draw(0, 4)])).nodes["x"]
    torch.testing.assert_close(y[2:], layer.output.bias.expand(3, 4))
    assert (y[:2] - layer.output.bias).abs().min() > 1e-3
    lonely = Graph.create(torch.tensor([[0], [1]]), {"x": x[1]})
    torch.testing.assert_close(layer(lonely).nodes["x"][[0, 2]], layer.output.bias.expand(2, 4))


@both
def test_large_scores_do_not_overflow(fused):
    """At 10⁶ times the size the softmax is a maximum, exactly."""
    layer, x = attention(2, 1, bias=False, fused=fused), draw(1, 4, 2)
    graph = complete_graph(1e3 * x)
    winner = (layer.queries(graph)[:, 0] @ layer.keys(graph)[:, 0].T).argmax(1)
    expected = layer.output(layer.value(graph.nodes["x"])[winner])
    torch.testing.assert_close(layer(graph).nodes["x"], expected)


@both
@pytest.mark.parametrize("sizes", [(3, 3), (3, 2)])
def test_nan_stays_in_its_graph(fused, sizes):
    graph = complete_graph([draw(n, 4) for n in sizes])
    x = graph.nodes["x"].clone()
    x[0, 0] = torch.nan
    layer = attention(4, 2, fused=fused)
    y = layer(graph.with_nodes(x=x)).nodes["x"]
    assert y[:3].isnan().all()
    torch.testing.assert_close(y[3:], layer(graph).nodes["x"][3:])


def test_symmetry_is_that_of_the_encodings():
    groups = lambda *biases, rotary=None: (
        MultiHeadAttention(4, 2, biases=biases, rotary=rotary).symmetry.groups
    )
    assert groups() == ("S",)
    assert groups(LabelBias(2, 9)) == ("S",)
    assert groups(DistanceBias(2, 1.0)) == ("S", "T", "O")
    assert groups(DistanceBias(2, 1.0), LabelBias(2, 9), rotary=Rotary(2)) == ("S", "T")


# ------------------------------------------------------------------ blocks


def test_a_block_is_torchs_pre_norm_layer():
    torch.manual_seed(0)
    ours = TransformerBlock(8, 2, factor=2).double()
    theirs = nn.TransformerEncoderLayer(
        8, 2, 16, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    theirs.self_attn.load_state_dict(torchs(ours.attention).state_dict())
    norm, (first, _, second) = ours.network[0], ours.network[1]
    for mine, its in (
        (ours.norm, theirs.norm1),
        (norm, theirs.norm2),
        (first, theirs.linear1),
        (second, theirs.linear2),
    ):
        its.load_state_dict(mine.state_dict())
    x = draw(2, 5, 8)
    torch.testing.assert_close(ours(complete_graph(x)).nodes["x"], theirs(x).flatten(0, 1))


def test_dropout_is_for_training():
    block, graph = TransformerBlock(4, 2, dropout=0.5).double(), complete_graph(draw(1, 3, 4))
    assert not torch.equal(block(graph).nodes["x"], block(graph).nodes["x"])
    block.eval()
    assert torch.equal(block(graph).nodes["x"], block(graph).nodes["x"])


# ------------------------------------------------------------------ bad input

GRAPH, SEQUENCE = complete_graph(torch.zeros(1, 3, 4)), sequence_graph(torch.zeros(1, 3, 4))
TWO_SIDED = complete_graph(torch.zeros(1, 3, 4), torch.zeros(1, 2, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultiHeadAttention(10, 4), "4 heads do not divide 10 channels.* 1, 2, 5, 10"),
        (lambda: MultiHeadAttention(4, 0), "0 heads"),
        (lambda: MultiHeadAttention(4, 2, biases=[DistanceBias(3, 1.0)]), "for 3 heads; there are 2"),
        (lambda: MultiHeadAttention(4, 2, biases=[LabelBias(2, 3, key_width=4)]), "key_width=4"),
        (lambda: MultiHeadAttention(4, 2, rotary=Rotary(4)), "heads 4 wide; these are 2 wide"),
        (
            lambda: MultiHeadAttention(5, 1)(GRAPH),
            r"nodes.x of shape \(nodes, 5\), but its shape is \(3, 4\)",
        ),
        (lambda: MultiHeadAttention(4, 2, field="h")(GRAPH), "nodes.h, but nodes has x"),
        (lambda: MultiHeadAttention(4, 2, rotary=Rotary(2))(GRAPH), "nodes.pos.*complete_graph"),
        (
            lambda: MultiHeadAttention(4, 2, biases=[DistanceBias(2, 1.0)])(GRAPH),
            "DistanceBias reads nodes.pos",
        ),
        (lambda: MultiHeadAttention(4, 2, biases=[LabelBias(2, 9)])(GRAPH), "edges.offset.*grid_graph"),
        (lambda: MultiHeadAttention(4, 2, biases=[LabelBias(2, 9, "hops")])(GRAPH), "all_pairs"),
        (
            lambda: MultiHeadAttention(1, 1, biases=[LabelBias(1, 9)])(
                grid_graph(torch.zeros(1, 1, 5, 5), kernel=(3, 1))
            ),
            "9 labels.*3 classes",
        ),
        (
            lambda: MultiHeadAttention(4, 2, biases=[OffsetBias(2, (1, 1))])(
                sequence_graph(torch.zeros(1, 3, 4))
            ),
            r"nodes.pos of shape \(nodes, 2\)",
        ),
        (lambda: OffsetBias(2, ()), "must not be negative"),
        (lambda: Rotary(6, 2), "multiple of 4, not 6"),
        (lambda: SinusoidalEncoding(6, 2), "multiple of 4 channels, not 6"),
        (lambda: LearnedEncoding(4, (0,)), "at least 1"),
        (
            lambda: LearnedEncoding(4, (2,))(sequence_graph(torch.zeros(1, 3, 4))),
            r"\[2\] places.*\[0\] to \[2\]",
        ),
        (lambda: LaplacianEncoding(4)(GRAPH), "with_modes"),
        (lambda: MultiHeadAttention(4, 2, biases=[SpectralBias(2)])(TWO_SIDED), "one node set"),
        (
            lambda: MultiHeadAttention(4, 2, sender_channels=3)(TWO_SIDED),
            "senders.x of shape",
        ),
        (lambda: MultiHeadAttention(1, 1)(grid_graph(torch.zeros(1, 1, 3))), "kernel=.*all_pairs"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
