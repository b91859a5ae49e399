"""From counts to energies: how much more often than at random do two types touch?

    contacts of a and b in stratum s  ~  Poisson( λ_s · possible_s,ab · exp(−e_ab) )

λ_s, how often any two residues of a structure touch at such a separation, is the reference state: random
pairs of residues with the chain's connectivity and the structure's composition and density (Skolnick et al.
1997, Protein Sci. 6, 676). e_ab is in units of kT, as by Boltzmann's law of the quasi-chemical approximation
(Miyazawa & Jernigan 1985, Macromolecules 18, 534), up to a constant: zero is a pair that touches as often as
the average one. Burial counts: types that are surrounded by others attract all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sciml.distill.contacts.counts import FIRST, PAIR, ContactCounts

PRIOR = 4.0  # contacts of each pair that are as expected by chance: keeps rare pairs from extremes
ROUNDS = 30
CONVERGED = 1e-6  # kT


@dataclass(frozen=True)
class ContactEnergies:
    """Pair energies with their errors.

    Attributes:
        energy: (20, 20) symmetric, in kT, in the order of `AMINO`; the mean over expected contacts is zero.
        error: (20, 20) standard errors by the bootstrap over families.
        observed, expected: (210,) contacts, and those that chance would give, weighted.
        draws: (draws, 210) energies of the bootstrap.
    """

    energy: Float[np.ndarray, "20 20"]
    error: Float[np.ndarray, "20 20"]
    observed: Float[np.ndarray, "210"]
    expected: Float[np.ndarray, "210"]
    draws: Float[np.ndarray, "draws 210"]


def contact_energies(counts: ContactCounts, draws: int = 200, seed: int = 0) -> ContactEnergies:
    """Estimate pair energies by maximum likelihood, and their errors by drawing families with replacement.

    Args:
        counts: of contacts.
        draws: of the bootstrap.
        seed: of the draws.
    """
    energy, observed, expected = _fit(*counts.weighted())
    rng = np.random.default_rng(seed)
    names, which = np.unique(counts.family, return_inverse=True)
    samples = []
    for _ in range(draws):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        samples.append(_fit(*counts.weighted(counts.weight * times[which]))[0])
    drawn = np.array(samples).reshape(-1, len(FIRST))
    error = drawn.std(0, ddof=1) if draws > 1 else np.full(len(FIRST), np.nan)
    return ContactEnergies(energy[PAIR], error[PAIR], observed, expected, drawn)


def expected_contacts(
    observed: Float[np.ndarray, "strata 210"],
    possible: Float[np.ndarray, "strata 210"],
    energy: Float[np.ndarray, "210"],
) -> Float[np.ndarray, "210"]:
    """Return λ_s · possible, summed over strata, with the λ_s that fit these energies best."""
    total = possible @ np.exp(-energy)
    rate = np.divide(observed.sum(1), total, out=np.zeros(len(total)), where=total > 0)
    return rate @ possible


# -------------------------------------------------------------------- details


def _fit(observed: np.ndarray, possible: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit λ and e in turn, each exactly given the other (iterative proportional fitting)."""
    seen = observed.sum(0)
    energy = np.zeros(len(seen))
    for _ in range(ROUNDS):
        expected = expected_contacts(observed, possible, energy)
        new = -np.log((seen + PRIOR) / (expected + PRIOR))
        new -= np.average(new, weights=expected + 1e-9)
        step, energy = np.abs(new - energy).max(), new
        if step < CONVERGED:
            break
    return energy, seen, expected_contacts(observed, possible, energy)
