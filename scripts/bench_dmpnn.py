"""Molecules per second that a D-MPNN trains on, beside Chemprop where it is installed.

    python scripts/bench_dmpnn.py FILE.csv                   a table with a column of SMILES
    python scripts/bench_dmpnn.py FILE.csv batch=64 epochs=5

Both have 300 channels, three rounds of messages, the mean over atoms, a readout of one hidden layer of 300
and Adam; float32, one thread, graphs made beforehand. The time is the processor's, of the fastest epoch.
Graphs are made by one process, and once more as either makes them by itself (ours by all cores), by the
clock on the wall.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from common import fail, keep_memory
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from sciml.builders.molecule import molecule_graph, parse_molecules
from sciml.datasets.molecule_table import find_smiles_column
from sciml.datasets.tables import read_table
from sciml.models import PropertyPredictor

Run = Callable[[], None]


def ours(smiles: list[str], batch: int) -> tuple[Run, Run, Run]:
    """Return what makes the graphs in one process, and in all, and what trains for an epoch."""
    graphs = molecule_graph(smiles)
    y = torch.randn(len(smiles), 1, 1)
    model = PropertyPredictor(["y"], channels=300, steps=2)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0, fused=True)

    def epoch() -> None:
        for rows in torch.randperm(len(smiles)).split(batch):
            loss = (model(graphs[rows]).globals["predicted"] - y[rows]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    alone, together = (lambda n=n: molecule_graph(smiles, workers=n) and None for n in (1, None))
    return alone, together, epoch


def chemprops(smiles: list[str], batch: int) -> tuple[Run, Run, Run]:
    """Return the same of Chemprop."""
    from chemprop import data, models, nn

    def dataset() -> data.MoleculeDataset:
        points = [data.MoleculeDatapoint.from_smi(s, [0.0]) for s in smiles]
        made = data.MoleculeDataset(points)
        made.cache = True  # featurizes all of them
        return made

    y = torch.randn(len(smiles), 1)
    made = dataset()
    loader = data.build_dataloader(made, batch_size=batch, num_workers=0, shuffle=True)
    readout = nn.RegressionFFN(input_dim=300, hidden_dim=300, n_layers=1)
    model = models.MPNN(
        nn.BondMessagePassing(d_h=300, depth=3), nn.MeanAggregation(), readout, batch_norm=False
    )
    optimizer = torch.optim.Adam(model.parameters())

    def epoch() -> None:
        for content in loader:
            graph = content[0]
            loss = (model(graph) - y[: len(graph)]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    made_by = lambda: dataset() and None
    return made_by, made_by, epoch


def fastest(run: Run, times: int, clock: Callable[[], float]) -> float:
    """Return the least time of several runs, after one that does not count."""
    run()
    seconds = []
    for _ in range(times):
        start = clock()
        run()
        seconds.append(clock() - start)
    return min(seconds)


def main() -> None:
    paths = [a for a in sys.argv[1:] if "=" not in a]
    if len(paths) != 1:
        fail(f"Expected one file, found {paths or 'none'}. {str(__doc__).splitlines()[2].strip()}", status=2)
    options = OmegaConf.merge(
        {"batch": 64, "epochs": 3}, OmegaConf.from_dotlist([a for a in sys.argv[1:] if "=" in a])
    )
    keep_memory()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    path = Path(paths[0])
    table = read_table(path)
    texts = list(table[find_smiles_column(table, None, path)])
    smiles = [texts[row] for row in parse_molecules(texts).rows]
    heads = "graphs, one process", "graphs, by default", "training"
    shown = Table("molecules/s", *heads, title=f"{len(smiles)} molecules")
    makers = {"sciml": ours} | ({"Chemprop": chemprops} if find_spec("chemprop") else {})
    for name, make in makers.items():
        clocks = time.process_time, time.perf_counter, time.process_time
        runs = zip(make(smiles, options.batch), clocks)
        speed = [len(smiles) / fastest(run, options.epochs, clock) for run, clock in runs]
        shown.add_row(name, *(f"{s:,.0f}" for s in speed))
    Console(width=80).print(shown)


if __name__ == "__main__":
    main()
