"""What scripts/simulate.py does: particles, fields, tables of pairs, and frames of a molecule."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf

from sciml.datasets import FieldSeries, write_field, write_npz, write_pairs
from sciml.datasets.computed_frames import dynamics_frames, molecule_structure, xtb_calculator
from sciml.datasets.simulated import of_truth
from sciml.datasets.simulated_pairs import simulated_drug_target, simulated_preferences
from sciml.physics.fields import FIELDS, simulate_field
from sciml.physics.systems import simulate
from sciml.training.errors import RunError

log = logging.getLogger(__name__)
PARTICLES = ("particles", "dim", "simulations", "times", "dt", "substeps", "constant", "softening", "seed")
TABLES = ("tolerance", "species", "couplings", "masses", "charges", "parameters")
ENERGY = {True: "conserved to", False: "lost to drag or alignment; less their work, conserved to"}
MOMENTUM = {True: "conserved to", False: "not conserved by this system; its change"}
PAIRS = {"drug_target": simulated_drug_target, "preferences": simulated_preferences}


def simulated(config: DictConfig) -> Path:
    """Simulate, spoil by noise if asked, and write."""
    if OmegaConf.is_missing(config, "output"):
        raise RunError(
            "output is missing: output=FILE.npz, FILE.csv for a table of pairs, FILE.extxyz for a molecule"
        )
    if config.molecule is not None:
        return compute_frames(config)
    if config.system in PAIRS:
        return write_table(config)
    if config.noise < 0:
        raise ValueError(f"noise={config.noise}: expected 0 or more")
    if config.system in FIELDS:
        return simulate_fields(config)
    return simulate_particles(config)


def simulate_particles(config: DictConfig) -> Path:
    """Simulate particles, say how well energy and momentum are kept, spoil positions by noise, and write."""
    options = {name: config[name] for name in PARTICLES}
    whole = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    tables = {name: whole[name] for name in TABLES if whole[name] is not None}
    truth = simulate(config.system, **options, **tables)
    found = of_truth(truth, list(config.given), f"simulated {config.system}, seed {config.seed}")
    log.info("parameters: %s", ", ".join(f"{name} {value:g}" for name, value in truth.parameters.items()))
    log.info("energy: %s %.1g", ENERGY[truth.keeps_energy], truth.energy_drift.max())
    log.info("momentum: %s %.1g", MOMENTUM[truth.keeps_momentum], truth.momentum_drift.max())
    if config.noise:
        spread = found.position.std() * config.noise
        noise = np.random.default_rng(config.seed + 1).normal(0.0, spread, found.position.shape)
        found = dataclasses.replace(found, position=found.position + noise, velocity=None, acceleration=None)
    output = Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_npz(output, found)
    return output


def compute_frames(config: DictConfig) -> Path:
    """Let a molecule move by a method of quantum chemistry, and write frames with energies and forces."""
    import ase.io

    atoms = molecule_structure(str(config.molecule), seed=config.seed)
    calculator = xtb_calculator(atoms, config.method)
    options = {name: config[name] for name in ("frames", "temperature", "between", "seed")}
    said = f"{config.frames} frames, {config.between:g} fs apart, at {config.temperature:g} K"
    log.info("%s by %s: %s", atoms.get_chemical_formula(), config.method, said)
    output = Path(config.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".partial-{output.name}")
    found = []
    for number, frame in enumerate(dynamics_frames(atoms, calculator, **options), start=1):
        found.append(frame)
        if number % max(config.frames // 10, 1) == 0:
            log.info("%d frames", number)
    ase.io.write(partial, found)
    partial.replace(output)
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
