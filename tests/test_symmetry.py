"""The checker must pass what is symmetric and find what is not, for every group."""

import math

import pytest
import torch
from torch import nn

from sciml.builders import grid_graph
from sciml.graph import Graph, Spec, batch
from sciml.symmetry import GROUPS, Symmetry, SymmetryError, check
from sciml.symmetry.irreps import dimension, parse, total_size
from sciml.symmetry.permutation import EdgeOrder

VECTOR = {"force": Spec("1o")}


def particles(nodes=5, dim=3, dtype=torch.float64, seed=0, **fields):
    random = torch.Generator().manual_seed(seed)
    sender, receiver = (~torch.eye(nodes, dtype=torch.bool)).nonzero().T
    keep = torch.rand(len(sender), generator=random) < 0.8
    draw = lambda *shape: torch.randn(*shape, generator=random, dtype=dtype)
    return Graph.create(
        torch.stack([sender, receiver])[:, keep],
        nodes={"pos": draw(nodes, dim), "mass": draw(nodes).exp(), "vel": draw(nodes, dim), **fields},
        edges={"weight": draw(int(keep.sum())).exp()},
        specs={("nodes", "vel"): Spec("1o")},
    )


def aggregate(graph, message):
    return torch.zeros(graph.num_nodes, *message.shape[1:], dtype=message.dtype).index_add(
        0, graph.receiver, message
    )


def gravity(graph):
    r = graph.edge_vectors()
    strength = graph.nodes["mass"][graph.sender] * graph.edges["weight"] / r.norm(dim=-1) ** 3
    return graph.with_nodes(VECTOR, force=-aggregate(graph, strength[:, None] * r))


def spring(graph):
    """Linear in positions, so equivariant under stretches too: it must pass all the same."""
    return graph.with_nodes(VECTOR, force=-aggregate(graph, graph.edge_vectors()))


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("layer", [gravity, spring])
def test_what_is_symmetric_passes(layer, dim, dtype):
    report = check(layer, particles(dim=dim, dtype=dtype), symmetry=("S", "T", "O"))
    report.raise_if_failed()
    assert [row.group for row in report.rows] == ["S(n)", "T(d)", "O(d)", "edge order", "batch"]
    assert all(row.change > 1e-3 for row in report.rows[:3])


def by_number(graph):
    return graph.with_nodes(x=graph.nodes["mass"] * torch.arange(graph.num_nodes))


def first_edge_wins(graph):
    start = graph.row_pointer[:-1].clamp(max=graph.num_edges - 1)
    return graph.with_nodes(x=graph.edges["weight"][start] * graph.nodes["mass"])


def absolute(graph):
    return graph.with_nodes(x=graph.nodes["pos"].square().sum(-1))


def one_component(graph):
    return graph.with_nodes(x=aggregate(graph, graph.edge_vectors()[:, 0]))


def handed(graph):
    """Signed volume of neighbouring vectors: a pseudoscalar, given out as a scalar."""
    r, vel = graph.edge_vectors(), graph.nodes["vel"]
    cross = torch.linalg.cross(vel[graph.sender], vel[graph.receiver])
    return graph.with_nodes(x=aggregate(graph, (cross * r).sum(-1)))


def whole_batch_mean(graph):
    return graph.with_nodes(x=graph.nodes["mass"] - graph.nodes["mass"].mean())


@pytest.mark.parametrize(
    ("layer", "group", "fault"),
    [
        (by_number, "S", "S(n)"),
        (first_edge_wins, "S", "edge order"),
        (absolute, "T", "T(d)"),
        (one_component, "O", "O(d)"),
        (one_component, "SO", "SO(d)"),
        (handed, "O", "O(d)"),
        (whole_batch_mean, "S", "batch"),
    ],
)
def test_what_is_not_symmetric_is_found(layer, group, fault):
    report = check(layer, particles(), symmetry=(group,))
    assert not report.ok
    assert fault in {row.group for row in report.rows if not row.ok}


