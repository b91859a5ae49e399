"""Whole simulations as graphs, for models that remember."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from sciml.datasets.trajectories import Trajectories
from sciml.graph import Graph, batch
from sciml.training.dynamics import DynamicsData, frames_to_graph, relative_noise


def memory_data(
    trajectories: Trajectories, *, train: float = 0.8, longest: int | None = None
) -> DynamicsData:
    """Return simulations as `sciml.models.MemoryNetwork` reads them, the last part of them kept back.

    Each graph holds all times of one simulation: nodes by time and particle, with ``time`` and the fields of
    `frames_to_graph`, and edges between all pairs of one time.

    Args:
        trajectories: several simulations, masses given; accelerations are estimated where they are missing.
        train: share of the simulations that is learned from.
        longest: times taken of each, all if None.

    Raises:
        ValueError: fewer than two simulations: a memory is learned from one and judged on another.
    """
    if trajectories.shape[0] < 2:
        raise ValueError(
            f"{trajectories.source}: a memory needs two simulations at least, to judge it by one."
        )
    trajectories = trajectories.with_accelerations()
    past, future = trajectories.split(train, by="simulation")
    times = min(longest or trajectories.shape[1], trajectories.shape[1])
    graphs, held_out = (world_lines(part, range(part.shape[0]), times) for part in (past, future))
    return DynamicsData(graphs, graphs, held_out, past, future, relative_noise(past), None)


def world_lines(trajectories: Trajectories, simulations: Sequence[int], times: int) -> Graph:
    """Return one graph for each of these simulations, see `memory_data`."""
    found = []
    for simulation in simulations:
        frames = frames_to_graph(trajectories, simulation * trajectories.shape[1] + np.arange(times))
        clock = np.repeat(trajectories.time[simulation, :times], trajectories.shape[2])
        nodes = dict(frames.nodes) | {"time": torch.as_tensor(clock)}
        one = Graph.create(
            frames.edge_index,
            nodes,
            specs={("nodes", name): frames.spec("nodes", name) for name in frames.nodes},
        )
        found.append(one)
    return batch(found)
