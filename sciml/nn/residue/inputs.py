"""What a network sees of residues: named inputs, and nothing else of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sciml.graph import Graph, Place, Spec
from sciml.nn.about import About
from sciml.nn.radial import gaussians
from sciml.nn.residue.fields import read
from sciml.nn.residue.perceptron import direction, length
from sciml.symmetry import Symmetry

READS: dict[str, tuple[tuple[Place, str], ...]] = {
    "pos": (("nodes", "pos"),),
    "kind": (("edges", "kind"),),
    "place": (("edges", "separation"), ("edges", "same_chain")),
    "type": (("nodes", "type"),),
    "frame": (("nodes", "frame"), ("nodes", "frame_mask")),
    "cb": (("nodes", "cb"),),
    "torsion": (("nodes", "torsion"), ("nodes", "torsion_mask")),
    "secondary": (("nodes", "secondary"),),
    "exposure": (("nodes", "exposure"),),
}
"""The fields of a residue graph that each input reads; ``pos`` and ``kind`` are always inputs."""

REACH = 32  # places along the chain that are told apart; AlphaFold 2, supplement, algorithm 4
PLACES = 2 * REACH + 2  # classes of edges: places along the chain, and one for edges between chains
KINDS = ("contact", "nearest", "forward", "backward", "across")
"""Kinds of edges for relational layers: the sequence has a direction, and chains are told apart."""


class ResidueInputs(nn.Module):
    """Residue graphs to the features that layers read: ``x``, ``v`` on nodes, ``e``, ``relation`` on edges.

    ``x`` (nodes, channels) holds learned vectors of labels and maps of numbers; ``v`` (nodes, vectors, 3)
    maps of arrows (axes of the frame, Cβ), zero where there are none. ``e`` (edges, edge_channels) is a map
    of the distance of ``pos``, the edge's kinds, places along the chain, and directions in the frames of both
    ends, normalized. ``relation`` (edges, 5) are `KINDS`. All that comes of positions and frames has their
    derivatives.

    A residue without a frame (or torsion) has zeros there, and a flag that says so.

    Args:
        inputs: names in `READS`. ``place`` is the number of places from sender to receiver, clipped to ±32,
            or that they are in two chains; a network without it does not know the sequence's direction.
        channels, vectors, edge_channels: of the results.
        types, secondary: number of classes of the labels.
        reflections: read nothing that tells a mirror image apart: of frames e1 and e2 only, of torsions the
            cosine only.
        extent: largest distance in Å that is told apart, by ``distances`` Gaussians.

    Raises:
        ValueError: an unknown input; in use, a graph without the fields of an input.
    """

    about = About(
        domain="residues",
        content="labels and numbers of residues",
        geometry="distance, places along the chain, directions in local frames",
        equation=r"x_i = \sum_f E_f[\mathrm{label}_f(i)] + W\,\mathrm{numbers}_i",
        cost="nodes · channels + edges · 40 · edge_channels",
    )

    def __init__(
        self,
        inputs: Sequence[str] = ("place", "type", "frame"),
        channels: int = 64,
        vectors: int = 16,
        edge_channels: int = 32,
        *,
        types: int,
        secondary: int = 9,
        reflections: bool = False,
        distances: int = 16,
        extent: float = 20.0,
    ) -> None:
        super().__init__()
        self.inputs = check_inputs(inputs)
        self.channels, self.vectors, self.edge_channels = channels, vectors, edge_channels
        self.reflections, self.distances, self.extent = reflections, distances, extent
        has = self.inputs.__contains__
        sizes = {"type": types, "secondary": secondary}
        self.labels = nn.ModuleDict(
            {f"of_{name}": nn.Embedding(size, channels) for name, size in sizes.items() if has(name)}
        )
        axes = 2 if reflections else 3
        numbers = 1 + has("frame") + has("exposure") + (21 if not reflections else 14) * has("torsion")
        self.numbers = nn.Linear(numbers, channels, bias=False)  # the first number is 1
        arrows = axes * has("frame") + has("cb")
        self.arrows = nn.Linear(arrows, vectors, bias=False) if arrows else None
        local = (2 * axes + axes**2) * has("frame")
        self.edge = nn.Linear(distances + 3 + local, edge_channels)
        self.norm = nn.LayerNorm(edge_channels)
        self.places = nn.Embedding(PLACES, edge_channels) if has("place") else None
        mirror = has("frame") or has("torsion")
        self.symmetry = Symmetry(("S", "T", "SO" if mirror and not reflections else "O"))

    @property
    def reads(self) -> frozenset[tuple[Place, str]]:
        """The fields that are read, as (place, name)."""
        return frozenset(field for name in self.inputs for field in READS[name])

    def forward(self, graph: Graph) -> Graph:
        """Return a graph with these fields and ``pos`` and, where it is an input, ``frame``; no others."""
        for place, name in self.reads:
            if name not in (getattr(graph, place) or {}):
                raise ValueError(
                    f"Inputs {', '.join(self.inputs)} read {place}.{name}, which the graph lacks; build it "
                    "with sciml.builders.residue_graph, or leave the input out."
                )
        axes = self._axes(graph)
        nodes = {"pos": graph.nodes["pos"], "x": self._scalars(graph), "v": self._vectors(graph, axes)}
        if "frame" in self.inputs:
            nodes["frame"] = graph.nodes["frame"]
        edges = {"e": self._pairs(graph, axes), "relation": self._relations(graph)}
        specs: dict[tuple[Place, str], Spec] = {
            ("nodes", "x"): Spec(f"{self.channels}x0e"),
            ("nodes", "v"): Spec("1o"),
            ("edges", "e"): Spec(f"{self.edge_channels}x0e"),
        }
        for name in set(nodes) - {"x", "v"}:
            specs["nodes", name] = graph.spec("nodes", name)
        return graph.replace(nodes=nodes, edges=edges, globals={}, specs=specs)

    # -------------------------------------------------------------- nodes

    def _axes(self, graph: Graph) -> Float[Tensor, "nodes axes 3"] | None:
        if "frame" not in self.inputs:
            return None
        axes = read(graph, "nodes", "frame", "ResidueInputs", 9).unflatten(1, (3, 3))
        return axes[:, :2] if self.reflections else axes

    def _scalars(self, graph: Graph) -> Float[Tensor, "nodes channels"]:
        pos, nodes = graph.nodes["pos"], graph.nodes
        columns = [torch.ones_like(pos[:, :1])]
        if "frame" in self.inputs:
            columns.append(nodes["frame_mask"][:, None].to(pos.dtype))
        if "exposure" in self.inputs:
            columns.append(nodes["exposure"][:, None])
        if "torsion" in self.inputs:
            angle, there = nodes["torsion"], nodes["torsion_mask"].to(pos.dtype)
            columns += [angle.cos() * there, there] + [angle.sin() * there] * (not self.reflections)
        x = self.numbers(torch.cat(columns, dim=1))
        for name, table in self.labels.items():
            x = x + table(nodes[name.removeprefix("of_")])
        return x

    def _vectors(self, graph: Graph, axes: Tensor | None) -> Float[Tensor, "nodes vectors 3"]:
        pos = graph.nodes["pos"]
        if self.arrows is None:
            return pos.new_zeros(len(pos), self.vectors, 3)
        parts = [] if axes is None else [axes]
        if "cb" in self.inputs:
            parts.append((graph.nodes["cb"] - pos)[:, None])
        return self.arrows(torch.cat(parts, dim=1).mT).mT

    # -------------------------------------------------------------- edges

    def _pairs(self, graph: Graph, axes: Tensor | None) -> Float[Tensor, "edges edge_channels"]:
        vector = graph.edge_vectors()
        kind = read(graph, "edges", "kind", "ResidueInputs", 3).to(vector.dtype)
        columns = [gaussians(length(vector[..., None])[:, 0], self.distances, self.extent), kind]
        if axes is not None:
            own, other = axes.index_select(0, graph.receiver), axes.index_select(0, graph.sender)
            toward = direction(vector)[..., None]
            columns += [(own @ toward)[..., 0], (other @ toward)[..., 0], (own @ other.mT).flatten(1)]
        e = self.edge(torch.cat(columns, dim=1))
        if self.places is not None:
            e = e + self.places(place_classes(graph.edges["separation"], graph.edges["same_chain"]))
        return self.norm(e)

    def _relations(self, graph: Graph) -> Bool[Tensor, "edges relations"]:
        contact, nearest, sequence = graph.edges["kind"].bool().unbind(1)
        parts = [contact, nearest, sequence, torch.zeros_like(contact), torch.zeros_like(contact)]
        if "place" in self.inputs:
            forward = graph.edges["separation"] > 0
            parts[2:] = [sequence & forward, sequence & ~forward, ~graph.edges["same_chain"]]
        return torch.stack(parts, dim=1)


def place_classes(
    separation: Int[Tensor, "edges"], same_chain: Bool[Tensor, "edges"]
) -> Int[Tensor, "edges"]:
    """Return one of `PLACES` classes for each edge."""
    return torch.where(same_chain, separation.clamp(-REACH, REACH) + REACH, PLACES - 1)


def check_inputs(inputs: Sequence[str]) -> tuple[str, ...]:
    """Return the inputs, with those that are always there.

    Raises:
        TypeError: a single string.
        ValueError: an unknown one; the nearest is named.
    """
    if isinstance(inputs, str):
        raise TypeError(f"inputs is a sequence of names, as ({inputs!r},), not a string.")
    for name in inputs:
        if name not in READS:
            near = get_close_matches(name, READS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(READS)}."
            raise ValueError(f"Unknown input {name!r}; {hint}")
    return tuple(dict.fromkeys(("pos", "kind", *inputs)))
