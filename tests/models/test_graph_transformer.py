"""The graph Transformer: every encoding is an option, tells something, and is needed where it should be."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from sciml.builders import all_pairs, complete_graph, sequence_graph, with_walks
from sciml.graph import Graph, batch
from sciml.models import GraphTransformer
from sciml.models.graph_transformer import ENCODINGS
from sciml.nn import with_modes
from sciml.symmetry import check


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


OPTIONS = {
    "learned": {"lengths": (9,)},
    "label": {"labels": 6, "field": "hops"},
    "hops": {"most": 4},
    "offset": {"most": (2,), "key_width": 2},
    "distance": {"extent": 4.0},
    "quadratic": {"dim": 1},
    "edge": {"channels": 1, "field": "w"},
    "walks": {"steps": 3},
}


def molecule_like():
    """A ring of 5 with a tail, with all that any encoding reads."""
    sender = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 5])
    receiver = torch.tensor([1, 2, 3, 4, 0, 4, 0, 1, 2, 3, 5, 0])
    nodes = {"x": draw(6, 3), "pos": torch.arange(6.0).double()[:, None]}
    single = Graph.create(torch.stack([sender, receiver]), nodes, {"w": torch.ones(12, 1).double()})
    return all_pairs(with_modes(with_walks(batch([single, single]), 3), 3), 4)


@pytest.mark.parametrize("name", ENCODINGS)
def test_every_encoding_is_an_option_and_tells_something(name):
    graph = molecule_like()
    if name == "distance":  # a group of turns needs a plane to turn in
        graph = graph.with_nodes(pos=draw(12, 2))
    torch.manual_seed(0)
    plain = GraphTransformer(3, 2, 8, 1, 4).double()
    torch.manual_seed(0)
    model = GraphTransformer(3, 2, 8, 1, 4, {name: OPTIONS.get(name, {})}).double()
    model.load_state_dict(plain.state_dict(), strict=False)
    assert model(graph).globals["output"].shape == (2, 2)
    assert not torch.allclose(model(graph).globals["output"], plain(graph).globals["output"], atol=1e-6)
    assert check(model, graph).ok


def test_a_bag_of_words_gets_an_order():
    """Without encodings the readout cannot tell an order from another; with any for sequences it can."""
    x = draw(1, 5, 3)
    for encodings in (
        (),
        ("sinusoidal",),
        ("rotary",),
        {"offset": {"most": (3,)}},
        {"learned": {"lengths": (5,)}},
    ):
        torch.manual_seed(0)
        model = GraphTransformer(3, 1, 8, 2, 2, encodings).double()
        there, back = (model(sequence_graph(v)).globals["output"] for v in (x, x.flip(1)))
        assert torch.allclose(there, back, atol=1e-9) == (encodings == ())


def test_it_learns_which_came_first():
    """Two marks in noise: which one stands before the other is in no mean of anything, only in the order."""
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    x = 0.3 * torch.randn(128, 6, 2, generator=random)
    order = torch.rand(128, 6, generator=random).argsort(1)
    first, second = order[:, 0], order[:, 1]
    rows = torch.arange(128)
    x[rows, first, 0] += 3
    x[rows, second, 1] += 3
    graph, label = sequence_graph(x), (first < second).float()[:, None]
    for encodings, learns in (((), False), (("rotary",), True)):
        model = GraphTransformer(2, 1, 16, 2, 2, encodings, factor=2)
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        for _ in range(60):
            loss = F.binary_cross_entropy_with_logits(model(graph).globals["output"], label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        right = ((model(graph).globals["output"] > 0) == (label > 0)).float().mean()
        assert (right > 0.95) if learns else (right < 0.75)


def test_symmetry_is_what_all_encodings_keep():
    groups = lambda **encodings: GraphTransformer(1, 1, 8, 1, 2, encodings).symmetry.groups
    assert groups(walks={}) == ("S",)
    assert groups(distance={"extent": 1.0}, hops={}) == ("S", "T", "O")
    assert groups(distance={"extent": 1.0}, rotary={}) == ("S", "T")
    assert groups(distance={"extent": 1.0}, sinusoidal={}) == ("S",)


GRAPH = complete_graph(torch.zeros(1, 3, 4))
TWO_SIDED = complete_graph(torch.zeros(1, 3, 4), torch.zeros(1, 2, 4))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GraphTransformer(1, 1, 10, heads=4), "4 heads do not divide 10"),
        (lambda: GraphTransformer(1, 1, encodings=["rotery"]), "did you mean rotary"),
        (lambda: GraphTransformer(1, 1, encodings=["distance"]), "'distance'.*extent"),
        (lambda: GraphTransformer(1, 1, encodings={"walks": {"step": 3}}), "'walks'.*step"),
        (lambda: GraphTransformer(1, 1, readout="edges"), "choose graphs or nodes"),
        (lambda: GraphTransformer(3, 1)(GRAPH), "GraphTransformer reads nodes.x"),
        (lambda: GraphTransformer(4, 1)(TWO_SIDED), "one node set"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
