import math

import contract
import numpy as np
import pytest
import torch
from cases.residue import RESIDUES, features
from contract import Case

from sciml.builders import complete_graph
from sciml.graph import Graph, Spec, batch
from sciml.nn.message_passing import Edges, recording
from sciml.nn.residue import (
    GeometricVectorPerceptron,
    GVPConvolution,
    InvariantPointAttention,
    RelationalConvolution,
    TriangleAttention,
    TriangleMultiplication,
    TypedEmbedding,
    TypedLinear,
)
from sciml.nn.residue.perceptron import ScalarVectorDropout
from sciml.nn.residue.triangles import triangles
from sciml.symmetry import check

close = lambda a, b: torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(seed=0):
    q, _ = torch.linalg.qr(draw(3, 3, seed=seed))
    return q * torch.linalg.det(q).sign()


def made(layer, *args, **options):
    torch.manual_seed(0)
    return layer(*args, **options).double().eval()


# ------------------------------------------------- geometric vector perceptrons


def test_perceptron_is_the_published_one():
    """Jing et al. 2021, algorithm 1, with the vector gate, written out for one row."""
    layer = made(GeometricVectorPerceptron, 4, 3, 5, 2, reflections=True)
    s, v = draw(7, 4), draw(7, 3, 3, seed=1)  # rows, channels, 3
    got_s, got_v = layer(s, v.mT)
    w = {name: p.detach().numpy() for name, p in layer.named_parameters()}
    for row in range(7):
        vh = w["first.vectors.weight"] @ v[row].numpy()
        norms = np.sqrt((vh**2).sum(1) + 1e-6)
        pre = w["first.scalars.weight"] @ s[row].numpy() + w["first.scalars.bias"]
        pre = pre + w["rest.lengths.weight"] @ norms
        scalars = pre / (1 + np.exp(-pre))
        gate = 1 / (1 + np.exp(-(w["rest.gate.weight"] @ scalars + w["rest.gate.bias"])))
        close(got_s[row], torch.from_numpy(scalars))
        close(got_v[row].mT, torch.from_numpy(gate[:, None] * (w["rest.vectors.weight"] @ vh)))


@pytest.mark.parametrize("reflections", [True, False])
def test_handedness_of_the_perceptron(reflections):
    """Three vectors and their mirror image: as one with reflections, two things without."""
    layer = made(GeometricVectorPerceptron, 2, 3, 4, 3, reflections=reflections)
    s, v = draw(6, 2), draw(6, 3, 3, seed=1)
    mirror = torch.diag(torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64))
    (s1, v1), (s2, v2) = layer(s, v), layer(s, mirror @ v)
    assert torch.allclose(s1, s2) == reflections
    assert torch.allclose(mirror @ v1, v2) == reflections


def test_what_lies_in_a_plane_has_no_handedness():
    """Its mirror image is itself, turned: the chiral layer must not tell them apart."""
    graph = features().without("nodes", "frame")
    flat = torch.diag(torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64))
    across = torch.diag(torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64))
    flat_graph = graph.with_nodes(pos=graph.nodes["pos"] @ flat, v=graph.nodes["v"] @ flat)
    mirrored = flat_graph.with_nodes(pos=flat_graph.nodes["pos"] @ across, v=flat_graph.nodes["v"] @ across)
    layer = made(GVPConvolution, 6, 3, 5)
    one, other = layer(flat_graph), layer(mirrored)
    close(one.nodes["x"], other.nodes["x"])
    solid = layer(graph).nodes["x"]
    solid_mirror = layer(graph.with_nodes(pos=graph.nodes["pos"] @ across, v=graph.nodes["v"] @ across))
    assert not torch.allclose(solid, solid_mirror.nodes["x"], rtol=1e-4)


