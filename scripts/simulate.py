"""Things to try on: python scripts/simulate.py system=gravity output=FILE.npz; or drug_target, FILE.csv."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from common import main
from omegaconf import DictConfig, OmegaConf

from sciml.datasets import FieldSeries, simulated, write_field, write_npz, write_pairs
from sciml.datasets.simulated_pairs import simulated_drug_target, simulated_preferences
from sciml.physics.fields import FIELDS, simulate_field
from sciml.training.run import RunError

PAIRS = {"drug_target": simulated_drug_target, "preferences": simulated_preferences}


def run(config: DictConfig) -> Path:
    """Simulate, spoil by noise if asked, and write."""
    if OmegaConf.is_missing(config, "output"):
        raise RunError("output is missing: output=FILE.npz, or FILE.csv for a table of pairs")
    if config.system in PAIRS:
        return write_table(config)
    if config.noise < 0:
        raise ValueError(f"noise={config.noise}: expected 0 or more")
    if config.system in FIELDS:
        return simulate_fields(config)
    names = ("particles", "dim", "simulations", "times", "dt", "softening", "seed")
    found = simulated(config.system, given=list(config.given), **{name: config[name] for name in names})
    if config.noise:
        spread = found.position.std() * config.noise
        noise = np.random.default_rng(config.seed + 1).normal(0.0, spread, found.position.shape)
        found = dataclasses.replace(found, position=found.position + noise, velocity=None, acceleration=None)
    output = Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_npz(output, found)
    return output


def simulate_fields(config: DictConfig) -> Path:
    """Simulate fields on a periodic grid, spoil them by noise if asked, and write."""
    options = OmegaConf.to_container(config.field, resolve=True)
    found = simulate_field(config.system, seed=config.seed, **options)
    values = found.values
    if config.noise:
        spread = values.std(axis=tuple(range(values.ndim - 1)))
        values = values + np.random.default_rng(config.seed + 1).normal(
            0.0, config.noise * spread, values.shape
        )
    source = f"simulated {config.system}, seed {config.seed}"
    data = FieldSeries(
        values, found.dx, found.dt, found.channels, periodic=(True,) * len(found.dx), source=source
    )
    output = Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_field(output, data, found.parameters)
    return output


def write_table(config: DictConfig) -> Path:
    """Simulate a table of pairs and write it."""
    pairs = PAIRS[config.system](**config[config.system], seed=config.seed)
    output = Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_pairs(output, pairs)
    return output


if __name__ == "__main__":
    main(run, "simulate")
