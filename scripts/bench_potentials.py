"""Interatomic potentials against their peers: neighbours, tensor convolution, training, inference, growth.

    python scripts/bench_potentials.py only=neighbours,convolution,models,growth repeats=5 match=MACE

Ours and the peer's run in turn (A B A B ...) in one process, and the median of the ratios of their CPU times
is what counts: a machine that is busy with other things does it little harm. Float32; the same
hyperparameters, the same edges. The first call, with what is compiled then, is stated apart. Peers are not
dependencies: where one is missing its rows say so. To have them, in an environment of their own:

    pip install --no-deps schnetpack nequip mace-torch torch_ema matscipy dirsync fasteners torch_geometric
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from ase import Atoms
from bench_potentials_peers import PEERS, Forces, Setting
from common import keep_memory
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table
from torch import Tensor

from sciml.builders.atoms import atoms_graph, neighbours
from sciml.graph import Graph
from sciml.models import EGNN, MACE, NequIP, PaiNN, Potential, SchNet
from sciml.nn.equivariant.paths import features, tensor_paths
from sciml.nn.equivariant.product import fused_convolution
from sciml.nn.pairs import pieces

REFERENCES = {"H": 0.0, "C": 0.0, "O": 0.0}


class Row(NamedTuple):
    """A comparison: first calls in s, times in ms, the median of peer/ours, and what it should be."""

    work: str
    peer: str
    first: float
    first_peer: float
    ours: float
    theirs: float
    ratio: float
    goal: float


def cpu(function: Callable[[], object]) -> float:
    """Return the CPU seconds of a call."""
    start = time.process_time()
    function()
    return time.process_time() - start


def compare(work: str, peer: str, ours: Callable, theirs: Callable, repeats: int, goal: float) -> Row:
    """Time two functions in turn, after their first calls."""
    first, first_peer = cpu(ours), cpu(theirs)
    ours(), theirs()
    pairs = [(cpu(ours), cpu(theirs)) for _ in range(repeats)]
    a, b = (1e3 * statistics.median(times) for times in zip(*pairs))
    return Row(work, peer, first, first_peer, a, b, statistics.median(y / x for x, y in pairs), goal)


# ------------------------------------------------------------------------ systems


def aspirins(count: int = 32) -> list[Atoms]:
    """Return aspirin, displaced at random from a conformer by RDKit."""
    from rdkit import Chem
    from rdkit.Chem import AllChem

    molecule = Chem.AddHs(Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O"))
    AllChem.EmbedMolecule(molecule, randomSeed=0)
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    positions, random = molecule.GetConformer().GetPositions(), np.random.default_rng(0)
    return [Atoms(numbers, positions + random.normal(scale=0.05, size=positions.shape)) for _ in range(count)]


def box(atoms: int, spacing: float = 2.3) -> Atoms:
    """Return a periodic box of H, C and O, displaced at random from a simple cubic lattice."""
    side, random = round(atoms ** (1 / 3)), np.random.default_rng(0)
    grid = spacing * np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3)
    numbers = random.choice([1, 6, 8], size=len(grid))
    positions = grid + random.normal(scale=0.15, size=grid.shape)
    return Atoms(numbers, positions, cell=[side * spacing] * 3, pbc=True)


# ------------------------------------------------------------------------ neighbours


def neighbour_lists(repeats: int) -> Iterator[Row]:
    """Pairs within 5 Å in a periodic box, beside vesin's own time for them; 10 % more are allowed."""
    from vesin import NeighborList

    for count in (27, 216, 1000, 10_648):
        atoms, times = box(count), max(1, 20_000 // count)
        mine = lambda a=atoms: neighbours(a.positions, a.cell.array, a.pbc, 5.0)
        theirs = lambda a=atoms: NeighborList(cutoff=5.0, full_list=True, sorted=True).compute(
            a.positions, a.cell.array, a.pbc, "ijS"
        )
        several = [lambda run=run, n=times: [run() for _ in range(n)] and None for run in (mine, theirs)]
        yield compare(f"neighbours of {count} atoms, {times} times", "vesin", *several, repeats, 1 / 1.1)


# ------------------------------------------------------------------------ convolution


def e3nn_convolution(paths, lmax: int) -> Callable[..., Tensor]:
    """Return e3nn's tensor product of the same paths, between gather and scatter."""
    from e3nn import o3

    irreps = lambda kinds: o3.Irreps("+".join(f"{paths.channels}x{kind}" for kind in kinds))
    product = o3.TensorProduct(
        irreps(paths.left),
        o3.Irreps.spherical_harmonics(lmax),
        irreps(paths.out[p.out] for p in paths.paths),
        [(p.left, p.degree, n, "uvu", True) for n, p in enumerate(paths.paths)],
        shared_weights=False, internal_weights=False,
    )  # fmt: skip

    def convolution(x, y, w, sender, receiver, nodes) -> Tensor:
        messages = product(x.index_select(0, sender), y, w)
        return messages.new_zeros(nodes, messages.shape[1]).index_add(0, receiver, messages)

    return convolution


def convolution(repeats: int) -> Iterator[Row]:
    """64 channels, 20,000 edges: forward and backward, and backward through the gradients."""
    channels, edges, nodes = 64, 20_000, 1000
    sender, receiver = torch.randint(nodes, (edges,)), torch.randint(nodes, (edges,)).sort().values
    for lmax in (1, 2):
        irreps = features(lmax)
        paths = tensor_paths(irreps, lmax, irreps, channels)
        leaf = lambda *shape: torch.randn(*shape, requires_grad=True)
        x, flat = [leaf(nodes, k.size, channels) for k in irreps], leaf(nodes, channels * 2 * (lmax + 1) ** 2)
        y, w = leaf(edges, (lmax + 1) ** 2), leaf(edges, len(paths.paths) * channels)
        peer = e3nn_convolution(paths, lmax)
        ours = lambda paths=paths, x=x, y=y, w=w: fused_convolution(paths, x, y, w, sender, receiver, nodes)
        theirs = lambda peer=peer, flat=flat, y=y, w=w: [peer(flat, y, w, sender, receiver, nodes)]
        for order, twice in (("forward and backward", False), ("and second backward", True)):
            work = f"convolution, lmax {lmax}, {order}"
            mine = backward(ours, [*x, y, w], twice)
            yield compare(work, "e3nn", mine, backward(theirs, [flat, y, w], twice), repeats, 4.0)


def backward(function: Callable[[], list[Tensor]], leaves: list[Tensor], twice: bool) -> Callable[[], None]:
    """Return a function that goes forward, backward, and, if ``twice``, backward through the gradients."""

    def run() -> None:
        values = function()
        slopes = [torch.ones_like(v, requires_grad=twice) for v in values]
        gradients = torch.autograd.grad(values, leaves, slopes, create_graph=twice)
        if twice:
            torch.autograd.grad(gradients, [*leaves, *slopes], [torch.ones_like(g) for g in gradients])

    return run


# ------------------------------------------------------------------------ models


def ours(name: str, setting: Setting) -> Potential:
    """Return our model with the hyperparameters of a comparison."""
    options = {"channels": setting.channels, "layers": setting.layers, "cutoff": setting.cutoff}
    neighbors = {"neighbors": setting.neighbors}
    tensors = options | neighbors | {"lmax": setting.lmax, "references": REFERENCES}
    makers: dict[str, Callable[[], Potential]] = {
        "SchNet": lambda: SchNet(**options, radial=setting.radial),
        "PaiNN": lambda: PaiNN(**options, radial=setting.radial),
        "EGNN": lambda: EGNN(**options | neighbors),
        "NequIP": lambda: NequIP(**tensors, parity="natural", hidden=(64, 64)),
        "MACE": lambda: MACE(**tensors, degree=1, correlation=3, hidden=(64, 64, 64)),
    }
    return makers[name]()


SETTINGS = {
    "SchNet": Setting("SchNet", 64, 3, 0, 32, 5.0),
    "PaiNN": Setting("PaiNN", 64, 3, 1, 20, 5.0),
    "NequIP, lmax 1": Setting("NequIP", 32, 4, 1, 8, 4.0),
    "NequIP, lmax 2": Setting("NequIP", 32, 4, 2, 8, 4.0),
    "MACE, lmax 2": Setting("MACE", 32, 2, 2, 8, 4.0),
}


def training(energy_and_forces: Forces, parameters: list[Tensor]) -> Callable[[], None]:
    """Return a training step without the optimizer."""

    def run() -> None:
        energy, forces = energy_and_forces(True)
        loss = energy.square().mean() + forces.square().mean()
        torch.autograd.grad(loss, parameters, allow_unused=True)

    return run


def potential(model: Potential, graph: Graph) -> Forces:
    """Return energy and forces of our model, with or without what learning needs."""

    def run(learning: bool) -> tuple[Tensor, Tensor]:
        with torch.set_grad_enabled(learning):
            return model.derivatives(graph, virial=False)[:2]

    return run


def models(repeats: int, match: str = "") -> Iterator[Row]:
    """Steps of training and inference, of energy and forces; of settings with ``match`` in their title."""
    for system, structures in (("32 aspirins", aspirins()), ("1,000 atoms", [box(1000)])):
        for title, setting in SETTINGS.items():
            if match not in f"{title}, {system}":
                continue
            graph = atoms_graph(structures, setting.cutoff).to(torch.device("cpu"), torch.float32)
            setting = setting._replace(neighbors=graph.num_edges / graph.num_nodes)
            model = ours(setting.name, setting)
            mine = potential(model, graph)
            for peer, maker in PEERS[setting.name].items():
                try:
                    other, theirs = maker(setting, graph)
                except ImportError as error:
                    print(title, peer, "not measured:", error, file=sys.stderr)
                    continue
                steps = [training(mine, list(model.parameters())), training(theirs, list(other.parameters()))]
                goal = 2.5 if setting.name in ("NequIP", "MACE") else 1.5
                yield compare(f"{title}, {system}, training", peer, *steps, repeats, goal)
                infer = [lambda mine=mine: mine(False), lambda theirs=theirs: theirs(False)]
                yield compare(f"{title}, {system}, inference", peer, *infer, repeats, 2.0)


# ------------------------------------------------------------------------ growth


def growth(largest: int) -> Table:
    """Return time and memory of inference per atom, from 10 to 100,000 atoms.

    What is in several pieces is computed once more for the forces where memory is scarce.
    """
    head = "atoms", "edges", "pieces", "CPU s", "µs per atom", "largest memory so far, MB"
    table = Table(*head, title="NequIP, lmax 1: energy and forces")
    setting = SETTINGS["NequIP, lmax 1"]
    model = ours(setting.name, setting).eval()
    for side in (2, 5, 10, 22, 32, 46):
        if side**3 > largest:
            break
        graph = atoms_graph(box(side**3), setting.cutoff).to(torch.device("cpu"), torch.float32)
        run = potential(model, graph)
        run(False)
        seconds = cpu(lambda run=run: run(False))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sizes = graph.num_nodes, graph.num_edges, len(pieces(graph)) - 1
        cells = *sizes, f"{seconds:.3f}", f"{1e6 * seconds / graph.num_nodes:.0f}", f"{memory:.0f}"
        table.add_row(*map(str, cells))
        print(*cells, sep="  ", file=sys.stderr, flush=True)
    return table


def main() -> None:
    defaults = {
        "threads": 1,
        "repeats": 5,
        "only": "neighbours,convolution,models,growth",
        "largest": 100_000,
        "match": "",
    }
    options = defaults | dict(OmegaConf.from_cli(sys.argv[1:]))
    keep_memory()
    torch.set_num_threads(options["threads"])
    torch.manual_seed(0)
    head = ("work", "peer", "first call, s", "peer's", "ours, ms", "peer, ms", "peer / ours", "goal")
    table = Table(*head, title="potentials and their peers, CPU time")
    measured = {
        "neighbours": neighbour_lists,
        "convolution": convolution,
        "models": lambda repeats: models(repeats, options["match"]),
    }
    for name, rows in measured.items():
        if name not in options["only"]:
            continue
        for row in rows(options["repeats"]):
            verdict = "met" if row.ratio >= row.goal else "missed"
            numbers = f"{row.first:.2f}", f"{row.first_peer:.2f}", f"{row.ours:.1f}", f"{row.theirs:.1f}"
            cells = row.work, row.peer, *numbers, f"{row.ratio:.2f}", f"≥ {row.goal:.2g}: {verdict}"
            table.add_row(*cells)
            print(*cells, sep="  ", file=sys.stderr, flush=True)
    console = Console(width=150)
    if table.row_count:
        console.print(table)
    if "growth" in options["only"]:
        console.print(growth(options["largest"]))


if __name__ == "__main__":
    main()