def test_dropout_leaves_out_whole_vectors():
    dropout = ScalarVectorDropout(0.5).train()
    torch.manual_seed(0)
    _, v = dropout(torch.ones(50, 4), torch.ones(50, 3, 6))
    assert (v == v[:, :1]).all()
    assert set(v.unique().tolist()) == {0.0, 2.0}
    assert dropout.eval()(torch.ones(2, 4), torch.ones(2, 3, 6))[1].eq(1).all()


def test_messages_can_be_recorded():
    layer = made(GVPConvolution, 6, 3, 5)
    with recording(layer) as tape:
        layer(features())
    assert tape.messages["layer"][0].shape == (RESIDUES.num_edges, 6 + 9)
    assert tape.inputs["layer"][0]["r"].shape == (RESIDUES.num_edges, 1)


# ------------------------------------------------------ invariant point attention


def algorithm_22(layer, x, e, frames, pos):
    """Jumper et al. 2021, supplement, algorithm 22, literally: loops over pairs, global coordinates."""
    n, heads, c = len(x), layer.heads, layer.width
    points = lambda linear, i: linear(x[i]).reshape(heads, -1, 3)
    place = lambda i, p: p @ frames[i] + pos[i]  # T_i ∘ p
    unplace = lambda i, p: (p - pos[i]) @ frames[i].T  # T_i⁻¹ ∘ p
    q, k, v = (linear(x).reshape(n, heads, c) for linear in (layer.query, layer.key, layer.value))
    gamma = torch.nn.functional.softplus(layer.gamma)
    w_c, w_l = math.sqrt(2 / (9 * layer.points)), math.sqrt(1 / 3)
    rows = []
    for i in range(n):
        scores = []
        for j in range(n):
            distance = place(i, points(layer.query_points, i)) - place(j, points(layer.key_points, j))
            affinity = (q[i] * k[j]).sum(-1) / math.sqrt(c) + layer.pair(e[i, j])
            scores.append(w_l * (affinity - gamma * w_c / 2 * distance.square().sum((-1, -2))))
        a = torch.stack(scores).softmax(0)  # j heads
        pair = torch.einsum("jh,jc->hc", a, e[i])
        value = torch.einsum("jh,jhc->hc", a, v)
        sent = torch.stack([place(j, points(layer.sent_points, j)) for j in range(n)])
        seen = unplace(i, torch.einsum("jh,jhpx->hpx", a, sent))
        lengths = (seen.square().sum(-1) + 1e-6).sqrt()
        rows.append(torch.cat([part.flatten() for part in (pair, value, seen, lengths)]))
    return layer.output(torch.stack(rows))


def framed(n, seed=0, channels=4, edge_channels=3):
    """A complete graph of residues with frames, in nm so that the layer's unit is one."""
    graph = complete_graph(draw(1, n, channels, seed=seed), pos=draw(1, n, 3, seed=seed + 1))
    frames = torch.stack([rotation(seed + 2 + i) for i in range(n)]).flatten(1)
    graph = graph.with_nodes({"frame": Spec("2x1o+1x1e")}, frame=frames)
    return graph.with_edges(None, e=draw(graph.num_edges, edge_channels, seed=seed + 7))


def test_point_attention_is_algorithm_22():
    graph = framed(5)
    layer = made(InvariantPointAttention, 4, 3, heads=2, width=3, points=2, value_points=2, scale=1.0)
    e, frames = graph.edges["e"].reshape(5, 5, 3), graph.nodes["frame"].reshape(5, 3, 3)
    close(layer(graph).nodes["x"], algorithm_22(layer, graph.nodes["x"], e, frames, graph.nodes["pos"]))


def test_point_attention_without_content_is_a_gaussian_of_distance():
    """Points at the origins of frames, no queries, no pairs: weights ∝ exp(-γ √(P/54) r²) · const."""
    graph = framed(4)
    layer = made(InvariantPointAttention, 4, 3, heads=1, width=2, points=3, value_points=1, scale=1.0)
    with torch.no_grad():
        for linear in (layer.query, layer.pair, layer.query_points, layer.key_points):
            linear.weight.zero_()
    weight = layer.normalize(layer.score(Edges(graph)), graph)[:, 0].reshape(4, 4)
    r2 = torch.cdist(graph.nodes["pos"], graph.nodes["pos"]).square()
    close(weight, (-math.sqrt(1 / 3) / 2 * math.sqrt(2 / 27) * 3 * r2).softmax(1))


