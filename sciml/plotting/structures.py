"""Pictures of structures: contact maps, coloured traces, networks, and a view to turn in notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from sciml.builders.residue.chemistry import SECONDARY, TYPES, unpack
from sciml.plotting.style import GRID, INK, MUTED, SERIES, axes, legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sciml.graph import Graph

    Values = str | Sequence[float] | np.ndarray | Any

FOLDS = {"helix": "HGI", "strand": "EB", "other": "-TS?"}  # letters of DSSP that share a colour
FOLD_COLORS = {"helix": SERIES[1], "strand": SERIES[0], "other": "#b6bcc4"}
CMAP = "viridis"
NAMED = {"surface": "accessible surface [Å²]", "exposure": "relative accessible surface"}
NAMED |= {"b_factor": "B-factor [Å²]", "plddt": "pLDDT"}


def contact_map(
    graph: Graph, ax: Axes | None = None, *, predicted: Float[np.ndarray, "edges"] | None = None
) -> Axes:
    """Draw which residues touch: a point for each contact, a strip of secondary structure at the border.

    Args:
        graph: of one structure, as `residue_graph` gives it.
        ax: to draw into.
        predicted: a value for each edge, drawn above the diagonal; below it are the distances.

    Raises:
        ValueError: a batch of several structures.
    """
    _single(graph)
    ax = _square(ax)
    sender, receiver = (index.cpu().numpy() for index in (graph.sender, graph.receiver))
    contact = graph.edges["kind"][:, 0].cpu().numpy()
    distance = graph.edges["distance"].cpu().numpy()
    lower = contact & (sender < receiver)
    size = max(0.6, min(16.0, (340.0 / max(graph.num_nodes, 1)) ** 2))
    options: dict[str, Any] = {
        "s": size,
        "marker": "s",
        "linewidths": 0,
        "rasterized": graph.num_edges > 5000,
    }
    points = ax.scatter(sender[lower], receiver[lower], c=distance[lower], cmap=f"{CMAP}_r", **options)
    _colorbar(ax, points, "distance [Å]")
    upper = sender > receiver
    if predicted is None:
        shown = upper & contact
        grey = [MUTED] * int(shown.sum())  # a list: points of one colour are drawn larger than others
        ax.scatter(sender[shown], receiver[shown], c=grey, **options)
    else:
        values = _numbers(predicted)
        above = ax.scatter(sender[upper], receiver[upper], c=values[upper], cmap="magma_r", **options)
        _colorbar(ax, above, "predicted")
    _fold_strip(ax, graph)
    limits = (-0.05 * graph.num_nodes - 0.5, graph.num_nodes - 0.5)
    ax.set(xlim=limits, ylim=limits[::-1], xlabel="residue", ylabel="residue", aspect="equal")
    _chain_ticks(ax, graph)
    return ax


def trace(
    graph: Graph, values: Values = "secondary", ax: Axes | None = None, *, label: str | None = None
) -> Axes:
    """Draw the chains through their residues, seen along the shortest axis of the structure.

    Args:
        graph: of one structure.
        values: name of a node field, or a value for each node, as of a prediction; "secondary" and
            "chain" have a colour for each class.
        ax: to draw into.
        label: of the colours.

    Raises:
        ValueError: a batch, an unknown field, or values that do not fit the nodes.
    """
    from matplotlib.collections import LineCollection

    _single(graph)
    ax = _square(ax)
    flat, depth = _projected(graph)
    coloring = _coloring(graph, values, label)
    pieces, row = _half_bonds(graph, flat)
    order = np.argsort(depth[row], kind="stable")  # what is near is drawn last
    near = (depth - depth.min()) / max(np.ptp(depth), 1e-9)
    for width, color in ((4.6, None), (3.0, coloring.colors)):
        widths = list(width * (0.6 + 0.4 * near[row][order]))
        drawn = "white" if color is None else list(color[row][order])
        ax.add_collection(
            LineCollection(list(pieces[order]), linewidths=widths, colors=drawn, capstyle="round")
        )
    alone = np.setdiff1d(np.arange(graph.num_nodes), row)
    ax.scatter(flat[alone, 0], flat[alone, 1], color=list(coloring.colors[alone]), s=10, zorder=3)
    _bare(ax, flat)
    coloring.explain(ax)
    return ax


def network(
    graph: Graph, values: Values = "exposure", ax: Axes | None = None, *, label: str | None = None
) -> Axes:
    """Draw residues as points and their contacts as lines, seen as in `trace`.

    Args, Raises: as `trace`; lines along the chain are dark.
    """
    from matplotlib.collections import LineCollection

    _single(graph)
    ax = _square(ax)
    flat, depth = _projected(graph)
    coloring = _coloring(graph, values, label)
    kinds = graph.edges["kind"].cpu().numpy()
    once = (graph.sender < graph.receiver).cpu().numpy()
    ends = graph.edge_index.T.cpu().numpy()
    for shown, color, width in ((once & ~kinds[:, 2], GRID, 0.7), (once & kinds[:, 2], MUTED, 1.4)):
        ax.add_collection(LineCollection(list(flat[ends[shown]]), colors=color, linewidths=width, zorder=1))
    order = np.argsort(depth, kind="stable")
    size = 26.0 if graph.num_nodes < 150 else 26.0 * (150 / graph.num_nodes)
    ax.scatter(
        flat[order, 0],
        flat[order, 1],
        color=list(coloring.colors[order]),
        s=size,
        zorder=2,
        edgecolors=INK,
        linewidths=0.3,
    )
    _bare(ax, flat)
    coloring.explain(ax)
    return ax


def structure_view(graph: Graph, values: Values = "secondary", *, width: int = 480, height: int = 360) -> Any:
    """Show the coloured trace in a notebook, to turn with the mouse.

    Returns:
        A py3Dmol view, which the notebook shows.

    Raises:
        ImportError: py3Dmol is not installed.
        ValueError: as `trace`.
    """
    try:
        import py3Dmol
    except ImportError as error:
        raise ImportError(
            "The view needs py3Dmol: pip install 'sciml[proteins]' (or pip install py3Dmol). "
            "sciml.plotting.trace draws the same without it."
        ) from error
    from matplotlib.colors import to_hex

    _single(graph)
    colors = _coloring(graph, values, None).colors
    view = py3Dmol.view(width=width, height=height)
    view.addModel(_mmcif(graph), "cif")
    for serial, color in enumerate(colors, start=1):
        style = {"cartoon": {"style": "trace", "color": to_hex(color)}}
        view.setStyle({"serial": serial}, style)
    view.zoomTo()
    return view


# -------------------------------------------------------------------- details


class _Coloring(NamedTuple):
    """A colour for each node, and what the colours mean."""

    colors: Float[np.ndarray, "nodes 4"]
    classes: dict[str, Any] | None
    low: float
    high: float
    label: str

    def explain(self, ax: Axes) -> None:
        """Add a legend of classes, or a bar of colours."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        from matplotlib.lines import Line2D

        if self.classes is None:
            _colorbar(ax, ScalarMappable(Normalize(self.low, self.high), CMAP), self.label)
            return
        lines = [Line2D([], [], color=color, linewidth=3, label=name) for name, color in self.classes.items()]
        legend(ax, handles=lines, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _coloring(graph: Graph, values: Values, label: str | None) -> _Coloring:
    from matplotlib import colormaps
    from matplotlib.colors import to_rgba_array

    if isinstance(values, str):
        if values == "secondary":
            fold = _folds(graph)
            names = [name for name in FOLDS if (fold == name).any()]
            colors = to_rgba_array([FOLD_COLORS[name] for name in fold])
            return _Coloring(colors, {name: FOLD_COLORS[name] for name in names}, 0, 1, "")
        if values == "chain":
            chain = graph.nodes["chain"].cpu().numpy()
            names = _chain_names(graph)
            palette = {name: SERIES[k % len(SERIES)] for k, name in enumerate(names)}
            return _Coloring(to_rgba_array([SERIES[c % len(SERIES)] for c in chain]), palette, 0, 1, "")
        if values not in graph.nodes:
            raise ValueError(f"There is no node field {values!r}; there are {', '.join(graph.nodes)}.")
        label = label or NAMED.get(values, values)
        values = graph.nodes[values]
    numbers = _numbers(values)
    if numbers.shape != (graph.num_nodes,):
        raise ValueError(
            f"values have shape {numbers.shape}; expected one for each of {graph.num_nodes} nodes."
        )
    finite = numbers[np.isfinite(numbers)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    colors = np.asarray(colormaps[CMAP]((numbers - low) / max(high - low, 1e-12)))
    colors[~np.isfinite(numbers)] = (0.8, 0.8, 0.8, 1.0)
    return _Coloring(colors, None, float(low), float(high), label or "")


def _folds(graph: Graph) -> np.ndarray:
    letters = np.array(SECONDARY)[graph.nodes["secondary"].cpu().numpy()]
    return np.array([next(name for name, of in FOLDS.items() if letter in of) for letter in letters])


def _numbers(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=float)


def _single(graph: Graph) -> None:
    if graph.num_graphs != 1:
        raise ValueError(f"A batch of {graph.num_graphs} structures: draw one at a time, graph[0].")


def _square(ax: Axes | None) -> Axes:
    return axes(None, 4.6, 4.0) if ax is None else ax


def _projected(graph: Graph) -> tuple[Float[np.ndarray, "nodes 2"], Float[np.ndarray, "nodes"]]:
    """Positions along the two longest axes of the structure, and nearness along the shortest."""
    pos = graph.nodes["pos"].detach().cpu().double().numpy()
    centred = pos - pos.mean(axis=0)
    turn = np.linalg.svd(centred, full_matrices=len(pos) < 3)[2][:3]
    turn[2] *= np.sign(np.linalg.det(turn)) or 1.0  # a picture is no mirror image
    seen = centred @ turn.T
    return seen[:, :2], seen[:, 2]


def _half_bonds(graph: Graph, flat: np.ndarray) -> tuple[np.ndarray, Int[np.ndarray, "pieces"]]:
    """Halves of the lines between neighbours along the chain, and the node that each belongs to."""
    chain, place = (graph.nodes[name].cpu().numpy() for name in ("chain", "place"))
    polymer = (graph.nodes["type"] < TYPES.index("ligand")).cpu().numpy()
    linked = (np.diff(chain) == 0) & (np.diff(place) == 1) & polymer[1:] & polymer[:-1]
    first = np.flatnonzero(linked)
    middle = (flat[first] + flat[first + 1]) / 2
    pieces = np.concatenate(
        [np.stack([flat[first], middle], axis=1), np.stack([middle, flat[first + 1]], axis=1)]
    )
    return pieces, np.concatenate([first, first + 1])


def _bare(ax: Axes, flat: np.ndarray) -> None:
    """No axes, but a bar that tells the size."""
    ax.set_axis_off()
    ax.set_aspect("equal")
    low, high = flat.min(axis=0) - 3, flat.max(axis=0) + 3
    ax.set(xlim=(low[0], high[0]), ylim=(low[1] - 5, high[1]))
    ax.plot([low[0] + 1, low[0] + 11], [low[1] - 3] * 2, color=INK, linewidth=1.5)
    ax.text(low[0] + 6, low[1] - 2, "10 Å", ha="center", va="bottom", fontsize=8, color=INK)


def _fold_strip(ax: Axes, graph: Graph) -> None:
    """Colour the border by secondary structure."""
    fold, at = _folds(graph), -0.03 * graph.num_nodes
    for name in ("helix", "strand"):
        rows = np.flatnonzero(fold == name)
        options: dict[str, Any] = {"color": FOLD_COLORS[name], "marker": "s", "s": 6, "linewidths": 0}
        ax.scatter(rows, np.full(len(rows), at), label=name, **options)
        ax.scatter(np.full(len(rows), at), rows, **options)
    legend(ax, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, markerscale=2, borderaxespad=0)


def _chain_names(graph: Graph) -> list[str]:
    chain, code = (graph.nodes[name].cpu().numpy() for name in ("chain", "chain_name"))
    first = np.flatnonzero(np.diff(chain, prepend=-1) > 0)
    return [unpack(code[row]) for row in first]


def _chain_ticks(ax: Axes, graph: Graph) -> None:
    """Lines between chains, and their names at the right."""
    chain = graph.nodes["chain"].cpu().numpy()
    start = np.flatnonzero(np.diff(chain, prepend=-1) != 0)
    if len(start) < 2:
        return
    for at in start[1:] - 0.5:
        ax.axvline(at, color=MUTED, linewidth=0.6)
        ax.axhline(at, color=MUTED, linewidth=0.6)
    names = [unpack(code) for code in graph.nodes["chain_name"].cpu().numpy()[start]]
    middle = (start + np.append(start[1:], len(chain))) / 2
    ax.set_xticks(middle, names)
    ax.set_yticks(middle, names)
    ax.set(xlabel="chain", ylabel="chain")
    ax.grid(visible=False)


def _colorbar(ax: Axes, mappable: Any, label: str) -> None:
    bar = ax.figure.colorbar(mappable, ax=ax, shrink=0.7, pad=0.02, aspect=25)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, colors=MUTED, labelcolor=INK)
    bar.set_label(label, fontsize=9, color=INK)


def _mmcif(graph: Graph) -> str:
    """Residues as single atoms in mmCIF, for viewers."""
    tags = "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_entity_id "
    tags += "label_seq_id auth_asym_id auth_seq_id pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy "
    tags += "B_iso_or_equiv pdbx_PDB_model_num"
    names = ("name", "chain_name", "place", "number")
    rows = zip(*(graph.nodes[name].tolist() for name in names), graph.nodes["pos"].tolist())
    lines = [
        f"ATOM {k} C CA . {unpack(name)} {unpack(chain)} 1 {place + 1} {unpack(chain)} {number} ? "
        f"{x:.3f} {y:.3f} {z:.3f} 1.0 0.0 1"
        for k, (name, chain, place, number, (x, y, z)) in enumerate(rows, start=1)
    ]
    return "data_graph\nloop_\n" + "".join(f"_atom_site.{tag}\n" for tag in tags.split()) + "\n".join(lines)