@pytest.mark.parametrize("group", ["S", "T", "SO", "O"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_constant_does_not_pass(group, value):
    constant = lambda graph: torch.full((graph.num_nodes,), value, dtype=torch.float64)
    (row, *_) = check(constant, particles(), symmetry=(group,)).rows
    assert row.error == 0
    assert row.change == 0
    assert "unmoved" in row.problem


def test_nodewise_and_set_functions_hold_permutations():
    for layer in (
        lambda g: g.with_nodes(x=g.nodes["mass"].log()),
        lambda g: torch.zeros(g.num_graphs, dtype=torch.float64).index_add(
            0, g.node_graph, g.nodes["mass"].log()
        ),
        lambda g: g.with_edges(y=g.edges["weight"].log()),
    ):
        check(layer, particles(), symmetry=("S",)).raise_if_failed()


def test_labels_are_seen_by_permutations():
    graph = particles(kind=torch.tensor([0, 1, 2, 1, 0]))
    count = lambda g: torch.zeros(g.num_graphs).index_add(0, g.node_graph, (g.nodes["kind"] == 1).float())
    check(count, graph, symmetry=("S",)).raise_if_failed()


def test_chirality_tells_so_from_o():
    pseudo = lambda graph: handed(graph).with_nodes({"x": Spec("0o")})
    check(handed, particles(), symmetry=("T", "SO")).raise_if_failed()
    check(pseudo, particles(), symmetry=("T", "O")).raise_if_failed()
    row = check(gravity, particles(), symmetry=("SO",)).rows[0]
    assert "mirror image" in row.problem  # gravity holds O(3): declaring SO(3) says too little


def test_vorticity_in_the_plane_is_a_pseudoscalar():
    def curl(graph):
        r, v = graph.edge_vectors(), graph.nodes["vel"][graph.sender]
        return graph.with_nodes(
            {"curl": Spec("0o")}, curl=aggregate(graph, r[:, 0] * v[:, 1] - r[:, 1] * v[:, 0])
        )

    check(curl, particles(dim=2), symmetry=("S", "T", "O")).raise_if_failed()


def test_second_degree_turns_as_spherical_harmonics_do():
    from e3nn import o3

    spec = Spec("2x0e+1o+2e")

    def harmonics(graph):
        r = graph.edge_vectors()
        parts = [r.norm(dim=-1, keepdim=True).repeat(1, 2), r, o3.spherical_harmonics(2, r, False)]
        return graph.with_nodes({"y": spec}, y=aggregate(graph, torch.cat(parts, dim=-1)))

    check(harmonics, particles(), symmetry=("S", "T", "O")).raise_if_failed()
    wrong = lambda graph: harmonics(graph).with_nodes({"y": Spec("2x0e+1o+2o")})
    assert not check(wrong, particles(), symmetry=("O",)).ok


def test_axes_before_the_last_are_channels():
    def channels(graph):
        r = graph.edge_vectors()
        both = torch.stack([r, r / r.norm(dim=-1, keepdim=True)], dim=1)  # edges 2 dim
        return graph.with_nodes({"y": Spec("1o")}, y=aggregate(graph, both))

    check(channels, particles(), symmetry=("S", "T", "O")).raise_if_failed()


def test_new_positions_translate():
    def step(graph):
        return graph.with_nodes(pos=graph.nodes["pos"] + 0.1 * gravity(graph).nodes["force"])

    check(step, particles(), symmetry=("S", "T", "O")).raise_if_failed()
    drift = lambda graph: graph.with_nodes(pos=1.1 * graph.nodes["pos"])
    assert not check(drift, particles(), symmetry=("T",)).ok


def test_two_sided_graphs():
    random = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)
    graph = Graph.create(
        torch.tensor([[0, 1, 2, 3, 3], [0, 0, 1, 1, 2]]),
        nodes={"pos": draw(3, 3)},
        senders={"pos": draw(4, 3), "charge": draw(4)},
    )

    def field(graph):
        r = graph.edge_vectors()
        charge = graph.senders["charge"][graph.sender]
        return graph.with_nodes(VECTOR, force=aggregate(graph, (charge / r.norm(dim=-1) ** 3)[:, None] * r))

    check(field, graph, symmetry=("S", "T", "O")).raise_if_failed()
    numbered = lambda g: field(g).with_nodes(
        x=aggregate(g, g.sender.double() * g.senders["charge"][g.sender])
    )
    assert not check(numbered, graph, symmetry=("S",)).ok


def crystal():
    random = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64)
    return Graph.create(
        torch.tensor([[0, 1, 2, 0, 1], [1, 0, 1, 2, 2]]),
        nodes={"pos": draw(3, 3)},
        edges={"shift": torch.tensor([[0, 0, 1], [0, 0, -1], [1, 0, 0], [0, 0, 0], [0, 1, 0]])},
        globals={"cell": (4 * torch.eye(3, dtype=torch.float64) + 0.3 * draw(3, 3))[None]},
    )


