"""Ensembles of potentials: members trained one after the other, intervals calibrated on frames kept back."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from sciml.datasets.frames import Frames
from sciml.graph import Graph
from sciml.models import PotentialEnsemble, Prediction
from sciml.training.conformal import conformal_half_width
from sciml.training.fit import duration
from sciml.training.potential import MEV, train_potential
from sciml.training.processes import first
from sciml.training.run import AtomicCheckpoints

log = logging.getLogger(__name__)
UNITS = {
    "energy_coverage": "",
    "force_coverage": "",
    "energy_half_width": "meV",
    "force_half_width": "meV/Å",
    "force_spread_rank_correlation": "",
}


def train_ensemble(
    model: PotentialEnsemble,
    train: Graph,
    validation: Graph,
    calibration: Frames | None,
    run_dir: str | Path,
    *,
    seed: int = 0,
    max_time: str | None = None,
    **options: Any,
) -> PotentialEnsemble:
    """Train the members one after the other, or go on where an earlier call was ended; then calibrate.

    The members differ in their first weights and in the order of batches.

    Args:
        model: an ensemble whose members were made with different random numbers.
        train, validation: see `train_potential`.
        calibration: the frames of validation; without them there are no intervals.
        run_dir: gets ``checkpoints/last.ckpt``, and a run of each member under ``members``.
        seed: of the first member's batches.
        max_time: of all members together, as DD:HH:MM:SS.
        options: of `train_potential`.

    Raises:
        ValueError: as `train_potential`; a time of another form.
    """
    run_dir, share = Path(run_dir), None if max_time is None else duration(max_time) / len(model.members)
    for number, member in enumerate(model.members):
        log.info("member %d of %d", number + 1, len(model.members))
        trained = train_potential(
            member, train, validation, run_dir / "members" / str(number),  # type: ignore[arg-type]
            seed=seed + number, max_time=share, **options,
        )  # fmt: skip
        member.load_state_dict(trained.state_dict())
    model.eval()
    if calibration is None:
        log.warning("no validation frames (data.split.validation): the spread is not calibrated")
    else:
        calibrate(model, calibration)
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    if first():
        AtomicCheckpoints().save_checkpoint({"state_dict": state}, run_dir / "checkpoints" / "last.ckpt")
    return model


def calibrate(model: PotentialEnsemble, frames: Frames) -> None:
    """Set the factors between spread and interval so that these frames are covered as promised.

    Split conformal prediction with errors in units of the spread (Lei et al. 2018, arXiv 1604.04173, section
    5.2). It holds for frames that are exchangeable with these. Components of the forces of one frame are not
    independent of each other: for them the share is an average over frames, without the exact guarantee.

    Args:
        model: is changed in place.
        frames: that were not trained on.
    """
    found = model.predict(frames.atoms)
    assert isinstance(found, list)
    atoms = np.array([len(a) for a in frames.atoms])
    energy_std = np.array([p.energy_std for p in found])
    forces_std = np.concatenate([np.asarray(p.forces_std) for p in found])
    model.energy_floor.fill_(float((energy_std / atoms).mean()))
    model.forces_floor.fill_(float(forces_std.mean()))
    model.largest.fill_(float(forces_std.max()))
    energy, forces = _errors(frames, found)
    energy_scale = energy_std + float(model.energy_floor) * atoms
    forces_scale = (forces_std + float(model.forces_floor))[:, None]
    tiny = np.finfo(float).tiny
    scores = (
        (energy / np.maximum(energy_scale, tiny))[:, None],
        (forces / np.maximum(forces_scale, tiny)).reshape(-1, 1),
    )
    for factor, score in zip((model.energy_factor, model.forces_factor), scores):
        factor.fill_(float(conformal_half_width(score, model.coverage)[0]))


def judge_uncertainty(frames: Frames, found: list[Prediction]) -> dict[str, float]:
    """Return how many true values the intervals hold, how wide these are, and whether spread tells errors.

    The last is Spearman's rank correlation, over atoms, of the spread of the force with the length of its
    error. Only what the frames have is compared.
    """
    energy, forces = _errors(frames, found)
    energy_half = np.array([p.energy_half_width for p in found])
    forces_half = np.concatenate([np.asarray(p.forces_half_width) for p in found])
    spread = np.concatenate([np.asarray(p.forces_std) for p in found])
    result: dict[str, float] = {}
    known, of_atom = np.isfinite(energy), np.isfinite(forces).all(1)
    if known.any() and np.isfinite(energy_half).all():
        result["energy_coverage"] = float((energy <= energy_half)[known].mean())
        result["energy_half_width"] = MEV * float(energy_half[known].mean())
    if of_atom.any() and np.isfinite(forces_half).all():
        result["force_coverage"] = float((forces <= forces_half[:, None])[of_atom].mean())
        result["force_half_width"] = MEV * float(forces_half[of_atom].mean())
    if of_atom.sum() > 2:
        lengths = np.linalg.norm(forces[of_atom], axis=1)
        result["force_spread_rank_correlation"] = float(spearmanr(spread[of_atom], lengths).statistic)
    return result


def _errors(frames: Frames, found: list[Prediction]) -> tuple[np.ndarray, np.ndarray]:
    """Return absolute errors of energies (frames,) and forces (atoms, 3), NaN where there is no truth."""
    energy = np.abs(np.array([p.energy for p in found]) - frames.energy)
    unknown = lambda p, f: np.full_like(p.forces, np.nan) if f is None else np.abs(p.forces - f)
    return energy, np.concatenate([unknown(p, f) for p, f in zip(found, frames.forces)])
