"""Draw docs/images/heat.png and docs/images/stability.png: python docs/pictures_spectral.py."""

from pathlib import Path

import torch
from matplotlib.collections import LineCollection

from sciml.graph import Graph
from sciml.nn.spectral import GraphFourier, heat_kernel, scattering_features, with_spectrum
from sciml.plotting.style import INK, MUTED, SERIES, label_ends, logarithmic, new_figure, tidy

torch.set_num_threads(1)
IMAGES = Path(__file__).parent / "images"
IMAGES.mkdir(exist_ok=True)


def two_rooms(number=1600, reach=0.06):
    """Random points in two rooms with a door in the wall between them, joined to all within reach."""
    points = torch.rand(number, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 1.0])
    inside = ((points[:, 0] - 1).abs() > 0.035) | ((points[:, 1] - 0.5).abs() < 0.06)
    pos = points[inside]
    near = (torch.cdist(pos, pos) < reach).fill_diagonal_(False)
    source = ((pos - torch.tensor([0.35, 0.3])).norm(dim=1) < 0.1).float()
    return Graph.create(near.nonzero().T, {"pos": pos, "x": source[:, None]})


def heat():
    graph = two_rooms()
    figure = new_figure(11, 2.1)
    for ax, time in zip(figure.subplots(1, 3), (0, 20, 200)):
        x = heat_kernel(graph, time).nodes["x"][:, 0]
        ends = graph.nodes["pos"][graph.edge_index.T]
        ax.add_collection(LineCollection(ends.numpy(), colors=MUTED, linewidths=0.25, zorder=0))
        pos = graph.nodes["pos"]
        dots = ax.scatter(pos[:, 0], pos[:, 1], c=x, s=7, cmap="inferno", vmin=0, vmax=float(x.max()))
        ax.set_aspect("equal")
        ax.axis("off")
        ax.set_title(f"t = {time}", color=INK, fontsize=10)
        bar = figure.colorbar(dots, ax=ax, shrink=0.8, aspect=12, pad=0.02)
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=8, length=0)
    save(figure, "heat")


def rings(epsilon):
    """A ring of 24, whose pairs of equal eigenvalues hardly differ, with weights changed by up to epsilon."""
    random = torch.Generator().manual_seed(0)
    W = torch.zeros(24, 24, dtype=torch.float64)
    for i in range(24):
        W[i, (i + 1) % 24] = W[(i + 1) % 24, i] = 1
    W[0, 12] = W[12, 0] = 1e-7
    noise = torch.rand(24, 24, generator=random, dtype=torch.float64)
    x = torch.randn(24, 1, generator=random, dtype=torch.float64)
    W = W * (1 + epsilon * (noise + noise.T) / 2)
    edges = W.nonzero().T
    return Graph.create(edges, {"x": x}, {"weight": W[edges[1], edges[0]]})


def fourier_moduli(graph):
    return GraphFourier()(with_spectrum(graph, "symmetric", "weight")).globals["spectrum"].abs()


def stability():
    figure = new_figure(5.4, 3.4)
    ax = tidy(figure.subplots())
    epsilons = [10.0**-k for k in range(6)]
    features = {
        "|Fourier|": fourier_moduli,
        "scattering": lambda graph: scattering_features(graph, weight="weight"),
    }
    ends = []
    for f, color in zip(features.values(), (SERIES[1], SERIES[0])):
        changes = [float((f(rings(e)) - f(rings(0))).norm() / rings(0).nodes["x"].norm()) for e in epsilons]
        ax.plot(epsilons, changes, "o-", color=color)
        ends.append(changes[0])
    logarithmic(ax.xaxis)
    logarithmic(ax.yaxis)
    ax.set_xlabel("relative change of the weights")
    ax.set_ylabel("change of the features / ‖x‖")
    label_ends(ax, ends, list(features), (SERIES[1], SERIES[0]))
    tidy(ax)
    save(figure, "stability")


def save(figure, name):
    figure.savefig(IMAGES / f"{name}.png", dpi=110, facecolor="white")
    print(IMAGES / f"{name}.png")


heat()
stability()