def test_point_attention_does_not_move_with_the_whole():
    """Exactly SE(3)-invariant, far from the origin too; and the mirror image is another structure."""
    graph = framed(6)
    layer = made(InvariantPointAttention, 4, 3)
    R, t = rotation(9), 100 * draw(3, seed=3)
    turned = graph.nodes["frame"].unflatten(1, (3, 3)) @ R.T
    moved = graph.with_nodes(pos=graph.nodes["pos"] @ R.T + t, frame=turned.flatten(1))
    torch.testing.assert_close(layer(graph).nodes["x"], layer(moved).nodes["x"], rtol=0, atol=1e-12)
    check(layer, graph).raise_if_failed()


def test_a_residue_without_frame_sees_no_direction():
    """What moves about it on a sphere, with its own frame, changes nothing; how far away it is, does."""
    layer = made(InvariantPointAttention, 4, 3, scale=1.0)
    edge = torch.tensor([[1], [0]])
    frames = torch.stack([torch.zeros(3, 3, dtype=torch.float64), rotation()])
    pos = torch.tensor([[0.0, 0, 0], [1.0, 0, 0]], dtype=torch.float64)
    x, e = draw(2, 4), draw(1, 3)

    def result(R, distance=1.0):
        nodes = {"x": x, "pos": distance * pos @ R.T, "frame": (frames @ R.T).flatten(1)}
        return layer(Graph.create(edge, nodes, {"e": e})).nodes["x"][0]

    here = result(torch.eye(3, dtype=torch.float64))
    assert here.isfinite().all()
    close(here, result(rotation(5)))
    assert not torch.allclose(here, result(torch.eye(3, dtype=torch.float64), distance=2.0))


@pytest.mark.parametrize("layer", [GVPConvolution, InvariantPointAttention])
def test_no_frames_at_all(layer):
    graph = features()
    bare = graph.with_nodes(frame=torch.zeros_like(graph.nodes["frame"])).to(torch.float32)
    leaf = bare.nodes["pos"].clone().requires_grad_()
    torch.manual_seed(0)
    model = layer(6, 3, 5) if layer is GVPConvolution else layer(6, 5)
    model(bare.with_nodes(pos=leaf)).nodes["x"].square().sum().backward()
    assert leaf.grad.isfinite().all()


# ----------------------------------------------------------------------- pairs


def table(n, channels=4, seed=0):
    graph = complete_graph(draw(1, n, 2, seed=seed))
    return graph.with_edges({"e": Spec(f"{channels}x0e")}, e=draw(n * n, channels, seed=seed + 1))


def thinned(graph, share=0.6, seed=0):
    """The same graph with some of its edges only."""
    keep = torch.rand(graph.num_edges, generator=torch.Generator().manual_seed(seed)) < share
    edges = {name: value[keep] for name, value in graph.edges.items()}
    return Graph.create(graph.edge_index[:, keep], graph.nodes, edges, node_counts=graph.node_counts)


def rows_by_pair(graph, value):
    return {(int(r), int(s)): v for (s, r), v in zip(graph.edge_index.T, value)}


