"""What interatomic potentials share: an energy that is a sum over atoms, and its derivatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sciml.builders.atoms import ELEMENTS, as_structures, atoms_graph
from sciml.graph import Graph, Spec
from sciml.nn.message_passing import segment_reduce
from sciml.nn.pairs import radial_functions
from sciml.nn.radial import envelope
from sciml.nn.zbl import ZBL
from sciml.symmetry import Symmetry

if TYPE_CHECKING:
    from ase import Atoms

AT_A_TIME = 2000  # atoms, where nothing is learned
OUTPUTS = {"energy": Spec("0e", "eV"), "forces": Spec("1o", "eV/angstrom")}


class Prediction(NamedTuple):
    """What a potential says of one structure.

    Attributes:
        energy: in eV, the reference energies of the atoms included.
        forces: in eV/Å.
        stress: in eV/Å³, positive under tension as in ASE; None unless all directions repeat.
        energy_std, forces_std: of an ensemble, how far its members are apart: standard deviations of the
            energy and of a component of each atom's force. None of a single potential.
        energy_half_width, forces_half_width: of an ensemble, of the intervals of the energy and of each
            component of the forces.
    """

    energy: float
    forces: Float[np.ndarray, "atoms 3"]
    stress: Float[np.ndarray, "3 3"] | None
    energy_std: float | None = None
    forces_std: Float[np.ndarray, "atoms"] | None = None
    energy_half_width: float | None = None
    forces_half_width: Float[np.ndarray, "atoms"] | None = None


class Potential(nn.Module):
    """E = Σ_i (E₀(element of i) + scale · ε_i), and forces as its negative derivative by positions.

    Subclasses define `atomic`, the ε_i. They see positions only through the vectors of edges, and must
    leave edges without influence as these reach the cutoff.

    Args:
        cutoff: in Å.
        scale: in eV, of the network's output; the typical force in eV/Å is a good one.
        references: chemical symbols to E₀ in eV. They name the elements that the potential knows; None
            knows all, and counts energies from zero.
        repulsion: ``zbl`` adds the repulsion of the nuclei (`sciml.nn.ZBL`), which keeps atoms apart where no
            frames were seen; None leaves all to the network.

    Input: graphs of `atoms_graph` with this cutoff. Output: ``globals["energy"]`` (graphs,) in eV, *without
    the reference energies*, which are thousands of times larger and would take its digits in single
    precision (`predict` adds them in double precision); ``nodes["forces"]`` (nodes, 3) in eV/Å.

    Raises:
        ValueError: a cutoff or scale that is not positive, a reference that names no element, another
            repulsion.
    """

    symmetry = Symmetry(("S", "T", "O"))

    def __init__(
        self,
        cutoff: float = 5.0,
        scale: float = 1.0,
        references: Mapping[str, float] | None = None,
        repulsion: str | None = None,
    ) -> None:
        super().__init__()
        if not (0 < cutoff < np.inf and 0 < scale < np.inf):
            raise ValueError(f"cutoff={cutoff} and scale={scale} must be positive and finite.")
        self.cutoff, self.scale = float(cutoff), float(scale)
        self.references = None if references is None else _by_number(references)
        if repulsion not in (None, "zbl"):
            raise ValueError(f"repulsion={repulsion!r}: expected zbl, or none.")
        self.repulsion = ZBL(self.cutoff) if repulsion else None

    def atomic(self, graph: Graph) -> Float[Tensor, "nodes"]:
        """Return ε_i; the graph has the edge fields ``distance``, ``envelope`` and ``direction``."""
        raise NotImplementedError(f"{type(self).__name__} must define atomic(graph).")

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with energy and forces."""
        energy, forces, _ = self.derivatives(graph, virial=False)
        graph = graph.with_globals({"energy": OUTPUTS["energy"]}, energy=energy)
        return graph.with_nodes({"forces": OUTPUTS["forces"]}, forces=forces)

    def derivatives(
        self, graph: Graph, virial: bool = True
    ) -> tuple[Float[Tensor, "graphs"], Float[Tensor, "nodes 3"], Float[Tensor, "graphs 3 3"] | None]:
        """Return energies (without references), forces, and, if wanted, virials dE/dε = Σ_ij r_ij ⊗ dE/dr_ij.

        All come from one derivative, by the vectors of the edges: a vector moves with both its ends, and
        a strain stretches all of them. The stress is the virial over the volume.
        """
        learning = torch.is_grad_enabled()
        vectors = graph.edge_vectors()
        with torch.enable_grad():
            if not (learning and vectors.requires_grad):
                vectors = vectors.detach().requires_grad_()
            placed = with_geometry(graph, vectors, self.cutoff)
            energies = self.scale * self.atomic(placed)
            if self.repulsion is not None:
                energies = energies + self.repulsion(placed)
            (slope,) = torch.autograd.grad(
                energies.sum(), vectors, create_graph=learning, materialize_grads=True, allow_unused=True
            )
        pull = slope.new_zeros((graph.num_nodes, 3)).index_add(0, graph.sender, slope)
        forces = pull - segment_reduce(slope, graph.receiver, graph.num_nodes)
        if not learning:
            energies, vectors = energies.detach(), vectors.detach()
        total = segment_reduce(energies, graph.node_graph, graph.num_graphs)
        if not virial:
            return total, forces, None
        outer = vectors[:, :, None] * slope[:, None, :]
        return total, forces, segment_reduce(outer, graph.edge_graph, graph.num_graphs)

    # ------------------------------------------------------------------ use

    def predict(self, atoms: Atoms | Sequence[Atoms]) -> Prediction | list[Prediction]:
        """Return energy, forces and (where all directions repeat) stress of one structure or of many.

        Raises:
            TypeError, ValueError: as `atoms_graph`; an element that the potential was not trained on.
        """
        from ase import Atoms

        structures = as_structures(atoms)
        found: list[Prediction] = []
        for number, structure in enumerate(structures):
            self.check_elements(structure, f"structure {number}, " if len(structures) > 1 else "")
        for part in _in_parts(structures):
            found += self.predict_graph(atoms_graph(part, self.cutoff, first=len(found)), part)
        return found[0] if isinstance(atoms, Atoms) else found

    @torch.no_grad()
    def predict_graph(self, graph: Graph, structures: Sequence[Atoms]) -> list[Prediction]:
        """Return what is predicted for the graphs of these structures."""
        like = next(self.parameters())
        energy, forces, virial = (
            v.cpu().double() for v in self.derivatives(graph.to(like.device, like.dtype)) if v is not None
        )
        return self.as_predictions(graph, structures, energy, forces, virial)

    def as_predictions(
        self, graph: Graph, structures: Sequence[Atoms], energy: Tensor, forces: Tensor, virial: Tensor
    ) -> list[Prediction]:
        """Return what `derivatives` found, structure by structure, with the reference energies."""
        split = forces.split(graph.node_counts.tolist())
        return [
            Prediction(e + self.reference(structure), f.numpy(), as_stress(w, structure))
            for structure, e, f, w in zip(structures, energy.tolist(), split, virial.numpy())
        ]

    def reference(self, atoms: Atoms) -> float:
        """Return the sum of the atoms' reference energies in eV."""
        return sum(self.references[number] for number in atoms.numbers.tolist()) if self.references else 0.0

    def check_elements(self, atoms: Atoms, where: str = "") -> None:
        """Raise ValueError at the first atom of an element that the potential does not know.

        Args:
            atoms: a structure.
            where: that this is, for the message.
        """
        from ase.data import chemical_symbols

        if self.references is None:
            return
        unknown = [i for i, z in enumerate(atoms.numbers.tolist()) if z not in self.references]
        if unknown:
            known = ", ".join(chemical_symbols[z] for z in sorted(self.references))
            what = f"{where}{atoms.get_chemical_formula()} is {atoms.symbols[unknown[0]]}"
            raise ValueError(
                f"Atom {unknown[0]} of {what}, an element that this potential was not trained on; it knows "
                f"{known}. Train on frames with it."
            )


