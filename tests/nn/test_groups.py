"""Convolutions on groups: exact where the grid allows it, nearly so elsewhere, and right in special cases."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from sciml.builders import grid_graph, grid_values
from sciml.graph import Spec
from sciml.models.image_network import ImageNetwork
from sciml.nn import (
    ArrowReadout,
    GridConvolution,
    GroupConvolution,
    GroupPooling,
    LiftingConvolution,
    OnField,
    OrientedPooling,
)
from sciml.nn.groups import oriented_filters, to_plain
from sciml.symmetry import check, finite_group


def images(*shape, graphs=2, channels=2, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(graphs, channels, *shape, generator=random, dtype=torch.float64)


def smooth_disc(n=33):
    """Low-frequency images that vanish towards the border: what a rotation by any angle hardly blurs."""
    axis = torch.linspace(-1, 1, n, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    blobs = lambda cx, cy, w: torch.exp(-((x - cx) ** 2 + (y - cy) ** 2) / w**2)
    return (blobs(0.3, 0.1, 0.25) - 0.7 * blobs(-0.2, 0.35, 0.3) + 0.5 * blobs(-0.1, -0.4, 0.2))[None, None]


def turned(values, angle):
    """The image turned by an angle, from its rows towards its columns as the group's matrices turn."""
    c, s = torch.cos(angle), torch.sin(angle)
    # grid_sample speaks of (x, y) = (column, row), and looks up where each pixel comes from
    theta = torch.stack([torch.stack([c, -s, 0 * c]), torch.stack([s, c, 0 * c])])[None]
    grid = F.affine_grid(theta.expand(len(values), -1, -1), values.shape, align_corners=True)
    return F.grid_sample(values, grid, mode="bicubic", align_corners=True)


def test_lifting_is_a_convolution_with_turned_kernels():
    """p4: the kernel turned by hand, by rot90, an independent definition."""
    values, layer = images(6, 6), LiftingConvolution(2, 3, "C4").double()
    out = layer(grid_graph(values)).nodes["x"].unflatten(0, (2, 6, 6))  # graphs y x out elements
    kernel = layer.weight[:, :, 0].unflatten(-1, (3, 3))
    for k in range(4):
        expected = F.conv2d(values, kernel.rot90(k, (2, 3)), layer.bias, padding=1)
        torch.testing.assert_close(out[..., k].movedim(-1, 1), expected)


def test_the_group_of_one_element_is_a_plain_convolution():
    values, layer = images(5, 5), LiftingConvolution(2, 3, "C1").double()
    plain = GridConvolution(2, 3).double()
    plain.weight = nn.Parameter(layer.weight.detach()[:, :, 0].unflatten(-1, (3, 3)))
    plain.bias = layer.bias
    graph = grid_graph(values)
    torch.testing.assert_close(layer(graph).nodes["x"][..., 0], plain(graph).nodes["x"])


def test_a_lattice_of_quarter_turns_has_its_own_matrices():
    """Pixels: each orientation permutes the window's places; four quarter turns are none."""
    filters = oriented_filters(finite_group("C4"), 5, "pixels")
    assert filters[0].equal(torch.eye(25, dtype=torch.float64))
    torch.testing.assert_close(torch.linalg.matrix_power(filters[1], 4), filters[0])
    assert filters.sum(1).eq(1).all()


@pytest.mark.parametrize("group", ["C8", "C6", "D8", "C16"])
def test_eighth_turns_hold_nearly(group):
    """A network with harmonic filters gives a turned image nearly the same; one of fewer turns does not."""
    torch.manual_seed(0)
    values, angle = smooth_disc(), torch.tensor(2 * torch.pi / int(group[1:]), dtype=torch.float64)
    both = grid_graph(torch.cat([values, turned(values, angle)]))

    def difference(group, kernel=7):
        layers = nn.Sequential(
            LiftingConvolution(1, 4, group, kernel, basis="harmonics"),
            OnField(nn.Tanh()),
            GroupConvolution(4, 4, group, kernel, basis="harmonics"),
            GroupPooling("max"),
        ).double()
        pooled = grid_values(layers(both)).mean((2, 3)).detach()
        return float((pooled[0] - pooled[1]).norm() / pooled[0].norm())

    assert difference(group) < 0.02
    assert difference("C2") > 3 * difference(group)