@pytest.mark.parametrize("corner", ["outgoing", "incoming"])
@pytest.mark.parametrize("sparse", [False, True])
def test_triangle_multiplication_is_algorithms_11_and_12(corner, sparse):
    graph = thinned(table(5)) if sparse else table(5)
    layer = made(TriangleMultiplication, 4, 3, corner)
    z = layer.norm(graph.edges["e"])
    a, b = layer._sides(z)
    a, b = rows_by_pair(graph, a), rows_by_pair(graph, b)
    summed = []
    for s, r in graph.edge_index.T.tolist():
        i, j = r, s
        total = torch.zeros(3, dtype=torch.float64)
        for k in range(5):
            one, two = ((i, k), (j, k)) if corner == "outgoing" else ((k, i), (k, j))
            if one in a and two in b:
                total = total + a[one] * b[two]
        summed.append(total)
    expected = torch.sigmoid(layer.gate(z)) * layer.output(layer.inner_norm(torch.stack(summed)))
    close(layer(graph).edges["e"], expected)


@pytest.mark.parametrize("corner", ["outgoing", "incoming"])
@pytest.mark.parametrize("sparse", [False, True])
def test_triangle_attention_is_algorithms_13_and_14(corner, sparse):
    graph = thinned(table(5)) if sparse else table(5)
    layer = made(TriangleAttention, 4, 2, 3, corner)
    z = layer.norm(graph.edges["e"])
    q, k, v = (rows_by_pair(graph, part) for part in layer._projected(z))
    bias = rows_by_pair(graph, layer.bias(z))
    heard = []
    for s, r in graph.edge_index.T.tolist():
        i, j = r, s
        third = [((i, m), (j, m)) if corner == "outgoing" else ((m, j), (m, i)) for m in range(5)]
        third = [(side, other) for side, other in third if side in k and other in bias]
        if not third:
            heard.append(torch.zeros(6, dtype=torch.float64))
            continue
        score = torch.stack([(q[i, j] * k[side]).sum(-1) / 3**0.5 + bias[other] for side, other in third])
        values = torch.stack([v[side] for side, _ in third])
        heard.append((score.softmax(0)[..., None] * values).sum(0).flatten())
    expected = layer.output(torch.sigmoid(layer.gate(z)) * torch.stack(heard))
    close(layer(graph).edges["e"], expected)


def pairs_of(*edges, nodes):
    return Graph.create(torch.tensor(edges).T.reshape(2, -1), {"x": draw(nodes, 1)})


def test_how_many_triangles_there_are():
    ring = [(i, (i + 1) % 5) for i in range(5)]
    both = [*ring, *((b, a) for a, b in ring)]
    every = [(i, j) for i in range(4) for j in range(4) if i != j]
    count = lambda graph, corner="outgoing": triangles(graph, corner).num_edges
    assert count(pairs_of(*every, nodes=4)) == 4 * 3 * 2  # each pair has both other nodes
    assert count(pairs_of(*both, nodes=5)) == 0  # a ring of five has no triangle
    assert count(pairs_of((0, 1), (2, 1), (0, 2), nodes=3)) == 1  # pair (1, 2) from (1, 0), with (2, 0)
    assert count(pairs_of((0, 1), (2, 1), (0, 2), nodes=3), "incoming") == 1
    assert count(table(4)) == 4**3  # every k, the corners themselves too
    assert count(table(4), "incoming") == 4**3


@pytest.mark.parametrize("corner", ["outgoing", "incoming"])
def test_triangles_along_edges_keep_the_contract(corner):
    """On graphs that are not complete there is no dense path: all but the meta device, without values."""
    graph = thinned(batch([table(5, seed=0), table(4, seed=3)]))
    for make in (
        lambda: TriangleMultiplication(4, 3, corner),
        lambda: TriangleAttention(4, 2, 2, corner),
    ):
        case = Case("triangles", make, graph)
        for keep in (contract.precision, contract.gradients, contract.isolation, contract.lone_nodes):
            keep(case)
        contract.symmetry(case, torch.float64)


