"""Draw the pictures of docs/attention.md: python docs/pictures_attention.py."""

from pathlib import Path

import torch
from matplotlib.patches import Rectangle
from sklearn.datasets import load_digits

from sciml.builders import grid_graph, grid_values
from sciml.nn import GridConvolution, as_attention
from sciml.plotting.style import INK, MUTED, SERIES, legend, logarithmic, new_figure, tidy

torch.set_num_threads(1)
torch.manual_seed(0)
IMAGES = Path(__file__).parent / "images"
DIGIT = torch.from_numpy(load_digits().images[3])[None, None] / 16  # a three of 8 x 8
EDGES = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])  # Sobel: where it gets brighter to the right
ROW, COLUMN = 3, 4


def sobel() -> GridConvolution:
    layer = GridConvolution(1, 1, bias=False)
    layer.weight.data.copy_(EDGES)
    return layer.double()


def save(figure, name):
    path = IMAGES / name
    figure.savefig(path, dpi=110, facecolor="white")
    print(path)


def bare(ax, title=""):
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color(MUTED)
    ax.set_title(title, fontsize=10, color=INK)


def heads() -> None:
    """What each of the nine heads of one pixel attends to, soft and sharp."""
    graph = grid_graph(DIGIT)
    figure = new_figure(11, 4.2)
    middle, *sides = figure.subfigures(1, 3, width_ratios=(1.0, 1.35, 1.35))
    ax = middle.subplots()
    bare(ax, "a digit, its margin of zeros,\nand one pixel that asks")
    ax.imshow(torch.nn.functional.pad(DIGIT[0, 0], (1, 1, 1, 1)), cmap="gray_r")
    ax.add_patch(Rectangle((COLUMN + 0.5, ROW + 0.5), 1, 1, fill=False, color=SERIES[1], lw=2.5))
    ax.add_patch(Rectangle((0.5, 0.5), 8, 8, fill=False, color=MUTED, lw=1, ls=":"))
    for side, sharpness in zip(sides, (1.0, 60.0)):
        side.suptitle(f"the nine heads' weights, α = {sharpness:g}", fontsize=10, color=INK)
        layer = as_attention(sobel(), sharpness)
        weight = layer.attention.weights(layer.pairs(graph)).detach().reshape(8, 8, 10, 10, 9)
        for head, ax in enumerate(side.subplots(3, 3).flat):
            bare(ax)
            ax.imshow(weight[ROW, COLUMN, :, :, head], cmap="Blues", vmin=0, vmax=weight.max())
            ax.add_patch(Rectangle((COLUMN + 0.5, ROW + 0.5), 1, 1, fill=False, color=SERIES[1], lw=1.5))
    save(figure, "attention_heads.png")


def outputs() -> None:
    """The digit through the convolution, through attention, and the difference."""
    graph, layer = grid_graph(DIGIT), sobel()
    with torch.no_grad():
        first, second = (grid_values(m(graph))[0, 0] for m in (layer, as_attention(layer)))
        soft = grid_values(as_attention(layer, 2.0)(graph))[0, 0]
    figure = new_figure(11, 3.2)
    axes = figure.subplots(1, 4)
    bare(axes[0], "digit")
    axes[0].imshow(DIGIT[0, 0], cmap="gray_r")
    for ax, value, title in zip(
        axes[1:],
        (first, second, soft),
        (
            "convolution",
            f"attention, α = 60\nlargest difference {(first - second).abs().max():.0e}",
            f"attention, α = 2\nlargest difference {(first - soft).abs().max():.1f}",
        ),
    ):
        bare(ax, title)
        picture = ax.imshow(value, cmap="RdBu", vmin=-first.abs().max(), vmax=first.abs().max())
    figure.colorbar(picture, ax=axes[3], shrink=0.7)
    save(figure, "attention_convolution.png")


def sharpness() -> None:
    """The difference between convolution and attention falls as the exponential of the sharpness."""
    steps = torch.arange(1.0, 46.0, 1.0)
    figure = new_figure(5.6, 3.6)
    ax = figure.subplots()
    for color, shape in zip(SERIES, ((16,), (8, 8), (5, 5, 5))):
        dim = len(shape)
        layer = GridConvolution(1, 1, dim=dim).double()
        graph = grid_graph(torch.randn(1, 1, *shape, dtype=torch.float64))
        with torch.no_grad():
            exact = layer(graph).nodes["x"]
            errors = [(as_attention(layer, a)(graph).nodes["x"] - exact).abs().max() for a in steps.tolist()]
        errors = torch.stack(errors) / exact.abs().max()
        errors[errors == 0] = torch.nan  # equal to the last bit: no place on this axis
        ax.plot(steps, errors, "o", ms=3.5, color=color, label=f"{dim}D, {3**dim} heads")
    ax.plot(steps, torch.exp(-steps), color=MUTED, lw=1, label="exp(−α)")
    ax.axhline(torch.finfo(torch.float64).eps, color=MUTED, lw=1, ls=":")
    ax.annotate("rounding of float64", (1, 3e-16), color=MUTED, fontsize=8)
    logarithmic(ax.yaxis)
    ax.set(xlabel="sharpness α [1 / pixel²]", ylabel="largest relative difference")
    tidy(ax)
    legend(ax)
    save(figure, "attention_sharpness.png")


heads()
outputs()
sharpness()
