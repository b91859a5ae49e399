"""What a law of pairs is worth, in one word and in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EXPLAINED = 0.05  # rms of what is left, relative to the forces, that a law may leave
SPLINES = 1.5  # times what splines leave, that a law may leave
MANY = 1.5  # times less that a network must leave for what pairs leave to be more than noise


@dataclass(frozen=True)
class Shares:
    """Root mean squares of what is left of forces in frames kept back, over that of the forces.

    Attributes:
        law: by the formulas.
        splines: by any sum over pairs, as splines.
        energies: by the formulas, of the energies' spread; None where there is none.
        network: by the network; None without one.
        of_network: what the formulas leave of the network's forces.
    """

    law: float
    splines: float
    energies: float | None = None
    network: float | None = None
    of_network: float | None = None

    @property
    def explained(self) -> float:
        """Share of the variance of the forces that the law explains."""
        return 1 - self.law**2


def judge(shares: Shares, rivals: Sequence[str]) -> tuple[str, str]:
    """Return verdict and reason.

    Args:
        shares: of the forces that are left.
        rivals: other formulas that the frames do not tell from the law.
    """
    stated = (
        f"of the variance of the forces in frames kept back the formulas explain {_percent(shares.law)}, "
        f"any sum over pairs {_percent(shares.splines)}"
    )
    if shares.network is not None:
        stated += f", the network {_percent(shares.network)}"
    if shares.network is not None and shares.splines > max(MANY * shares.network, EXPLAINED):
        return "none", (
            f"These forces are no sum over pairs: {stated}. What is left depends on three and more atoms "
            "(angles, torsions, surroundings), and no formula of distances can give it."
        )
    if shares.law > max(EXPLAINED, SPLINES * shares.splines):
        return "none", f"No formula that was tried describes the pairs as splines do: {stated}."
    least = min(shares.splines, shares.law)
    if least > EXPLAINED:
        return "ambiguous", (
            f"The formulas describe the pairs, but pairs leave {least:.0%} of the forces (root mean "
            f"square): {stated}. Noise would do that, and so would forces of three and more atoms; a network "
            "trained on these frames can tell (scripts/distill.py run=DIR)."
        )
    if rivals:
        return (
            "ambiguous",
            f"The frames do not tell this law from {'; nor from '.join(rivals[:3])}: {stated}.",
        )
    return "law", f"One formula explains the forces, and no simpler or other one does: {stated}."


def _percent(left: float) -> str:
    share = 100 * max(1 - left**2, 0.0)
    return "more than 99.999 %" if share > 99.999 else f"{share:.3f} %" if share > 99 else f"{share:.1f} %"
