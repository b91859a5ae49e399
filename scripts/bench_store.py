"""A million small graphs through a store, memory and speed: bench_store.py [FOLDER] [GRAPHS]."""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from sciml.datasets.store import GraphStore, write_store
from sciml.graph import Graph
from sciml.training.data import Batches

MADE = 10_000  # graphs at a time
BATCH = 256


def molecules(start: int, number: int) -> Iterator[Graph]:
    """Give graphs of 6 to 12 nodes in rings, both ways, with positions, elements and a target."""
    for first in range(start, number, MADE):
        rng = np.random.default_rng(first)
        counts = rng.integers(6, 13, min(MADE, number - first))
        total = int(counts.sum())
        begin = np.repeat(counts.cumsum() - counts, counts)
        size = np.repeat(counts, counts)
        node = np.arange(total)
        after = begin + (node - begin + 1) % size
        edges = torch.from_numpy(np.concatenate([[node, after], [after, node]], axis=1))
        yield Graph.create(
            edges,
            {
                "pos": torch.from_numpy(rng.normal(size=(total, 3)).astype(np.float32)),
                "number": torch.from_numpy(rng.integers(1, 10, total)),
            },
            globals={"y": torch.from_numpy(rng.normal(size=(len(counts), 3)))},
            node_counts=torch.from_numpy(counts),
        )


def resident() -> float:
    """Return the memory of this process now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def epoch(store: GraphStore, seed: int) -> tuple[float, float, float]:
    """Draw all batches in random order; return CPU seconds, a checksum and the largest memory."""
    start, check, most = time.process_time(), 0.0, 0.0
    for number, batch in enumerate(Batches(store, BATCH, seed=seed)):
        check += float(batch.globals["y"].sum()) + float(batch.nodes["pos"][batch.sender].sum())
        if number % 50 == 0:
            most = max(most, resident())
    return time.process_time() - start, check, most


def main() -> None:
    """Write, read in random order twice, and print."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "store"
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    print(f"before: {resident():.0f} MiB")
    start = time.process_time()
    store = write_store(folder, lambda begin: molecules(begin, number), key=f"bench {number}")
    spent = time.process_time() - start
    size = sum(file.stat().st_size for file in folder.iterdir()) / 2**20
    print(f"{number} graphs written, {size:.0f} MiB, {spent:.1f} s of CPU; memory {resident():.0f} MiB")
    for seed in (0, 1):
        spent, check, most = epoch(store, seed)
        print(
            f"epoch {seed}: {number / spent:.0f} graphs per second of CPU, at most {most:.0f} MiB "
            f"(checksum {check:.6g})"
        )
    if len(sys.argv) <= 1:
        shutil.rmtree(folder.parent)


if __name__ == "__main__":
    main()