@pytest.mark.parametrize("group", ["C4", "D4", "C8"])
@pytest.mark.parametrize("size", [8, 12])
def test_a_network_is_invariant_under_the_turns_of_the_grid(group, size):
    torch.manual_seed(0)
    network = ImageNetwork(3, 2, (4, 4), 3, (2, 1), group).double()
    turns = "D4" if group == "D4" else "C4"
    report = check(network, grid_graph(images(size, size)), symmetry=(turns,))
    assert report.ok, report
    assert report.rows[0].error < 1e-12
    plain = ImageNetwork(3, 2, (4, 4), 3, (2, 1)).double()
    assert not check(plain, grid_graph(images(size, size)), symmetry=(turns,)).ok


def test_strided_convolutions_are_equivariant_on_sizes_that_fit():
    layer = GroupConvolution(2, 2, stride=2).double()
    lift = LiftingConvolution(2, 2).double()
    assert check(nn.Sequential(lift, layer), grid_graph(images(7, 7)), symmetry=("C4",)).ok
    with pytest.raises(ValueError, match=r"kernel 3 and stride 2, axis 0 of 8 points.*2 m \+ 1"):
        layer(lift(grid_graph(images(8, 8))))


def test_arrows_turn_with_the_image():
    """An edge detector of arrows: equivariant as 1o; the same numbers as scalars are not."""
    torch.manual_seed(0)
    model = nn.Sequential(LiftingConvolution(2, 3), OnField(nn.Tanh()), ArrowReadout()).double()
    only = lambda graph: graph.with_nodes({"v": Spec("1o")}, v=model(graph).nodes["v"])
    assert check(only, grid_graph(images(6, 6)), symmetry=("C4",)).ok
    scalars = lambda graph: graph.with_nodes({"v": Spec()}, v=model(graph).nodes["v"].flatten(1))
    assert not check(scalars, grid_graph(images(6, 6)), symmetry=("C4",)).ok


@pytest.mark.parametrize("group", [None, "C4", "D4", "C8"])
@pytest.mark.parametrize("pool", [(2, 1), (1, 1)])
def test_export_gives_the_same_scores(group, pool):
    torch.manual_seed(0)
    network, values = ImageNetwork(3, 2, (4, 3), 3, pool, group).double(), images(8, 8)
    network(grid_graph(3 + 2 * values))  # statistics of the normalization that are not those of the start
    network.eval()
    plain = network.plain()
    assert not any(isinstance(m, LiftingConvolution | GridConvolution) for m in plain.modules())
    torch.testing.assert_close(plain(values), network(grid_graph(values)).globals["logits"])


