"""What keeps atoms apart where no data do: the screened repulsion of their nuclei."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.graph import Graph
from sciml.nn.message_passing import segment_reduce
from sciml.nn.radial import envelope

COULOMB = 14.399645  # eV Å, e² / (4 π ε₀)
BOHR = 0.529177210903  # Å
SHARES = (0.18175, 0.50986, 0.28022, 0.02817)
RATES = (3.19980, 0.94229, 0.40290, 0.20162)


class ZBL(nn.Module):
    """Universal repulsion of Ziegler, Biersack and Littmark (The Stopping and Range of Ions in Solids, 1985).

        V(r) = k Z_i Z_j / r · Σ_n c_n exp(-d_n r / a) · envelope(r),    a = 0.8854 a₀ / (Z_i^0.23 + Z_j^0.23)

    The envelope ends V, with its slope and curvature, at the sum of the covalent radii (or at the cutoff of
    the graph, where that is smaller): chemical bonds are left to the network.

    Args:
        cutoff: of the graph, in Å.

    Reads ``number`` of the nodes and ``distance`` (Å) of the edges. Returns half of V at the receiver of each
    edge, in eV: each pair is two edges.
    """

    radii: Tensor

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        from ase.data import covalent_radii

        self.cutoff = cutoff
        self.register_buffer("radii", torch.from_numpy(covalent_radii).float(), persistent=False)

    def forward(self, graph: Graph) -> Float[Tensor, "nodes"]:
        """Return the energy of each atom."""
        distance, number = graph.edges["distance"], graph.nodes["number"]
        ends = [number.index_select(0, side) for side in (graph.sender, graph.receiver)]
        radii = self.radii.to(distance.dtype)
        end = (radii.index_select(0, ends[0]) + radii.index_select(0, ends[1])).clamp(max=self.cutoff)
        charges = [z.to(distance.dtype) for z in ends]
        pair = COULOMB * charges[0] * charges[1] / distance * screening(distance, *charges)
        return segment_reduce(0.5 * pair * envelope(distance / end, 1.0), graph.receiver, graph.num_nodes)


def screening(
    distance: Float[Tensor, "edges"], first: Float[Tensor, "edges"], second: Float[Tensor, "edges"]
) -> Float[Tensor, "edges"]:
    """Return what the electrons leave of the repulsion of two nuclear charges: 1 at the origin."""
    x = distance * (first**0.23 + second**0.23) / (0.8854 * BOHR)
    return sum(share * torch.exp(-rate * x) for share, rate in zip(SHARES, RATES))  # type: ignore[return-value]
