"""Molecules per second that a D-MPNN trains on, beside Chemprop where it is installed.

    python scripts/bench_dmpnn.py FILE.csv                   a table with a column of SMILES
    python scripts/bench_dmpnn.py FILE.csv batch=64 epochs=5

Both have 300 channels, three rounds of messages, the mean over atoms, a readout of one hidden layer of 300
and Adam; float32, one thread, graphs made beforehand. The time is the processor's, of the fastest epoch.
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


def ours(smiles: list[str], batch: int) -> tuple[Run, Run]:
    """Return what makes the graphs, and what trains for an epoch."""
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

    return lambda: molecule_graph(smiles, workers=1) and None, epoch


def chemprops(smiles: list[str], batch: int) -> tuple[Run, Run]:
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

    return lambda: dataset() and None, epoch


def fastest(run: Run, times: int) -> float:
    """Return the least processor time of several runs, after one that does not count."""
    run()
    seconds = []
    for _ in range(times):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
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
    shown = Table("", "graphs, molecules/s", "training, molecules/s", title=f"{len(smiles)} molecules")
    makers = {"sciml": ours} | ({"Chemprop": chemprops} if find_spec("chemprop") else {})
    for name, make in makers.items():
        featurize, epoch = make(smiles, options.batch)
        speed = [len(smiles) / fastest(run, options.epochs) for run in (featurize, epoch)]
        shown.add_row(name, *(f"{s:,.0f}" for s in speed))
    Console(width=80).print(shown)


if __name__ == "__main__":
    main()