def test_export_of_periodic_volumes():
    torch.manual_seed(0)
    layers = [
        LiftingConvolution(2, 1, "Oct"),
        OnField(nn.ReLU()),
        GroupConvolution(1, 1, "Oct"),
        GroupPooling("mean"),
    ]
    layers, values = [m.double() for m in layers], images(3, 3, 3)
    expected = grid_values(nn.Sequential(*layers)(grid_graph(values, periodic=True)))
    torch.testing.assert_close(to_plain(layers, periodic=True)(values), expected)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (GridConvolution(1, 1, 2), "even kernel"),
        (OrientedPooling("C4", 2, stride=1), "stride is its kernel"),
        (OnField(nn.Linear(2, 2)), "Linear on a field"),
        (ArrowReadout(), "ArrowReadout has no counterpart"),
    ],
)
def test_what_cannot_be_exported_is_said(layer, message):
    with pytest.raises(TypeError, match=message):
        to_plain(layer)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GroupConvolution(1, 1, "C5", basis="pixels"), "C5 does not map the grid"),
        (lambda: GroupConvolution(1, 1, "C4", 4), "Kernel 4"),
        (lambda: GroupConvolution(1, 1, "Oct", basis="harmonics"), "Oct acts in 3D"),
        (lambda: GroupConvolution(1, 1, "C0"), "Unknown finite group"),
        (lambda: GroupConvolution(1, 1, "C4", basis="waves"), "Unknown basis"),
        (lambda: GroupPooling("median"), "choose max or mean"),
        (lambda: ImageNetwork(2, 1, (4, 4), 3, (2,)), "one length"),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (GroupConvolution(2, 2), (6, 6), "Lift scalars first"),
        (LiftingConvolution(3, 2), (6, 6), r"takes \(nodes, 3\) scalars"),
        (LiftingConvolution(2, 2), (6, 5), r"only if it is square; this one is \(6, 5\)"),
        (LiftingConvolution(2, 2, "C4", 7), (6, 6), "spans 7 points"),
        (OrientedPooling("C4", 2), (7, 7), "a multiple of 2"),
        (GroupPooling(), (6, 6), "regular representation"),
    ],
)
def test_bad_fields_are_named(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.double()(grid_graph(images(*shape)))


def test_a_field_of_another_group_is_named():
    lifted = LiftingConvolution(2, 2, "C8").double()(grid_graph(images(6, 6)))
    with pytest.raises(ValueError, match=r"regular C4; nodes\.x has shape .*, regular C8"):
        GroupConvolution(2, 2, "C4").double()(lifted)
    with pytest.raises(ValueError, match=r"takes .* scalars.*regular C8"):
        LiftingConvolution(2, 2, "C8").double()(lifted)


# ------------------------------------------------------------------- in space


def screws(turns=slice(None)):
    """Left- and right-handed screws of four cubes, in 24 orientations (or some), with their labels."""
    screw = torch.zeros(5, 5, 5, dtype=torch.float64)
    for place in ((2, 2, 2), (3, 2, 2), (3, 3, 2), (3, 3, 3)):
        screw[place] = 1.0
    steps = torch.cartesian_prod(*(torch.arange(5),) * 3) - 2
    matrices = finite_group("Oct").matrices[turns]
    source = (torch.einsum("gji,pj->gpi", matrices, steps.double()).round().long() + 2).unbind(-1)
    images = torch.cat([hand[source].reshape(-1, 1, 5, 5, 5) for hand in (screw, screw.flip(0))])
    return images, torch.arange(2).repeat_interleave(len(matrices))


def fitted(group):
    """A classifier of random features whose head is fitted to each hand in one orientation only."""
    torch.manual_seed(0)
    network = ImageNetwork(2, 1, (4, 4), 3, (1, 1), group, dim=3).double().eval()
    images, labels = screws([0])
    with torch.no_grad():
        features = network.layers(grid_graph(images)).globals["x"]
        centred = torch.linalg.pinv(features - features.mean(0)) @ (F.one_hot(labels).double() - 0.5)
        network.head.weight.copy_(centred.T)
        network.head.bias.copy_(-features.mean(0) @ centred)
    return network


def test_volumes_are_told_apart_in_all_24_orientations():
    """Seen upright only: the octahedral network knows every turn, exactly; a plain one does not."""
    images, labels = screws()
    scores = fitted("Oct")(grid_graph(images)).globals["logits"]
    assert scores.argmax(1).equal(labels)
    for hand in scores.split(24):
        torch.testing.assert_close(hand, hand[:1].expand_as(hand))
    plain = fitted(None)(grid_graph(images)).globals["logits"]
    assert (plain.argmax(1) != labels).double().mean() > 0.2


def test_with_mirrors_the_two_hands_are_one():
    torch.manual_seed(0)
    network = ImageNetwork(2, 1, (2, 2), 3, (1, 1), "Oh").double().eval()
    scores = network(grid_graph(screws()[0])).globals["logits"]
    torch.testing.assert_close(scores, scores[:1].expand_as(scores))


@pytest.mark.parametrize("group", ["Oct", "Oh"])
def test_networks_on_volumes_are_invariant_and_exported(group):
    torch.manual_seed(0)
    network, values = ImageNetwork(3, 2, (2, 2), 3, (2, 1), group).double(), images(6, 6, 6)
    report = check(network, grid_graph(values))
    assert report.ok, report
    network(grid_graph(3 + 2 * values))  # statistics of the normalization that are not those of the start
    network.eval()
    torch.testing.assert_close(network.plain()(values), network(grid_graph(values)).globals["logits"])


def test_arrows_in_space_turn_with_the_volume():
    torch.manual_seed(0)
    model = nn.Sequential(LiftingConvolution(2, 2, "Oct"), OnField(nn.Tanh()), ArrowReadout("Oct")).double()
    only = lambda graph: graph.with_nodes({"v": Spec("1o")}, v=model(graph).nodes["v"])
    assert check(only, grid_graph(images(4, 4, 4)), symmetry=("Oct",)).ok
