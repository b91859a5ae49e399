"""Convolution along edges is torch's convolution; pooling is torch's pooling; bad input is named."""

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from sciml.builders import grid_graph, grid_values
from sciml.graph import Spec
from sciml.nn import GlobalPooling, GridConvolution, GridPooling
from sciml.symmetry import Shifts, check, finite_group


def images(*shape, graphs=2, channels=3):
    return torch.randn(
        graphs, channels, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("fused", [True, False])
def test_zero_padding_is_torchs(dim, stride, fused):
    values = images(*(6, 5, 4)[:dim])
    layer = GridConvolution(3, 2, 3, dim=dim, stride=stride).double()
    layer.fused = fused
    convolve = (F.conv1d, F.conv2d, F.conv3d)[dim - 1]
    expected = convolve(values, layer.weight, layer.bias, stride, padding=1)
    torch.testing.assert_close(grid_values(layer(grid_graph(values))), expected)


def test_periodic_padding_is_torchs():
    values = images(5, 6)
    layer = GridConvolution(3, 2, 3, dilation=2).double()
    padded = F.pad(values, (2, 2, 2, 2), mode="circular")
    expected = F.conv2d(padded, layer.weight, layer.bias, dilation=2)
    torch.testing.assert_close(grid_values(layer(grid_graph(values, periodic=True))), expected)


@pytest.mark.parametrize("kind", ["max", "mean"])
@pytest.mark.parametrize("fused", [True, False])
def test_pooling_is_torchs(kind, fused):
    values = images(6, 4)
    layer = GridPooling(2, kind=kind)
    layer.fused = fused
    expected = (F.max_pool2d if kind == "max" else F.avg_pool2d)(values, 2)
    torch.testing.assert_close(grid_values(layer(grid_graph(values))), expected)


@pytest.mark.parametrize("fused", [True, False])
def test_mean_pooling_counts_only_what_is_there(fused):
    """A constant stays constant, up to the border and beyond what the window divides."""
    layer = GridPooling(3, stride=2, kind="mean")
    layer.fused = fused
    pooled = layer(grid_graph(torch.ones(1, 1, 5, 4, dtype=torch.float64), spacing=0.5))
    torch.testing.assert_close(pooled.nodes["x"], torch.ones(6, 1).double())
    assert pooled.nodes["pos"].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1]]


def test_global_mean_is_the_mean():
    values = images(3, 4)
    torch.testing.assert_close(GlobalPooling()(grid_graph(values)).globals["x"], values.mean((2, 3)))


def test_bounded_grids_have_no_shifts():
    with pytest.raises(ValueError, match="without a periodic axis"):
        check(GridConvolution(3, 3).double(), grid_graph(images(4, 4)))


def test_a_stride_breaks_odd_shifts():
    layer, graph = GridConvolution(3, 3, stride=2).double(), grid_graph(images(6, 6), periodic=True)
    assert check(layer, graph).ok
    assert check(layer, graph, symmetry=(Shifts(2),)).ok
    with pytest.raises(ValueError, match="no multiple of 4"):
        check(layer, graph, symmetry=(Shifts(4),))


@pytest.mark.parametrize("group", ["C4", "D4"])
def test_turns_hold_for_kernels_that_are_symmetric_themselves(group):
    """The average of a kernel over a group commutes with it; a mere kernel does not."""
    layer, graph = GridConvolution(3, 2, 5).double(), grid_graph(images(5, 5))  # of 3 x 3, C4 implies D4
    assert not check(layer, graph, symmetry=(group,)).ok
    with torch.no_grad():
        turned = [layer.weight.rot90(k, (2, 3)) for k in range(4)]
        if group == "D4":
            turned += [w.flip(3) for w in turned]
        layer.weight.copy_(sum(turned) / len(turned))
    report = check(layer, graph, symmetry=(group,))
    assert report.rows[0].error < 1e-12, report
    assert report.ok, report


def test_turns_turn_arrows():
    """Differences along the axes are an arrow field; as two scalars they would not be equivariant."""
    layer, graph = GridConvolution(1, 2, bias=False).double(), grid_graph(images(5, 5, channels=1))
    weight = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    weight[0, 0, 2, 1], weight[0, 0, 0, 1], weight[1, 0, 1, 2], weight[1, 0, 1, 0] = 1, -1, 1, -1
    layer.weight = torch.nn.Parameter(weight)

    def gradient(graph, spec):
        return graph.with_nodes({"g": Spec(spec)}, g=layer(graph).nodes["x"])

    assert check(lambda g: gradient(g, "1o"), graph, symmetry=("D4",)).rows[0].error < 1e-12
    assert not check(lambda g: gradient(g, "2x0e"), graph, symmetry=("C4",)).ok


@pytest.mark.parametrize(
    ("name", "size", "dim"), [("C8", 8, 2), ("D3", 6, 2), ("Oct", 24, 3), ("Oh", 48, 3), ("Ci", 2, 1)]
)
def test_finite_groups_are_groups(name, size, dim):
    group = finite_group(name)
    product, inverse = group.product, group.inverse
    assert (len(group), group.dim) == (size, dim)
    assert (product.sort(1).values == torch.arange(size)).all()  # a latin square
    assert (product[torch.arange(size), inverse] == 0).all()
    g, h, k = torch.randint(size, (3, 20), generator=torch.Generator().manual_seed(0))
    assert product[product[g, h], k].equal(product[g, product[h, k]])


def test_unknown_groups_are_named():
    with pytest.raises(ValueError, match="Unknown finite group 'C0'"):
        finite_group("C0")
    with pytest.raises(ValueError, match="no element of C4"):
        finite_group("C4").index(finite_group("C8").matrices[1])


@pytest.mark.parametrize(
    ("layer", "graph", "message"),
    [
        (GridConvolution(3, 2, 7), grid_graph(images(5, 5).float()), "spans 7 points along axis 0.*has 5"),
        (
            GridConvolution(3, 2, stride=2),
            grid_graph(images(6, 5).float(), periodic=True),
            "does not divide the 5",
        ),
        (GridConvolution(2, 2), grid_graph(images(6, 5).float()), r"takes 2 channels.*\(60, 3\)"),
        (GridConvolution(3, 2, dim=1), grid_graph(images(6, 5).float()), "for 1 dimensions; the grid has 2"),
        (GridPooling(6), grid_graph(images(5, 5).float()), "spans 6 points"),
    ],
)
@pytest.mark.parametrize("fused", [True, False])
def test_bad_input_is_named(layer, graph, message, fused):
    layer.fused = fused
    with pytest.raises(ValueError, match=message):
        layer(graph)


def test_a_graph_without_layout_needs_the_right_edges():
    graph = grid_graph(images(5, 5), kernel=5)
    renumbered = graph.replace(edge_index=graph.edge_index)
    with pytest.raises(ValueError, match=r"window of 9 points.*have 25 offsets"):
        GridConvolution(3, 2).double()(renumbered)
    with pytest.raises(ValueError, match="no field `offset`"):
        GridConvolution(3, 2).double()(renumbered.without("edges", "offset"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GridConvolution(1, 1, (3, 3, 3)), "3 values for 2 axes"),
        (lambda: GridConvolution(1, 1, dim=4), "dim=4"),
        (lambda: GridConvolution(1, 1, 0), "at least 1"),
        (lambda: GridPooling(kind="median"), "choose max or mean"),
    ],
)
def test_bad_options_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
