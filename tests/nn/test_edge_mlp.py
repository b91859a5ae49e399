import pytest
import torch
from cases.general import featured
from torch import nn

from sciml.graph import Graph
from sciml.nn import EdgeMLP, recording


def test_equals_a_loop_over_edges():
    """The definition, written out: gather, concatenate, apply an ordinary network, add up."""
    torch.manual_seed(0)
    graph, layer = featured(5), EdgeMLP(2, 4, hidden=(6, 5), edge_channels=3).double()
    joined = nn.Linear(7, 6).double()
    joined.weight.data = torch.cat([m.weight for m in (layer.receiver, layer.sender, layer.edge)], dim=1).data
    joined.bias.data = layer.receiver.bias.data
    expected = torch.zeros(5, 4, dtype=torch.float64)
    for (sender, receiver), e in zip(graph.edge_index.T.tolist(), graph.edges["e"]):
        x = graph.nodes["x"]
        expected[receiver] += layer.last(layer.inner(joined(torch.cat([x[receiver], x[sender], e]))))
    torch.testing.assert_close(layer(graph).nodes["x"], expected)


def test_records_the_edge_form():
    graph, layer = featured(5), EdgeMLP(2, edge_channels=3).double()
    with recording(layer) as tape:
        result = layer(graph).nodes["x"]
    (messages,), (inputs,) = tape.messages["layer"], tape.inputs["layer"]
    total = torch.zeros(5, 2, dtype=torch.float64).index_add(0, graph.receiver, messages)
    torch.testing.assert_close(total, result.detach())
    assert set(inputs) == {"x_i", "x_j", "e_ij"}


def test_what_does_not_fit_is_named():
    graph = featured(4)
    with pytest.raises(ValueError, match=r"takes 5 channels in nodes\.x, which has shape \(4, 2\)"):
        EdgeMLP(5)(graph)
    with pytest.raises(ValueError, match=r"takes 3 channels in edges\.e, which is not there"):
        EdgeMLP(2, edge_channels=3)(Graph.create(graph.edge_index, {"x": graph.nodes["x"]}))
    for options, fault in (
        ({"hidden": ()}, "at least one hidden"),
        ({"reduction": "max"}, "choose sum or mean"),
        ({"activation": "selu"}, "choose from tanh, silu"),
    ):
        with pytest.raises(ValueError, match=fault):
            EdgeMLP(2, **options)
