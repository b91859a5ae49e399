"""Weights of SchNetPack's SchNet and PaiNN, and of nequip's NequIP, in ours: the same energies and forces.

    python scripts/bench_potentials_agreement.py

What the papers leave open is chosen alike: our envelope in place of the cosine, Bessel functions for PaiNN,
our activations. Then the two must agree to rounding, in double precision. Peers are no dependencies; see
bench_potentials.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from bench_potentials import REFERENCES, aspirins, box
from bench_potentials_peers import Forces, Setting, nequip, schnetpack
from torch import Tensor, nn

from sciml.builders.atoms import atoms_graph
from sciml.graph import Graph
from sciml.models import NequIP, PaiNN, Potential, SchNet
from sciml.nn.equivariant.convolution import SILU
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


def copy_nequip(ours: NequIP, peer: nn.Module) -> None:
    """Copy NequIP's layers, whose maps are normalized where they act, and whose edges point the other way."""
    parts = dict(peer.named_modules())
    named = lambda ending: next(part for name, part in parts.items() if name.endswith(ending))
    types = named("type_embed.embed_module").weight
    ours.embedding.copy_(types)
    for number, mine in enumerate(ours.layers):
        conv = named(f"layer{number}_convnet.conv")
        norm = conv.avg_num_neighbors_norm.norm_const.item()
        for weight, (instruction, theirs) in zip(mine.before, _views(conv.linear_1)):
            weight.copy_(instruction.path_weight * theirs)
        for weight, (instruction, theirs) in zip(mine.after, _views(conv.linear_2)):
            weight.copy_(norm * instruction.path_weight * theirs)
        linear = [layer for layer in conv.edge_mlp.mlp if hasattr(layer, "alpha")]
        for layer, theirs in zip(mine.weigh[::2], linear):
            layer.weight.copy_((theirs.alpha * theirs.weight).T)
        mine.weigh[0].weight.mul_((2 / ours.cutoff) ** 0.5)  # our waves are normalized
        signs = torch.tensor([(-1.0) ** path.degree for path in mine.paths.paths])
        mine.weigh[-1].weight.mul_(signs.repeat_interleave(mine.channels)[:, None])
        for weight in mine.own.weights.values():
            weight.zero_()  # the first layer has none
        for instruction, theirs in [] if conv.sc is None else _views(conv.sc):
            kind = str(mine.paths.left[instruction.i_in1])
            scale = instruction.path_weight / (2 * int(kind[:-1]) + 1) ** 0.5
            mine.own.weights[kind].copy_(scale * torch.einsum("uaw,za->zuw", theirs, types).flatten(0, 1))
    readout = named("per_atom_energy_readout.mlp_module").mlp[0]
    ours.readout.copy_((readout.alpha * readout.weight)[:, 0])
    for part in parts.values():  # the peer's are estimated from random numbers
        if type(part).__name__ == "normalize2mom":
            part.cst = SILU


def _views(module: nn.Module) -> list[tuple[Any, Tensor]]:
    """Return the weights of a module of e3nn, each with what it connects, in the order of what comes out."""
    found = [(instruction, weight) for _, instruction, weight in module.weight_views(yield_instruction=True)]
    return sorted(found, key=lambda pair: pair[0].i_out)


Copy = Callable[[Potential, nn.Module], None]
SCHNETPACK: dict[str, tuple[type[Potential], Copy, str, Callable[[Tensor], Tensor]]] = {
    "SchNet": (SchNet, copy_schnet, "GaussianRBF", ShiftedSoftplus()),
    "PaiNN": (PaiNN, copy_painn, "BesselRBF", nn.functional.silu),
}


def of_schnetpack(name: str, graph: Graph) -> tuple[Potential, Forces]:
    """Return our model with the weights of SchNetPack's, and theirs."""
    make, copy, basis, activation = SCHNETPACK[name]
    setting = Setting(name, 64, 3, 1, 20, 5.0)
    peer, theirs = schnetpack(setting, graph, basis, Envelope(setting.cutoff), activation)
    exact(peer, setting)
    for parameter in peer.parameters():  # constants that start at zero would hide where they belong
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    model = make(channels=64, layers=3, radial=20, cutoff=5.0).double()
    with torch.no_grad():
        copy(model, peer.representation)
        copied(model.readout, peer.output_modules[0].outnet)
        model.embedding[:100] = peer.representation.embedding.weight
    return model, theirs


def of_nequip(lmax: int, graph: Graph) -> tuple[Potential, Forces]:
    """Return our model with the weights of nequip's, and theirs, with our envelope, of power 3."""
    setting = Setting("NequIP", 16, 4, lmax, 8, 5.0)
    torch.set_default_dtype(torch.float64)
    peer, theirs = nequip(setting, graph, power=3)
    torch.set_default_dtype(torch.float32)
    options = {"channels": 16, "layers": 4, "lmax": lmax, "radial": 8, "hidden": (64, 64), "cutoff": 5.0}
    model = NequIP(**options, parity="natural", neighbors=1.0, references=REFERENCES).double()
    with torch.no_grad():
        copy_nequip(model, peer)
    return model, theirs


def main() -> None:
    """Print by how much they differ."""
    torch.manual_seed(0)
    makers = {name: partial(of_schnetpack, name) for name in SCHNETPACK}
    makers |= {f"NequIP, lmax {lmax}": partial(of_nequip, lmax) for lmax in (1, 2)}
    for name, make in makers.items():
        for system, structures in (("32 aspirins", aspirins()), ("216 atoms, periodic", [box(216)])):
            graph = atoms_graph(structures, 5.0)
            try:
                model, theirs = make(graph)
            except ImportError as error:
                print(f"{name}: not compared, {error}")
                break
            found, expected = model.derivatives(graph)[:2], theirs(False)
            for what, a, b in zip(("energies", "forces"), found, expected):
                b = b.reshape(a.shape)
                size, error = b.detach().abs().max().item(), (a - b).abs().max().item()
                print(f"{name}, {system}: {what} up to {size:.3g} differ by {error:.1e} at most")


if __name__ == "__main__":
    main()
