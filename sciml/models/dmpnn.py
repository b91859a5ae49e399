"""A molecule to a vector, by messages along directed bonds."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.builders.molecule.labels import ATOM, BOND
from sciml.graph import Graph, Spec
from sciml.models.pooling import Pool, pooled
from sciml.nn.directed_messages import DirectedMessages
from sciml.nn.embedding import LabelEmbedding
from sciml.nn.environments import Environments, environments
from sciml.nn.message_passing import segment_reduce
from sciml.symmetry import Symmetry


class DMPNN(nn.Module):
    r"""Directed message-passing network (Yang et al. 2019, arXiv 1904.01561, equations 1 to 7).

        h⁰_vw = ReLU(W_i [x_v, e_vw])
        h_vw ← ReLU(h⁰_vw + W_m Σ_{k ∈ N(v) \ w} h_kv),  with the same W_m in all steps
        h_v = ReLU(W_a [x_v, Σ_{k ∈ N(v)} h_kv])

    and the vector of the molecule is the mean (or sum) of h_v. The maps of the labels x and e are tables of
    `LabelEmbedding`, looked up once for each atom and not for each bond.

    Args:
        channels: of bonds, atoms and the result.
        steps: how many bonds far a bond hears: T − 1 of the paper's, whose default of T is 3.
        dropout: of all states, in training.
        pool: how atoms are joined; see `pooled`.

    Input: graphs of `molecule_graph`. Output: ``globals["x"]`` of shape (molecules, channels) and
    ``nodes["x"]`` of shape (atoms, channels).
    """

    symmetry = Symmetry(("S",))
    fused = True  # compute each kind of edge once; False computes each edge

    def __init__(
        self, channels: int = 300, steps: int = 2, dropout: float = 0.0, pool: Pool = "mean"
    ) -> None:
        super().__init__()
        self.channels, self.steps, self.pool = channels, steps, pool
        atoms = {name: len(values) for name, values in ATOM.items()}
        bonds = {name: len(values) for name, values in BOND.items()}
        self.sending = LabelEmbedding(atoms, channels, field="x_sending")
        self.bonds = LabelEmbedding(bonds, channels, "edges", "e")
        self.step = DirectedMessages(channels, dropout)
        self.atoms = LabelEmbedding(atoms, channels, field="x_last")
        self.last = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, graph: Graph, kinds: Environments | None = None) -> Graph:
        """Return the graph with a vector for each molecule.

        Args:
            graph: the molecules.
            kinds: what `prepare` returned, where several networks with as many steps read the same graph.

        Raises:
            ValueError: graphs without the labels of `molecule_graph`.
        """
        kinds = self.prepare(graph) if kinds is None else kinds
        x = self._by_edges(graph) if kinds is None else self._by_kinds(graph, kinds)
        spec = {"x": Spec(f"{self.channels}x0e")}
        graph = graph.with_nodes(spec, x=x)
        return graph.with_globals(spec, x=pooled(graph, self.pool))

    def _by_edges(self, graph: Graph) -> Float[Tensor, "nodes channels"]:
        """The equations as they stand."""
        inner = self.bonds(self.sending(self.atoms(graph)))
        sent = inner.nodes["x_sending"].index_select(0, graph.sender)
        first = torch.relu(sent + inner.edges["e"])
        inner = inner.with_edges(h=first, h0=first)
        for _ in range(self.steps):
            inner = self.step(inner)
        heard = segment_reduce(inner.edges["h"], graph.receiver, graph.num_nodes)
        return self.dropout(torch.relu(inner.nodes["x_last"] + self.last(heard)))

    def prepare(self, graph: Graph) -> Environments | None:
        """Find the edges that may share one computation, since nothing can tell them apart.

        There are none where each has its own dropout or is recorded; nor on devices that would have to wait
        until the kinds are counted.
        """
        if not self.fused or graph.device.type != "cpu" or torch.compiler.is_compiling():
            return None
        if (self.training and self.dropout.p) or self.step._recording is not None:
            return None
        self.sending.check(graph)
        self.bonds.check(graph)
        return environments(graph, ATOM, BOND, self.steps)

    def _by_kinds(self, graph: Graph, kinds: Environments) -> Float[Tensor, "nodes channels"]:
        """The same for one edge of each kind, and W_m before the sum: there are fewer kinds than edges."""
        atom, row = kinds.atoms.of, kinds.edges[0].row
        labels, sorts = kinds.atom_labels.to(self.last.weight), kinds.bond_labels.to(self.last.weight)
        sent = (labels @ self.sending.table).index_select(0, atom.index_select(0, graph.sender[row]))
        bonds = (sorts @ self.bonds.table).index_select(0, kinds.bonds.of.index_select(0, row))
        first = h = torch.relu(sent + bonds)
        for heard, edges in zip(kinds.steps, kinds.edges[1:]):
            start = first.index_select(0, kinds.edges[0].of[edges.row])
            h = torch.relu(start + heard.sum(self.step.linear(h)))
        own = (labels @ self.atoms.table).index_select(0, atom.index_select(0, kinds.nodes.row))
        x = torch.relu(own + self.last(kinds.last.sum(h)))
        return x.index_select(0, kinds.nodes.of)