def test_periodic_images():
    length = lambda graph: graph.with_edges(length=graph.edge_vectors().norm(dim=-1))
    check(length, crystal(), symmetry=("S", "T", "O", "images")).raise_if_failed()
    open_space = lambda graph: graph.with_edges(
        length=(graph.nodes["pos"][graph.receiver] - graph.nodes["pos"][graph.sender]).norm(dim=-1)
    )
    assert not check(open_space, crystal(), symmetry=("images",)).ok
    with pytest.raises(ValueError, match=r"globals\.cell"):
        check(length, particles(), symmetry=("images",))


@pytest.mark.parametrize("name", ["S", "T", "SO", "O", "images"])
def test_actions_keep_distances_and_the_order_of_receivers(name):
    """Distances are invariant under every group of space, the cell included, and edges stay sorted."""
    graph = batch([crystal(), crystal()])
    group, random = GROUPS[name], torch.Generator().manual_seed(1)
    element = group.sample(graph, random)
    moved = group.act(element, graph)
    lengths = lambda graph: graph.edge_vectors().norm(dim=-1)
    by_pair = lambda graph: lengths(graph).sort().values
    torch.testing.assert_close(by_pair(moved), by_pair(graph))
    assert (moved.receiver.diff() >= 0).all()
    assert moved.edge_graph.equal(graph.edge_graph)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("shifts", (3, 4)), ("Ci", (5,)), ("C2", (3, 4)), ("C4", (4, 4)), ("D4", (3, 3)), ("Oct", (3, 3, 3))],
)
def test_actions_on_grids_are_undone_by_their_inverse(name, shape):
    """g⁻¹ (g x) = x for scalars, arrows and regular fields, and values only change places."""
    random, group = torch.Generator().manual_seed(0), GROUPS[name]
    values = torch.randn(2, 2, *shape, generator=random, dtype=torch.float64)
    graph = grid_graph(values, periodic=True)
    arrow = torch.randn(graph.num_nodes, len(shape), generator=random, dtype=torch.float64)
    specs = {"arrow": Spec("1o")} if name != "Ci" else {"arrow": Spec()}
    extra = {"arrow": arrow}
    if name in ("C2", "C4", "D4", "Oct"):
        order = {"C2": 2, "C4": 4, "D4": 8, "Oct": 24}[name]
        extra["y"] = torch.randn(graph.num_nodes, 3, order, generator=random, dtype=torch.float64)
        specs["y"] = Spec(regular=name)
    graph = graph.with_nodes(specs, **extra)
    element = group.sample(graph, random)
    inverse = -element if name == "shifts" else element.mT
    moved = group.act(element, graph)
    assert not moved.nodes["x"].equal(graph.nodes["x"])
    assert moved.layout == graph.layout
    for field, value in group.act(inverse, moved).nodes.items():
        torch.testing.assert_close(value, graph.nodes[field])
    assert moved.nodes["x"].sort(0).values.equal(graph.nodes["x"].sort(0).values)


def test_turns_of_grids_ask_for_square_ones():
    graph = grid_graph(torch.randn(1, 1, 3, 4, dtype=torch.float64))
    quarter = torch.tensor([[[0.0, -1.0], [1.0, 0.0]]], dtype=torch.float64)
    with pytest.raises(ValueError, match="does not map a grid of shape"):
        GROUPS["C4"].act(quarter, graph)
    with pytest.raises(ValueError, match="acts in 3 dimensions"):
        GROUPS["Oh"].sample(graph, torch.Generator())
    with pytest.raises(ValueError, match="needs a graph with a grid layout"):
        check(lambda g: g.with_nodes(y=g.nodes["pos"]), particles(), symmetry=("C4",))


