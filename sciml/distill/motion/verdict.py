"""What a fitted law of motion is worth, in one word and in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

VISIBLE = 1.15  # mean square over that of noise above which there is something to explain
EXPLAINED = 0.05  # rms of what is left beyond noise, relative to the accelerations, that a law may leave
EXACT = 0.01  # the same from which on a law is said to lack something
BEYOND = 1.5  # mean squared residual over the noise up to which chance and smoothing explain it
FOLLOWED = 1.1  # mean squared residual of paths over the noise of a law that follows them
MISSED = 1.6  # mean squared residual of paths over the noise that a law cannot have
LONG = 14  # nodes of a formula beyond which others of its length would fit as well
LIKE_ARITHMETIC = 1e-6  # relative rms of what is left that no wrong formula reaches
CLOSE = 5.0  # nats by which another law must be worse


@dataclass(frozen=True)
class Evidence:
    """What the data say of a law.

    Attributes:
        energy: mean square of what was to be explained, in units of the noise where it is known.
        loss, held_out: mean squared residuals on fitted and on later rows.
        noise_known: whether one is the noise.
        energy_held_out: mean square of the held-out targets.
        paths: mean squared residual of positions against trajectories of the law over the noise, None if
            not compared.
        far: whether these trajectories are much longer than what the acceleration in a row is made of.
    """

    energy: float
    loss: float
    held_out: float
    noise_known: bool
    energy_held_out: float
    paths: float | None = None
    far: bool = False

    def left(self, loss: float, energy: float) -> float:
        """Return the rms of what is left beyond noise, relative to what was there beyond noise."""
        noise = 1.0 if self.noise_known else 0.0
        return float(np.sqrt(max(loss - noise, 0.0) / max(energy - noise, 1e-12 * energy, 1e-300)))

    @property
    def follows(self) -> bool:
        """Whether trajectories leave nothing but noise: constants may be off, but no force is missing."""
        return self.paths is not None and self.paths < FOLLOWED

    @property
    def unexplained(self) -> float:
        """Rms of what is left beyond noise on held-out rows, relative."""
        return self.left(self.held_out, self.energy_held_out)

    @property
    def explained(self) -> float:
        """Share of the variance of the accelerations, beyond noise, that the law explains (held out)."""
        return 1.0 - self.unexplained**2


def judge(evidence: Evidence, parts: int, rivals: Sequence[str], nodes: int = 0) -> tuple[str, str]:
    """Return verdict and reason.

    Args:
        evidence: residuals.
        parts: number of terms of the law.
        rivals: other laws that the data do not tell from it, in words.
        nodes: of the longest formula of a force.
    """
    if evidence.noise_known and evidence.energy < VISIBLE:
        return "none", (
            "There is no acceleration beyond the noise: the mean square of what a law would have to explain "
            f"is {evidence.energy:.2f} of the noise's. Record longer, or with less noise."
        )
    if not parts:
        return "none", "No force that was tried explains the accelerations better than none."
    stated = f"it explains {_percent(evidence.explained)} of the variance of held-out accelerations"
    if evidence.noise_known:
        stated += f", and leaves {evidence.held_out:.3g} of the noise's mean square"
    if evidence.paths is not None:
        stated += f"; trajectories by the law leave {evidence.paths:.3g} of the noise in positions"
    short = evidence.left(evidence.loss, evidence.energy)
    beyond = not evidence.noise_known or evidence.held_out > BEYOND
    spoiled = (evidence.unexplained > EXPLAINED and beyond) or (short > EXPLAINED and evidence.loss > BEYOND)
    # noise of positions inside the forces spoils rows; trajectories from fitted starts are free of it
    if spoiled and not (evidence.far and evidence.follows):
        left = _left(max(short, evidence.unexplained))
        if evidence.follows:
            return "ambiguous", (
                f"Its paths follow the positions to within their noise, but it leaves {left}; {stated}. The "
                "noise is too large, or the record too short, to tell which law it is."
            )
        return "none", (
            f"No law of this kind explains the motion: the best leaves {left}; {stated}. A force that "
            "changes with time, a particle that is not in the file, memory or chance would do so."
        )
    if evidence.paths is not None and evidence.paths > MISSED:
        return "none", (
            f"The law follows the accelerations but not the paths: {stated}. Some force is missing."
        )
    if rivals:
        return "ambiguous", f"The data do not tell this law from {'; nor from '.join(rivals[:4])}: {stated}."
    exact = not evidence.noise_known and evidence.unexplained < LIKE_ARITHMETIC
    if nodes > LONG and not exact:
        return "ambiguous", (
            f"A formula of {nodes} nodes is one of many that describe these data; take it for a description "
            f"within their range, not for the law: {stated}."
        )
    missing = evidence.unexplained > EXACT and evidence.held_out > 3 and not evidence.follows
    lacks = " A smaller effect is missing." if missing else ""
    return "law", f"One law explains the motion, and no simpler or other one does: {stated}.{lacks}"


def _percent(share: float) -> str:
    """Write a share of variance; what is worse than nothing explains nothing."""
    return f"{100 * min(share, 1.0):.4g} %" if share > 0 else "nothing"


def _left(share: float) -> str:
    """Write what is left of the accelerations."""
    if share >= 1:
        return "more than there was to explain in rows that it was not fitted to"
    return f"{share:.1%} of the accelerations (rms, beyond noise)"