def test_triangles_need_one_edge_a_pair_and_one_node_set():
    with pytest.raises(ValueError, match="parallel edges"):
        triangles(pairs_of((0, 1), (0, 1), nodes=2), "outgoing")
    two = complete_graph(draw(1, 2, 3), draw(1, 3, 3)).with_edges(None, e=draw(6, 4))
    with pytest.raises(ValueError, match="one node set"):
        TriangleMultiplication(4)(two.to(torch.float32))
    with pytest.raises(ValueError, match="outgoing, incoming"):
        TriangleAttention(4, corner="inward")
    with pytest.raises(ValueError, match=r"edges\.e of shape \(edges, 8\)"):
        TriangleMultiplication(8).double()(table(3))


# ------------------------------------------------------------------ relational


@pytest.mark.parametrize("bases", [None, 2])
def test_relational_convolution_is_a_sum_over_kinds(bases):
    graph, relations = features(), 5
    layer = made(RelationalConvolution, 6, 4, relations=relations, bases=bases, edge_channels=5)
    x, kinds = graph.nodes["x"], graph.edges["relation"]
    expected = layer.own(x).clone()
    W, sent = layer.weights(), layer.edge(graph.edges["e"])
    for i in range(graph.num_nodes):
        for r in range(relations):
            edges = [e for e in range(graph.num_edges) if graph.receiver[e] == i and kinds[e, r]]
            for e in edges:
                expected[i] += (x[graph.sender[e]] + sent[e]) @ W[r] / len(edges)
    close(layer(graph).nodes["x"], expected)


def test_labels_of_relations_are_columns_of_them():
    graph = features().without("edges", "relation")
    label = torch.arange(graph.num_edges) % 3
    layer = made(RelationalConvolution, 6, relations=3)
    columns = torch.nn.functional.one_hot(label, 3).bool()
    close(
        layer(graph.with_edges({"relation": Spec(classes=3)}, relation=label)).nodes["x"],
        layer(graph.with_edges(None, relation=columns)).nodes["x"],
    )
    with pytest.raises(ValueError, match="counts 4 classes"):
        layer(graph.with_edges({"relation": Spec(classes=4)}, relation=label))


def test_edges_of_no_kind_carry_nothing():
    graph = features()
    layer = made(RelationalConvolution, 6, relations=5)
    none = graph.with_edges(None, relation=torch.zeros_like(graph.edges["relation"]))
    close(layer(none).nodes["x"], layer.own(graph.nodes["x"]))


def test_typed_maps_are_a_map_for_each_kind():
    x, kind = draw(7, 3), torch.tensor([0, 2, 1, 1, 0, 2, 2])
    linear = made(TypedLinear, 3, 4, 3)
    W, b = linear.all.weight.reshape(3, 4, 3), linear.all.bias.reshape(3, 4)
    close(linear(x, kind), torch.stack([W[k] @ row + b[k] for row, k in zip(x, kind)]))
    table = made(TypedEmbedding, {"a": 2}, 3, 5)
    label = torch.tensor([0, 1, 0, 1, 1, 0, 1])
    close(table({"a": label}, kind), table.tables["of_a"].weight[2 * kind + label])


# ----------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: GVPConvolution(depth=0), "depth=0"),
        (lambda: InvariantPointAttention(heads=0), "heads=0"),
        (lambda: RelationalConvolution(4, relations=0), "relations=0"),
        (lambda: RelationalConvolution(4, relations=2, bases=0), "bases=0"),
    ],
)
def test_sizes_must_be_positive(make, error):
    with pytest.raises(ValueError, match=error):
        make()


@pytest.mark.parametrize(
    ("layer", "error"),
    [
        (lambda: GVPConvolution(7, 3, 5), r"nodes\.x of shape \(nodes, 7\)"),
        (lambda: GVPConvolution(6, 4, 5), r"nodes\.v of shape \(nodes, 4, 3\)"),
        (lambda: InvariantPointAttention(6, 4), r"edges\.e of shape \(edges, 4\)"),
        (lambda: RelationalConvolution(6, relations=4), r"edges\.relation of shape \(edges, 4\)"),
    ],
)
def test_other_channels_are_named(layer, error):
    with pytest.raises(ValueError, match=error):
        layer().double()(features())