def test_rotations_are_orthogonal_and_differ_between_graphs():
    graph = batch([particles(seed=1), particles(seed=2)])
    for name, sign in (("SO", 1), ("O", -1)):
        matrix = GROUPS[name].sample(graph, torch.Generator().manual_seed(0))
        torch.testing.assert_close(matrix @ matrix.mT, torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
        torch.testing.assert_close(
            torch.linalg.det(matrix), torch.full((2,), float(sign), dtype=torch.float64)
        )
        assert not torch.allclose(matrix[0], matrix[1])


def test_edge_order_leaves_nodes_alone():
    graph = particles()
    moved = EdgeOrder().act(EdgeOrder().sample(graph, torch.Generator().manual_seed(0)), graph)
    assert moved.nodes["pos"].equal(graph.nodes["pos"])
    assert moved.receiver.equal(graph.receiver)
    assert not moved.sender.equal(graph.sender)
    torch.testing.assert_close(gravity(moved).nodes["force"], gravity(graph).nodes["force"])


def test_representations_are_those_of_e3nn():
    from e3nn import o3

    from sciml.symmetry.irreps import representation

    matrix = GROUPS["O"].sample(particles(), torch.Generator().manual_seed(3))
    for irrep in map(o3.Irrep, ("0o", "1o", "1e", "2e", "2o", "3o", "3e", "6e")):
        ours = representation(matrix)(irrep.l, "e" if irrep.p == 1 else "o")
        theirs = irrep.D_from_matrix(matrix)  # by way of Euler angles: half the digits
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
        eye = torch.eye(irrep.dim, dtype=torch.float64)
        torch.testing.assert_close(ours[0] @ ours[0].mT, eye, atol=1e-12, rtol=0)


# ------------------------------------------------------------------- the call


class Module(nn.Module):
    symmetry = Symmetry(groups=("S", "T", "O"))

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 1)).double()

    def forward(self, graph):
        length = graph.edge_vectors().norm(dim=-1, keepdim=True)
        return torch.zeros(graph.num_graphs, dtype=length.dtype).index_add(
            0, graph.edge_graph, self.net(length)[:, 0]
        )


def test_modules_are_checked_in_evaluation_mode_and_put_back():
    model = Module().train()
    model.net[2].eval()
    check(model, particles()).raise_if_failed()
    assert model.training
    assert model.net[0].training
    assert not model.net[2].training


def test_forces_by_autograd_may_be_inside():
    class Forces(Module):
        def forward(self, graph):
            pos = graph.nodes["pos"].requires_grad_(True)
            energy = super().forward(graph).sum()
            return graph.with_nodes(VECTOR, force=-torch.autograd.grad(energy, pos)[0])

    graph = particles()
    with torch.no_grad():
        check(Forces(), graph).raise_if_failed()
    assert not graph.nodes["pos"].requires_grad


def test_bare_tensors_take_the_declared_meaning():
    force = lambda graph: gravity(graph).nodes["force"]
    check(force, particles(), symmetry=Symmetry(("S", "T", "O"), output=Spec("1o"))).raise_if_failed()
    assert not check(force, particles(), symmetry=("O",)).ok
    ring = Graph.create(
        torch.tensor([[0, 1, 2], [1, 2, 0]]),
        {"x": torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)},
    )
    square = lambda graph: graph.nodes["x"] ** 2
    with pytest.raises(ValueError, match=r"nodes and edges.*place="):
        check(square, ring, symmetry=("S",))
    check(square, ring, symmetry=Symmetry(("S",), place="nodes")).raise_if_failed()
    with pytest.raises(ValueError, match="none of them"):
        check(lambda graph: graph.nodes["mass"].sum(), particles(), symmetry=("S",))


