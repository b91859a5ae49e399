"""Correlation of what was inferred with published scales, with an interval, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

from sciml.distill.contacts.counts import FIRST, PAIR, SECOND, TYPES
from sciml.distill.contacts.energies import ContactEnergies
from sciml.distill.contacts.gauge import ONE_BODY
from sciml.distill.published import charges, kyte_doolittle, miyazawa_jernigan


@dataclass(frozen=True)
class Comparison:
    """Correlation of two sets of numbers.

    Attributes:
        what, reference: what is compared with what.
        measure: "Spearman", of ranks, or "Pearson", where most of the reference's numbers are equal.
        rho: the correlation.
        low, high: 95 % interval, ρ ± 1.96 deviations of the bootstrap over families, on the scale of artanh ρ
            (Fisher 1915). Not the bootstrap's own percentiles: drawing with replacement adds noise, which
            lowers every correlation.
        number: how many numbers each set has.
    """

    what: str
    reference: str
    measure: str
    rho: float
    low: float
    high: float
    number: int


def compare(energies: ContactEnergies) -> list[Comparison]:
    """Compare pair energies and attraction with Miyazawa & Jernigan 1996 and Kyte & Doolittle 1982.

    The attraction of a type is minus its mean energy over the 20 types (`attraction`): positive for types
    that touch others more often than the average. Signs are such that agreement is positive.
    """
    mj, hydropathy = miyazawa_jernigan(), kyte_doolittle()
    pairs = "pair energies"
    chosen = {
        (pairs, "Miyazawa-Jernigan 1996, e_ij"): (lambda e: e[FIRST, SECOND], mj[FIRST, SECOND]),
        (pairs, "Miyazawa-Jernigan 1996, e_ij, one-body part taken off both"): (
            lambda e: without_one_body(e)[FIRST, SECOND],
            without_one_body(mj)[FIRST, SECOND],
        ),
        ("attraction", "Miyazawa-Jernigan 1996, minus the mean of e_ij"): (attraction, attraction(mj)),
        ("attraction", "Kyte-Doolittle 1982, hydropathy"): (attraction, hydropathy),
    }
    result = []
    for (what, reference), (part, published) in chosen.items():
        draws = np.array([_rho(part(draw[PAIR]), published) for draw in energies.draws])
        rho = _rho(part(energies.energy), published)
        low, high = _interval(rho, draws)
        result.append(Comparison(what, reference, "Spearman", rho, low, high, len(published)))
    return result


def compare_hidden(
    hidden: Mapping[str, Float[np.ndarray, "20"]], draws: Mapping[str, Float[np.ndarray, "draws 20"]]
) -> list[Comparison]:
    """Compare each hidden property with hydropathy and with the formal charge at pH 7.

    A property in products has no sign of its own: its correlation is given without one. The one-body part h
    is turned round, so that agreement with hydropathy is positive.
    """
    hydropathy, charge = ("Kyte-Doolittle 1982, hydropathy", _rho), ("formal charge at pH 7", _pearson)
    result = []
    for name, values in hidden.items():
        for (reference, measure), published in ((hydropathy, kyte_doolittle()), (charge, charges())):
            rho = measure(values, published)
            sign = -1.0 if name == ONE_BODY else np.sign(rho)
            low, high = _interval(sign * rho, sign * np.array([measure(d, published) for d in draws[name]]))
            kind = "Spearman" if measure is _rho else "Pearson"
            what, text = (
                (f"minus {name}", reference) if name == ONE_BODY else (name, f"{reference}; sign free")
            )
            result.append(Comparison(f"hidden {what}", text, kind, sign * rho, low, high, len(published)))
    return result


def attraction(energy: Float[np.ndarray, "20 20"]) -> Float[np.ndarray, "20"]:
    """Return minus the mean energy of each type with all 20."""
    return -energy.mean(axis=1)


def without_one_body(energy: Float[np.ndarray, "20 20"]) -> Float[np.ndarray, "20 20"]:
    """Return what is left of e_ab after the best h_a + h_b: the part that is of the pair."""
    design = np.zeros((len(FIRST), TYPES))
    np.add.at(design, (np.arange(len(FIRST)), FIRST), 1.0)
    np.add.at(design, (np.arange(len(FIRST)), SECOND), 1.0)
    h = np.linalg.lstsq(design, energy[FIRST, SECOND], rcond=None)[0]
    return energy - h[:, None] - h


# -------------------------------------------------------------------- details


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if np.ptp(a) > 0 else float("nan")


def _interval(rho: float, draws: np.ndarray) -> tuple[float, float]:
    if len(draws) < 2:
        return float("nan"), float("nan")
    z = lambda value: np.arctanh(np.clip(value, -0.999999, 0.999999))
    spread = 1.96 * np.nanstd(z(draws), ddof=1)
    return float(np.tanh(z(rho) - spread)), float(np.tanh(z(rho) + spread))


def _rho(a: np.ndarray, b: np.ndarray) -> float:
    return float(spearmanr(a, b).statistic) if np.ptp(a) > 0 else float("nan")
