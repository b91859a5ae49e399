"""The eigenbasis of a graph's Laplacian, and the graph Fourier transform as messages to and from its modes.

The basis depends on the graph alone, costs n³, and has no use for derivatives (those of single eigenvectors
do not exist where eigenvalues coincide). So it is computed once, by `with_spectrum`, and stored as fields;
the layers that use it then neither wait for values nor differentiate through an eigendecomposition.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.graph import Graph, Spec
from sciml.nn.about import About
from sciml.nn.message_passing import Edges, MessagePassing
from sciml.nn.spectral.laplacians import Kind, laplacian
from sciml.nn.spectral.sparse import rows
from sciml.nn.spectral.undirected import dtype_of
from sciml.symmetry import Symmetry

MODES, EIGENVALUES = "modes", "eigenvalues"
MOST_NODES = 8192  # a dense matrix of half a gigabyte


@torch.no_grad()
def with_spectrum(
    graph: Graph,
    kind: Kind = "combinatorial",
    weight: str | None = None,
    *,
    modes: int | None = None,
    width: int | None = None,
    dtype: torch.dtype | None = None,
) -> Graph:
    """Return the graph with its eigenbasis: ``nodes["modes"]`` and ``globals["eigenvalues"]``.

    Column k of ``modes`` (nodes, K), within one graph, is the eigenvector of the k-th eigenvalue, ascending,
    of unit norm; graphs with fewer than K nodes have columns of zeros at the end, which take part in nothing.
    ``eigenvalues`` (graphs, W) has all of them, filled up with zeros. Signs, and bases of equal eigenvalues,
    are whatever the algorithm gives: what is to be reproducible must be a function of the eigenvalue.
    Computed in float64, graph by graph, without derivatives. It describes the edges of now: call it again
    after a change of edges or weights.

    Args:
        graph: undirected.
        kind: ``combinatorial`` or ``symmetric``.
        weight: edge field of weights; None if all are one.
        modes: K, how many modes to keep, the smoothest first; all if None.
        width: W, at least the number of nodes of each graph; that of the largest if None. Give the same
            number to graphs that are to be batched later.
        dtype: of the fields; that of the first field of floats on nodes if None.

    Raises:
        ValueError: a directed graph, the random-walk Laplacian (which is not symmetric), more nodes than
            the width or than a dense matrix can hold, modes < 1.
    """
    if kind == "random walk":
        raise ValueError(
            "The random-walk Laplacian has no orthonormal basis. Take kind='symmetric': it has the same "
            "eigenvalues, and f(L_walk) x = D^-1/2 f(L_symmetric) D^1/2 x."
        )
    counts = graph.node_counts.tolist()
    most = max(counts, default=0)
    width = max(most, 1) if width is None else width
    modes = width if modes is None else modes
    if most > min(width, MOST_NODES):
        remedy = (
            "take ChebyshevFunction, heat_kernel or lanczos_function" if most > MOST_NODES else "widen it"
        )
        raise ValueError(f"A graph has {most} nodes, more than {min(width, MOST_NODES)}: {remedy}.")
    if not 1 <= modes <= width:
        raise ValueError(f"modes={modes} must be between 1 and {width}, the nodes of the largest graph.")
    values, basis = _eigenbases(graph, counts, kind, weight, width)
    dtype = dtype or dtype_of(graph)
    with_basis = graph.with_nodes({MODES: Spec()}, **{MODES: basis[:, :modes].to(dtype)})
    return with_basis.with_globals({EIGENVALUES: Spec()}, **{EIGENVALUES: values.to(dtype)})


def _eigenbases(
    graph: Graph, counts: list[int], kind: Kind, weight: str | None, width: int
) -> tuple[Float[Tensor, "graphs width"], Float[Tensor, "nodes width"]]:
    """Diagonalize graphs of equal size together."""
    L = laplacian(graph, kind, weight, dtype=torch.float64)
    device, first = graph.device, graph.node_counts.cumsum(0) - graph.node_counts
    values = torch.zeros(len(counts), width, dtype=torch.float64, device=device)
    basis = torch.zeros(graph.num_nodes, width, dtype=torch.float64, device=device)
    place = torch.arange(graph.num_nodes, device=device) - first[graph.node_graph]
    for size in sorted(set(counts) - {0}):
        chosen = (graph.node_counts == size).nonzero()[:, 0]
        number = torch.full_like(graph.node_counts, -1)
        number[chosen] = torch.arange(len(chosen), device=device)
        of_node, of_edge = number[graph.node_graph], number[graph.edge_graph]
        node, edge = of_node >= 0, of_edge >= 0
        matrix = torch.zeros(len(chosen), size, size, dtype=torch.float64, device=device)
        matrix.index_put_((of_node[node], place[node], place[node]), L.diagonal[node], accumulate=True)
        ends = place[graph.receiver[edge]], place[graph.sender[edge]]
        matrix.index_put_((of_edge[edge], *ends), L.off[edge], accumulate=True)
        eigenvalues, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
        values[chosen, :size] = eigenvalues.clamp(min=0)  # roundoff: a Laplacian has no negative ones
        basis[node, :size] = vectors.flatten(0, 1)
    return values, basis


# ------------------------------------------------------------------ messages


class ModeLayer(MessagePassing):
    """A layer whose edges join every node to every mode of its graph, with the basis U_ik on them."""

    symmetry = Symmetry(("S",))

    def message(self, edges: Edges) -> Float[Tensor, "edges channels"]:
        """Return U_ik times what the sender has: a node on the way to the modes, a mode on the way back."""
        return edges["basis"][:, None] * edges.sender("content")

    def update(self, graph: Graph, aggregated: Float[Tensor, "nodes channels"]) -> Graph:
        """Return the sums on the receivers."""
        return graph.with_nodes(content=aggregated)

    def fused_forward(self, graph: Graph) -> Graph | None:
        """Return None: `forward` has decided already."""
        return None

    @property
    def dense(self) -> bool:
        """Whether to multiply by matrices rather than along edges."""
        return self.fused and self._recording is None

    def analyse(self, graph: Graph, x: Float[Tensor, "nodes channels"]) -> Float[Tensor, "graphs K channels"]:
        """Return Σ_i U_ik x_i for every mode."""
        U = basis_of(graph, x.dtype)
        if self.dense:
            return torch.einsum("gik,gic->gkc", pad(graph, U), pad(graph, x))
        two_sided = _to_modes(graph, U, x)
        return MessagePassing.forward(self, two_sided).nodes["content"].unflatten(0, (-1, U.shape[1]))

    def synthesize(
        self, graph: Graph, spectrum: Float[Tensor, "graphs K channels"]
    ) -> Float[Tensor, "nodes channels"]:
        """Return Σ_k U_ik x̂_k at every node."""
        U = basis_of(graph, spectrum.dtype)
        if self.dense:
            value = torch.einsum("gik,gkc->gic", pad(graph, U), spectrum)
            return value.flatten(0, 1)[_padded_row(graph)]
        return MessagePassing.forward(self, _from_modes(graph, U, spectrum)).nodes["content"]


class GraphFourier(ModeLayer):
    """x̂_k = Σ_i U_ik x_i: from nodes to modes, on a graph that has its spectrum (`with_spectrum`).

    Args:
        field: node field that is read, ``(nodes, channels)``.
        output: graph-level field that is written, ``(graphs, K, channels)``.

    With all modes the transform keeps the norm (Parseval). Single coefficients change sign with the mode,
    and mix where eigenvalues coincide; only their squares, summed over equal eigenvalues, mean something.
    """

    about = About(
        domain="small undirected graphs, to their modes",
        content="x_i",
        geometry="U_ik, mode k at node i",
        equation=r"\hat x_k = \sum_i U_{ik} x_i",
        cost="nodes · modes · channels",
        fused="dense matrix product",
        source="Shuman et al., IEEE Signal Process. Mag. 30, 83, 2013, arXiv 1211.0053, eq. 3",
    )

    def __init__(self, field: str = "x", output: str = "spectrum") -> None:
        super().__init__()
        self.field, self.output = field, output

    def forward(self, graph: Graph) -> Graph:
        """Transform every graph of the batch.

        Raises:
            ValueError: a graph without its spectrum.
        """
        x = graph.nodes[self.field]
        result = self.analyse(graph, rows(x))
        return graph.with_globals(None, **{self.output: result.unflatten(-1, x.shape[1:] or (1,))})


class InverseGraphFourier(ModeLayer):
    """x_i = Σ_k U_ik x̂_k: from modes to nodes, the inverse of `GraphFourier` where all modes are there.

    Args:
        field: graph-level field that is read, ``(graphs, K, channels)``.
        output: node field that is written.
    """

    about = About(
        domain="small undirected graphs, from their modes",
        content="x̂_k",
        geometry="U_ik, mode k at node i",
        equation=r"x_i = \sum_k U_{ik} \hat x_k",
        cost="nodes · modes · channels",
        fused="dense matrix product",
        source="Shuman et al., IEEE Signal Process. Mag. 30, 83, 2013, arXiv 1211.0053, eq. 4",
    )

    def __init__(self, field: str = "spectrum", output: str = "x") -> None:
        super().__init__()
        self.field, self.output = field, output

    def forward(self, graph: Graph) -> Graph:
        """Transform every graph of the batch.

        Raises:
            ValueError: a graph without its spectrum, or with another number of modes.
        """
        spectrum, modes = graph.globals[self.field], basis_of(graph).shape[1]
        if spectrum.ndim < 3 or spectrum.shape[1] != modes:
            raise ValueError(
                f"globals.{self.field} has shape {tuple(spectrum.shape)}, not (graphs, {modes}, channels)."
            )
        value = self.synthesize(graph, spectrum.flatten(2))
        return graph.with_nodes(None, **{self.output: value.unflatten(-1, spectrum.shape[2:])})


# -------------------------------------------------------------------- details


def basis_of(graph: Graph, dtype: torch.dtype | None = None) -> Float[Tensor, "nodes K"]:
    """Return the stored modes; ValueError where there are none, or of another precision."""
    if MODES not in graph.nodes or EIGENVALUES not in graph.globals:
        raise ValueError(
            "The graph lacks its spectrum (nodes.modes and globals.eigenvalues): compute it once with "
            "sciml.nn.with_spectrum(graph), or take a ChebyshevFilter, which needs none."
        )
    U = graph.nodes[MODES]
    if dtype not in (None, U.dtype):
        raise ValueError(
            f"The signal is of {dtype}, the graph's modes are of {U.dtype}: call with_spectrum(graph, "
            f"dtype={dtype}), or convert both with graph.to(...)."
        )
    return U


def pad(graph: Graph, value: Float[Tensor, "nodes channels"]) -> Float[Tensor, "graphs W channels"]:
    """Give every graph as many rows as there are eigenvalues, which are at least its nodes."""
    width = graph.globals[EIGENVALUES].shape[1]
    rows = value.new_zeros(graph.num_graphs * width, value.shape[1])
    return rows.index_copy(0, _padded_row(graph), value).unflatten(0, (graph.num_graphs, width))


def _padded_row(graph: Graph) -> Int[Tensor, "nodes"]:
    of_node = graph.node_graph
    first = graph.node_counts.cumsum(0) - graph.node_counts
    shift = torch.arange(graph.num_graphs, device=graph.device) * graph.globals[EIGENVALUES].shape[1] - first
    return torch.arange(graph.num_nodes, device=graph.device) + shift[of_node]


def _to_modes(graph: Graph, U: Float[Tensor, "nodes K"], x: Float[Tensor, "nodes channels"]) -> Graph:
    """Return the two-sided graph on which nodes send and modes receive."""
    node, mode = _pairs(graph, U)
    order = torch.argsort(mode, stable=True)
    return Graph(
        torch.stack([node, mode])[:, order],
        {"content": x.new_zeros(graph.num_graphs * U.shape[1], 1)},
        {"basis": U.flatten()[order]},
        {},
        node_counts=torch.full_like(graph.node_counts, U.shape[1]),
        edge_counts=graph.node_counts * U.shape[1],
        senders={"content": x},
        sender_counts=graph.node_counts,
    )


def _from_modes(
    graph: Graph, U: Float[Tensor, "nodes K"], spectrum: Float[Tensor, "graphs K channels"]
) -> Graph:
    """Return the two-sided graph on which modes send and nodes receive."""
    node, mode = _pairs(graph, U)
    return Graph(
        torch.stack([mode, node]),
        {"content": U[:, :1]},
        {"basis": U.flatten()},
        {},
        node_counts=graph.node_counts,
        edge_counts=graph.node_counts * U.shape[1],
        senders={"content": spectrum.flatten(0, 1)},
        sender_counts=torch.full_like(graph.node_counts, U.shape[1]),
    )


def _pairs(graph: Graph, U: Float[Tensor, "nodes K"]) -> tuple[Int[Tensor, "edges"], Int[Tensor, "edges"]]:
    """Return the node and the mode of every pair within a graph, node by node."""
    k = torch.arange(U.shape[1], device=graph.device)
    node = torch.arange(graph.num_nodes, device=graph.device)[:, None].expand(-1, len(k))
    mode = graph.node_graph[:, None] * len(k) + k
    return node.flatten(), mode.flatten()