def test_dicts_of_tensors_take_their_meanings_by_name():
    def both(graph):
        force = gravity(graph).nodes["force"]
        return {"force": force, "strength": force.norm(dim=-1)}

    vectors = Symmetry(("S", "T", "O"), output=VECTOR)
    report = check(both, particles(), symmetry=vectors)
    report.raise_if_failed()
    assert {row.output for row in report.rows} == {"nodes.force", "nodes.strength"}
    assert not check(both, particles(), symmetry=("O",)).ok
    with pytest.raises(TypeError, match="dict"):
        check(lambda graph: [gravity(graph)], particles(), symmetry=("S",))


def test_the_report_names_group_field_error_and_element():
    report = check(one_component, particles(), symmetry=("T", "O"))
    with pytest.raises(
        SymmetryError, match=r"(?s)O\(d\) on nodes\.x: not equivariant \(error .*element: tensor"
    ):
        report.raise_if_failed()
    text = str(report)
    assert "one_component" in text
    assert "each point displaced" in text
    assert report._repr_html_().count("<tr>") == 1 + len(report.rows)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_infinite_and_undefined_outputs_fail(value):
    broken = lambda graph: graph.with_nodes(x=graph.nodes["mass"] * value)
    report = check(broken, particles(), symmetry=("S",))
    assert not report.ok
    assert "not finite" in report.rows[0].problem


def test_checking_is_deterministic():
    first, second = (check(gravity, particles(), symmetry=("S", "T", "O"), seed=4) for _ in range(2))
    assert str(first) == str(second)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check(gravity, particles()), ValueError, "declares no symmetry"),
        (lambda: check(gravity, "graph.pt", symmetry=("S",)), TypeError, "not str"),
        (lambda: Symmetry(("T", "0")), ValueError, "Unknown group '0'"),
        (lambda: Symmetry(("SO", "O")), ValueError, "larger"),
        (lambda: Symmetry("ST"), TypeError, "tuple"),
        (lambda: check(gravity, particles(), symmetry="STO"), ValueError, "'STO'"),
        (lambda: check(lambda g: g, particles(), symmetry=("S",)), ValueError, "changes no field"),
        (lambda: check(lambda g: 1.0, particles(), symmetry=("S",)), TypeError, "float"),
        (lambda: check(gravity, particles(nodes=1), symmetry=("S",)), ValueError, "two or more nodes"),
        (lambda: parse("2x1"), ValueError, "notation"),
        (lambda: total_size("2e", 2), ValueError, "two dimensions"),
    ],
)
def test_wrong_calls_say_what_to_do(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_graphs_on_which_a_group_has_nothing_to_do():
    numbers = Graph.create(torch.zeros(2, 0), {"x": torch.ones(2)})
    double = lambda graph: graph.with_nodes(y=2 * graph.nodes["x"])
    with pytest.raises(ValueError, match="nothing to move"):
        check(double, numbers, symmetry=("T",))
    with pytest.raises(ValueError, match="nothing to turn"):
        check(double, numbers, symmetry=("O",))
    crooked = Graph.create(torch.zeros(2, 0), {"pos": torch.ones(2, 4)})
    with pytest.raises(ValueError, match=r"nodes\.pos \[1o\] has 4"):
        dimension(crooked)
    with pytest.raises(ValueError, match=r"nodes\.force has shape \(5, 2\)"):
        check(lambda g: g.with_nodes(VECTOR, force=g.nodes["pos"][:, :2]), particles(), symmetry=("O",))


def test_own_groups_can_be_passed():
    class Scale:
        """Similarity x -> s x of points, a group that the table does not hold."""

        name, contains = "scale", ()

        def sample(self, graph, generator):
            return 0.5 + torch.rand((), generator=generator, dtype=torch.float64)

        def act(self, element, graph):
            return graph.with_nodes(pos=element * graph.nodes["pos"])

        def outside(self, graph, generator):
            yield from GROUPS["T"].outside(graph, generator)

    directions = lambda g: g.with_edges(u=g.edge_vectors() / g.edge_vectors().norm(dim=-1, keepdim=True))
    check(directions, particles(), symmetry=(Scale(),)).raise_if_failed()
    assert not check(gravity, particles(), symmetry=(Scale(),)).ok
