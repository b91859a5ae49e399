"""Weights of SchNetPack's SchNet and PaiNN in ours: the same energies and forces, in double precision.

    python scripts/bench_potentials_agreement.py

What the papers leave open is chosen alike: our envelope in place of the cosine, Bessel functions for PaiNN,
our activations. Then the two must agree to rounding. SchNetPack is no dependency; see bench_potentials.py.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from bench_potentials import aspirins, box
from bench_potentials_peers import Setting, schnetpack
from torch import Tensor, nn

from sciml.builders.atoms import atoms_graph
from sciml.models import PaiNN, Potential, SchNet
from sciml.nn.radial import envelope
from sciml.nn.smooth import ShiftedSoftplus


class Envelope(nn.Module):
    """Ours, as SchNetPack takes it."""

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = torch.tensor(cutoff)

    def forward(self, distance: Tensor) -> Tensor:
        """Return the envelope."""
        return envelope(distance, self.cutoff.item())


def copied(ours: nn.Sequential, theirs: nn.Sequential) -> None:
    """Copy the linear maps of a network of two layers."""
    for mine, other in zip((ours[0], ours[2]), theirs):
        mine.load_state_dict({"weight": other.weight, "bias": other.bias})


def exact(peer: nn.Module, setting: Setting) -> None:
    """Make the peer's weights and constants double ones; its constants were rounded to single precision."""
    peer.double()
    basis = peer.representation.radial_basis
    count, extent = setting.radial, setting.cutoff
    if setting.name == "PaiNN":
        basis.freqs = torch.arange(1, count + 1, dtype=torch.float64) * torch.pi / extent
    else:
        basis.offsets = torch.linspace(0, extent, count, dtype=torch.float64)
        basis.widths = torch.full((count,), extent / (count - 1), dtype=torch.float64)


def thirds(tensor: Tensor, *order: int) -> Tensor:
    """Return three blocks of rows in another order."""
    blocks = tensor.chunk(3)
    return torch.cat([blocks[n] for n in order])


def copy_schnet(ours: SchNet, network: nn.Module) -> None:
    """Copy SchNet's interactions."""
    for mine, other in zip(ours.layers, network.interactions):
        copied(mine.filter, other.filter_network)
        copied(mine.after, other.f2out)
        mine.before.weight.copy_(other.in2f.weight)


def copy_painn(ours: PaiNN, network: nn.Module) -> None:
    """Copy PaiNN's blocks, whose thirds and halves come in another order; ours has normalized waves."""
    norm = (2 / ours.cutoff) ** 0.5
    filters = (
        network.filter_net.weight.chunk(len(ours.layers)),
        network.filter_net.bias.chunk(len(ours.layers)),
    )
    for mine, message, mixing, weight, bias in zip(
        ours.layers, network.interactions, network.mixing, *filters
    ):
        copied(mine.content, message.interatomic_context_net)
        copied(mine.gate, mixing.intraatomic_context_net)
        mine.filter.weight.copy_(thirds(weight, 0, 2, 1) / norm)
        mine.filter.bias.copy_(thirds(bias, 0, 2, 1))
        for value in (mine.content[2].weight, mine.content[2].bias):
            value.copy_(thirds(value, 0, 2, 1))
        for value in (mine.gate[2].weight, mine.gate[2].bias):
            value.copy_(thirds(value, 0, 2, 1))
        mine.mix.weight.copy_(mixing.mu_channel_mix.weight.roll(len(mine.mix.weight) // 2, 0))


Copy = Callable[[Potential, nn.Module], None]
PEERS: dict[str, tuple[type[Potential], Copy, str, Callable[[Tensor], Tensor]]] = {
    "SchNet": (SchNet, copy_schnet, "GaussianRBF", ShiftedSoftplus()),
    "PaiNN": (PaiNN, copy_painn, "BesselRBF", nn.functional.silu),
}


def main() -> None:
    """Print by how much they differ."""
    torch.manual_seed(0)
    for name, (make, copy, basis, activation) in PEERS.items():
        for system, structures in (("32 aspirins", aspirins()), ("216 atoms, periodic", [box(216)])):
            setting = Setting(name, 64, 3, 1, 20, 5.0)
            graph = atoms_graph(structures, setting.cutoff)
            peer, theirs = schnetpack(setting, graph, basis, Envelope(setting.cutoff), activation)
            exact(peer, setting)
            for parameter in peer.parameters():  # constants that start at zero would hide where they belong
                parameter.data.add_(0.05 * torch.randn_like(parameter))
            model = make(channels=64, layers=3, radial=20, cutoff=5.0).double()
            with torch.no_grad():
                copy(model, peer.representation)
                copied(model.readout, peer.output_modules[0].outnet)
                model.embedding[:100] = peer.representation.embedding.weight
            found, expected = model.derivatives(graph)[:2], theirs(False)
            for what, a, b in zip(("energies", "forces"), found, expected):
                size, error = b.detach().abs().max().item(), (a - b).abs().max().item()
                print(f"{name}, {system}: {what} up to {size:.3g} differ by {error:.1e} at most")


if __name__ == "__main__":
    main()
