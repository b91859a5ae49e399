"""The peers of bench_potentials.py: each makes a network and a function that gives energy and forces."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from sciml.graph import Graph

Forces = Callable[[bool], tuple[Tensor, Tensor]]
ELEMENTS = [1, 6, 8]


class Setting(NamedTuple):
    """Hyperparameters that ours and the peer's have in common."""

    name: str
    channels: int
    layers: int
    lmax: int
    radial: int
    cutoff: float
    neighbors: float = 12.0


def _shifts(graph: Graph) -> Tensor:
    if "cell" not in graph.globals:
        return torch.zeros(graph.num_edges, 3)
    cell = graph.globals["cell"].index_select(0, graph.edge_graph)
    return torch.einsum("ei,eij->ej", graph.edges["shift"].to(cell.dtype), cell)


def _kinds(graph: Graph) -> Tensor:
    return torch.searchsorted(torch.tensor(ELEMENTS), graph.nodes["number"])


def schnetpack(
    setting: Setting,
    graph: Graph,
    basis: str = "GaussianRBF",
    envelope: nn.Module | None = None,
    activation: Callable[[Tensor], Tensor] = nn.functional.silu,
) -> tuple[nn.Module, Forces]:
    """SchNet or PaiNN of SchNetPack; the last arguments are what its readout and distances go through."""
    import torch.utils.data.dataloader as loader

    if not hasattr(loader, "T_co"):  # SchNetPack 2.1 takes it from there, and newer torch has it no more
        loader.T_co = TypeVar("T_co", covariant=True)
    import schnetpack as spk
    import schnetpack.atomistic
    import schnetpack.representation

    radial = getattr(spk.nn, basis)(setting.radial, setting.cutoff)
    kind = getattr(spk.representation, setting.name)
    envelope = envelope or spk.nn.CosineCutoff(setting.cutoff)
    network = kind(setting.channels, setting.layers, radial, envelope)
    model = spk.model.NeuralNetworkPotential(
        network,
        input_modules=[spk.atomistic.PairwiseDistances()],
        output_modules=[
            spk.atomistic.Atomwise(setting.channels, output_key="energy", activation=activation),
            spk.atomistic.Forces(),
        ],
    )
    inputs = {
        "_atomic_numbers": graph.nodes["number"],
        "_positions": graph.nodes["pos"],
        "_idx_i": graph.receiver,
        "_idx_j": graph.sender,
        "_offsets": -_shifts(graph),  # its vectors go from the receiver to the sender
        "_idx_m": graph.node_graph,
        "_n_atoms": graph.node_counts,
        "_cell": graph.nodes["pos"].new_zeros(graph.num_graphs, 3, 3),
    }

    def run(learning: bool) -> tuple[Tensor, Tensor]:
        model.train(learning)
        found = model(inputs | {"_positions": graph.nodes["pos"].clone()})
        return found["energy"], found["forces"]

    return model, run


def pyg(setting: Setting, graph: Graph) -> tuple[nn.Module, Forces]:
    """SchNet of PyTorch Geometric, which is given the edges."""
    from torch_geometric.nn import SchNet

    shifts = _shifts(graph)

    def edges(pos: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
        vectors = pos.index_select(0, graph.receiver) - pos.index_select(0, graph.sender) + shifts
        return graph.edge_index, vectors.norm(dim=-1)

    model = SchNet(
        setting.channels, setting.channels, setting.layers, setting.radial, setting.cutoff,
        interaction_graph=edges,
    )  # fmt: skip

    def run(learning: bool) -> tuple[Tensor, Tensor]:
        pos = graph.nodes["pos"].clone().requires_grad_()
        energy = model(graph.nodes["number"], pos, graph.node_graph)
        (slope,) = torch.autograd.grad(energy.sum(), pos, create_graph=learning)
        return energy, -slope

    return model, run


def nequip(setting: Setting, graph: Graph, power: int = 6) -> tuple[nn.Module, Forces]:
    """NequIP's own, eager, in the graph's precision; ``power`` is of its envelope."""
    from nequip.model import NequIPGNNModel
    from nequip.utils.global_state import set_global_state

    set_global_state()
    dtype = graph.nodes["pos"].dtype
    precision = str(dtype).removeprefix("torch.")
    model = NequIPGNNModel(
        seed=0, model_dtype=precision, r_max=setting.cutoff, type_names=["H", "C", "O"],
        num_layers=setting.layers, l_max=setting.lmax, parity=False, num_features=setting.channels,
        radial_mlp_depth=2, radial_mlp_width=64, num_bessels=setting.radial,
        avg_num_neighbors=setting.neighbors, polynomial_cutoff_p=power,
    )  # fmt: skip
    model = model["sole_model"] if isinstance(model, dict) else model
    torch.set_default_dtype(torch.float32)  # set_global_state makes it double
    data = {
        "pos": graph.nodes["pos"],
        "edge_index": graph.edge_index.flip(0),
        "atom_types": _kinds(graph),
        "batch": graph.node_graph,
        "num_atoms": graph.node_counts,
    }
    if "cell" in graph.globals:
        data |= {"cell": graph.globals["cell"], "edge_cell_shift": -graph.edges["shift"].to(dtype)}

    def run(learning: bool) -> tuple[Tensor, Tensor]:
        model.train(learning)
        found = model(data | {"pos": graph.nodes["pos"].clone()})
        return found["total_energy"], found["forces"]

    return model, run


def mace(setting: Setting, graph: Graph) -> tuple[nn.Module, Forces]:
    """MACE's own."""
    from e3nn import o3
    from mace.modules import MACE, interaction_classes

    block = interaction_classes["RealAgnosticResidualInteractionBlock"]
    count = setting.channels
    model = MACE(
        r_max=setting.cutoff, num_bessel=setting.radial, num_polynomial_cutoff=5, max_ell=setting.lmax,
        interaction_cls=block, interaction_cls_first=block, num_interactions=setting.layers, num_elements=3,
        hidden_irreps=o3.Irreps(f"{count}x0e+{count}x1o"), MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=torch.zeros(3).numpy(), avg_num_neighbors=setting.neighbors,
        atomic_numbers=ELEMENTS, correlation=3, gate=torch.nn.functional.silu, radial_MLP=[64, 64, 64],
    ).float()  # fmt: skip
    data = {
        "node_attrs": torch.eye(3).index_select(0, _kinds(graph)),
        "edge_index": graph.edge_index,
        "shifts": _shifts(graph),
        "unit_shifts": torch.zeros(graph.num_edges, 3),
        "cell": torch.zeros(3 * graph.num_graphs, 3),
        "batch": graph.node_graph,
        "ptr": torch.cat([torch.zeros(1, dtype=torch.long), graph.node_counts.cumsum(0)]),
    }

    def run(learning: bool) -> tuple[Tensor, Tensor]:
        found = model(data | {"positions": graph.nodes["pos"].clone()}, training=learning)
        return found["energy"], found["forces"]

    return model, run


PEERS: dict[str, dict[str, Callable[[Setting, Graph], tuple[nn.Module, Forces]]]] = {
    "SchNet": {"SchNetPack": schnetpack, "PyTorch Geometric": pyg},
    "PaiNN": {"SchNetPack": schnetpack},
    "NequIP": {"nequip": nequip},
    "MACE": {"mace-torch": mace},
}
