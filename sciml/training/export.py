"""A trained potential as one file that runs without sciml, by torch.export."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx.experimental.proxy_tensor import make_fx

from sciml.builders.atoms import ELEMENTS
from sciml.graph import Graph
from sciml.models.potential import Potential
from sciml.training.errors import RunError
from sciml.training.run import load_run

INPUTS = ("number", "pos", "cell", "edge_index", "shift")


class Deployed(nn.Module):
    """Energy, forces and virial of one structure, from arrays and in one call.

    Args:
        model: a trained potential.

    Input: ``number`` (atoms,) int64; ``pos`` (atoms, 3) in Å; ``cell`` (3, 3) in Å, rows are lattice vectors,
    zero where space is open; ``edge_index`` (2, edges) int64, sender and receiver of all ordered pairs closer
    than the cutoff, sorted by receiver; ``shift`` (edges, 3) int64, so that the vector of a pair is
    ``pos[receiver] - pos[sender] + shift @ cell``.

    Output: energy () in eV, in double precision, references included; forces (atoms, 3) in eV/Å; virial
    (3, 3) in eV, of which the stress is the symmetric part over the volume. All are NaN if an element was not
    in training.
    """

    references: Tensor
    known: Tensor

    def __init__(self, model: Potential) -> None:
        super().__init__()
        self.model = model
        known = model.references
        table = torch.full((ELEMENTS,), 0.0 if known is None else torch.nan, dtype=torch.float64)
        for number, value in (known or {}).items():
            table[number] = value
        self.register_buffer("references", table)
        some = min(known or {1: 0.0})  # stands in for elements that the network has no weights of
        numbers = torch.arange(ELEMENTS)
        self.register_buffer("known", torch.where(table.isnan(), some, numbers))

    def forward(
        self,
        number: Int[Tensor, "atoms"],
        pos: Float[Tensor, "atoms 3"],
        cell: Float[Tensor, "3 3"],
        edge_index: Int[Tensor, "2 edges"],
        shift: Int[Tensor, "edges 3"],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "atoms 3"], Float[Tensor, "3 3"]]:
        """Return energy, forces and virial."""
        graph = Graph(
            edge_index=edge_index,
            nodes={"pos": pos, "number": self.known.index_select(0, number)},
            edges={"shift": shift},
            globals={"cell": cell[None]},
            node_counts=number.new_full((1,), number.shape[0]),
            edge_counts=number.new_full((1,), edge_index.shape[1]),
        )
        energy, forces, virial = self.model.derivatives(graph)
        assert virial is not None
        reference = self.references.index_select(0, number).sum()
        nothing = (0.0 * reference).to(forces.dtype)  # NaN where the reference is
        return energy[0].double() + reference, forces + nothing, virial[0] + nothing


def exported(model: Potential) -> ExportedProgram:
    """Return the potential as a program of tensor operations, for any number of atoms and edges above one.

    Forces are derivatives, and torch.export does not follow derivatives: they are traced first, with symbols
    for the numbers of atoms and edges, into a graph in which they are operations like others.
    """
    deployed = Deployed(copy.deepcopy(model).eval().requires_grad_(False))
    like = next(deployed.model.parameters())
    example = _example(like, min(model.references or {1: 0.0}))
    with torch.no_grad():
        deployed(*example)  # what is computed once, as coupling constants, is no part of the program
        traced = make_fx(deployed, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*example)
    atoms, edges = Dim("atoms", min=2), Dim("edges", min=2)
    shapes = ({0: atoms}, {0: atoms}, None, {1: edges}, {0: edges})
    return torch.export.export(traced, example, dynamic_shapes=shapes, strict=False)


def export_run(run: str | Path, output: str | Path, dtype: torch.dtype = torch.float64) -> None:
    """Write the potential of a run as a file for `torch.export.load`.

    The file also holds ``sciml.json``: cutoff, elements, units and the inputs in order.

    Raises:
        RunError: no such run, or a run of something else.
    """
    from ase.data import chemical_symbols

    model = load_run(run)
    if not isinstance(model, Potential):
        raise RunError(f"{run} holds {type(model).__name__}, which is no potential.")
    known = None if model.references is None else [chemical_symbols[z] for z in sorted(model.references)]
    facts = {
        "cutoff": model.cutoff,
        "elements": known,
        "dtype": str(dtype).removeprefix("torch."),
        "inputs": INPUTS,
        "outputs": ("energy", "forces", "virial"),
        "units": {"pos": "angstrom", "energy": "eV", "forces": "eV/angstrom", "virial": "eV"},
    }
    torch.export.save(exported(model.to(dtype)), output, extra_files={"sciml.json": json.dumps(facts)})


def _example(like: Tensor, element: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return inputs that the program is traced with; its numbers of atoms and edges are no special ones."""
    pos = torch.rand(5, 3, generator=torch.Generator().manual_seed(0)).to(like)
    pairs = torch.tensor([(i, j) for j in range(5) for i in range(5) if i != j], device=like.device)
    number = torch.full((5,), element, dtype=torch.long, device=like.device)
    shift = torch.zeros(len(pairs), 3, dtype=torch.long, device=like.device)
    return number, pos, torch.zeros(3, 3).to(like), pairs.T.contiguous(), shift