class LayeredPotential(Potential):
    """ε_i read out of layers in a row: elements are embedded, and layers mix atoms by functions of distance.

    Args:
        layer: makes one of the layers, which read and write the node field ``x`` and read the edge fields
            ``radial``, ``envelope`` and ``direction``.
        layers: how many.
        basis: functions of the distance: of distances (edges,), their number and the cutoff.
        channels: of ``x``.
        radial: number of functions of the distance.
        activation: makes that of the readout.
        cutoff, scale, references, repulsion: of `Potential`.
    """

    def __init__(
        self,
        layer: Callable[[], nn.Module],
        layers: int,
        basis: Callable[[Tensor, int, float], Tensor],
        channels: int,
        radial: int,
        activation: Callable[[], nn.Module],
        *,
        cutoff: float,
        scale: float,
        references: Mapping[str, float] | None,
        repulsion: str | None = None,
    ) -> None:
        super().__init__(cutoff, scale, references, repulsion)
        self.basis, self.radial = basis, radial
        self.embedding = nn.Parameter(torch.randn(ELEMENTS, channels))
        self.layers = nn.ModuleList(layer() for _ in range(layers))
        self.readout = nn.Sequential(
            nn.Linear(channels, channels // 2), activation(), nn.Linear(channels // 2, 1)
        )

    def atomic(self, graph: Graph) -> Float[Tensor, "nodes"]:
        """Return the output of each atom."""
        x = self.embedding.index_select(0, graph.nodes["number"])
        basis = lambda distance: self.basis(distance, self.radial, self.cutoff)
        graph, radial = radial_functions(graph.with_nodes({"x": Spec()}, x=x), basis, self.layers)
        for layer in self.layers:
            graph = layer(graph, radial)
        return self.readout(graph.nodes["x"])[:, 0]


def as_stress(virial: Float[np.ndarray, "3 3"], structure: Atoms) -> Float[np.ndarray, "3 3"] | None:
    """Return the stress in eV/Å³ that a virial in eV means; None unless all directions repeat."""
    if not structure.pbc.all():
        return None
    return 0.5 * (virial + virial.T) / structure.get_volume()


def with_geometry(graph: Graph, vectors: Float[Tensor, "edges 3"], cutoff: float) -> Graph:
    """Return the graph with the edge fields ``distance``, ``direction`` and ``envelope`` of these vectors."""
    distance = vectors.square().sum(1).sqrt()
    return graph.with_edges(
        {"direction": Spec("1o")},
        distance=distance,
        direction=vectors / distance[:, None],
        envelope=envelope(distance, cutoff),
    )


def _in_parts(structures: Sequence[Atoms]) -> Iterator[list[Atoms]]:
    """Yield a few structures at a time, as many as memory holds whatever their size."""
    part: list[Atoms] = []
    for structure in structures:
        if part and sum(map(len, part)) + len(structure) > AT_A_TIME:
            yield part
            part = []
        part.append(structure)
    yield part


def _by_number(references: Mapping[str, float]) -> dict[int, float]:
    from ase.data import atomic_numbers

    unknown = [symbol for symbol in references if symbol not in atomic_numbers]
    if unknown:
        raise ValueError(f"references name {unknown[0]!r}, which is no chemical symbol.")
    return {atomic_numbers[symbol]: float(value) for symbol, value in references.items()}
