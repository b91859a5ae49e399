"""Attention that turns with its points: handedness, heads, limits; the contract checks the groups."""

import pytest
import torch
from e3nn import o3

from sciml.builders import complete_graph, particle_graph
from sciml.graph import Graph, Spec
from sciml.nn import Edges, EquivariantAttention
from sciml.nn.attention.equivariant import _by_head, _joined
from sciml.nn.radial import envelope
from sciml.symmetry import SymmetryError, check


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def points(irreps, *, count=5, cutoff=3.0):
    pos = draw(1, count, 3).numpy()
    graph = particle_graph(pos, edges="cutoff", cutoff=cutoff)
    return graph.with_nodes({"x": Spec(irreps)}, x=draw(count, o3.Irreps(irreps).dim, seed=1))


def layer(*arguments, **options):
    torch.manual_seed(0)
    return EquivariantAttention(*arguments, **{"cutoff": 3.0, "degree": 2, "basis": 4} | options).double()


def test_handedness_is_what_reflections_allow():
    graph, irreps = points("2x0e+2x1o"), "2x0e+2x1o"
    assert check(layer(irreps), graph).ok
    assert check(layer(irreps, reflections=False), graph).ok
    with pytest.raises(SymmetryError, match=r"O\(d\)"):
        check(layer(irreps, reflections=False), graph, symmetry=("S", "T", "O")).raise_if_failed()
    with pytest.raises(SymmetryError, match="mirror image"):
        check(layer(irreps), graph, symmetry=("S", "T", "SO")).raise_if_failed()


def test_e3nns_own_matrices():
    """Turned and mirrored by D(R) of e3nn, which is not how the checker makes its matrices."""
    irreps_in, irreps_out = "2x0e+2x1o+2x2e", "1x1o+1x2e"
    graph, model = points(irreps_in), layer(irreps_in, irreps_out)
    R = o3.rand_matrix(dtype=torch.float64)
    for matrix in (R, -R):
        turned = graph.with_nodes(
            pos=graph.nodes["pos"] @ matrix.T,
            x=graph.nodes["x"] @ o3.Irreps(irreps_in).D_from_matrix(matrix).T,
        )
        expected = model(graph).nodes["x"] @ o3.Irreps(irreps_out).D_from_matrix(matrix).T
        torch.testing.assert_close(model(turned).nodes["x"], expected, rtol=1e-5, atol=1e-6)  # Euler angles


def test_weights_are_a_softmax_with_a_silent_neighbour():
    """Inside the envelope: weights α = u e^s / (1 + Σ u e^s), which sum to less than one."""
    graph, model = points("2x0e+2x1o"), layer("2x0e+2x1o")
    score = 5 * model.score(Edges(graph))
    u = envelope(graph.edge_vectors().norm(dim=-1), 3.0)[:, None]
    total = torch.zeros(5, 2).double().index_add(0, graph.receiver, u * score.exp())
    torch.testing.assert_close(model.normalize(score, graph), u * score.exp() / (1 + total[graph.receiver]))
    large = model.normalize(1e4 * score, graph)
    assert large.isfinite().all()
    assert large.max() <= 1
    assert large.min() >= 0


def test_a_leaving_last_neighbour_is_left_smoothly():
    """With one neighbour only a plain softmax would weigh it 1 up to the cutoff and then drop it."""
    model = layer("2x0e+2x1o")
    edges, x = torch.tensor([[0, 1], [1, 0]]), draw(2, 8)
    out = lambda r: (
        model(Graph.create(edges, {"pos": torch.tensor([[0.0, 0, 0], [r, 0, 0]]).double(), "x": x}))
        .nodes["x"]
        .detach()
    )
    alone = model(Graph.create(edges[:, :0], {"pos": torch.zeros(2, 3).double(), "x": x})).nodes["x"].detach()
    gap = [float((out(3 - d) - alone).abs().max()) for d in (0.1, 0.05, 0.025)]
    assert 0 < gap[2] < gap[1] / 6 < gap[0] / 36  # as d³: value, slope and curvature go to zero
    assert torch.equal(out(3.5), alone)


def test_a_pseudoscalar_is_the_volume_of_what_is_not_flat():
    """0o from scalars and positions alone, by arrows and their cross products: odd under the mirror image."""
    layers = torch.nn.Sequential(
        layer("2x0e", "2x0e+2x1o", irreps_hidden="2x0e+2x1o"),
        layer("2x0e+2x1o", "2x0e+2x1o+2x1e", irreps_hidden="2x0e+2x1o+2x1e"),
        layer("2x0e+2x1o+2x1e", "2x0o", irreps_hidden="2x0o"),
    )
    graph = points("2x0e")
    volume = lambda *factors: layers(graph.with_nodes(pos=graph.nodes["pos"] * torch.tensor(factors))).nodes[
        "x"
    ]
    assert volume(1, 1, 1).abs().max() > 1e-8
    torch.testing.assert_close(volume(1, 1, -1), -volume(1, 1, 1))
    assert volume(1, 1, 0).abs().max() < 1e-12


def test_heads_divide_the_copies():
    irreps, value = o3.Irreps("4x0e+2x1o"), draw(3, 10)
    heads = _by_head(value, irreps, 2)
    assert heads.shape == (3, 2, 5)
    assert torch.equal(heads[:, 1], value[:, [2, 3, 7, 8, 9]])
    assert torch.equal(_joined(heads, irreps), value)


def test_coincident_points_give_finite_numbers():
    graph, model = points("2x0e+2x1o"), layer("2x0e+2x1o")
    pos = torch.zeros(5, 3, dtype=torch.float64, requires_grad=True)
    y = model(graph.with_nodes(pos=pos)).nodes["x"]
    (slope,) = torch.autograd.grad(y.sum(), pos)
    assert y.isfinite().all()
    assert slope.isfinite().all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layer("3x0e+2x1o"), "2 heads do not divide the 3 copies of 0e"),
        (lambda: layer("2x0e", irreps_hidden="2x0o"), "No product of 2x0e .* gives 0o"),
        (lambda: layer("2x0e", cutoff=0.0), "cutoff 0.0"),
        (lambda: layer("2x0e")(complete_graph(draw(1, 2, 2), draw(1, 2, 2))), "one node set"),
        (lambda: layer("2x0e+2x1o")(points("2x0e")), r"\(nodes, 8\), but its shape is \(5, 2\)"),
        (lambda: layer("2x0e+2x1o")(points("2x1o+2x0e")), "reads irreps 2x0e.2x1o; nodes.x has 2x1o.2x0e"),
        (
            lambda: layer("2x0e")(Graph.create(torch.zeros(2, 0), {"x": torch.zeros(2, 2).double()})),
            "nodes.pos",
        ),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
