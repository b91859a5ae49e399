"""What a reader must know before believing a law, in sentences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

SURPRISING = 3.0  # standard errors
ROUNDING = 1e-12  # differences below are those of the arithmetic


def caveats(content: Mapping[str, Any]) -> list[str]:
    """Return the limits of what was found, from the content of a report."""
    return [sentence for rule in RULES for sentence in rule(content)]


def _verdict(content: Mapping[str, Any]) -> Iterable[str]:
    if content["verdict"] == "none":
        yield (
            "The formula is the best of those that were found. It does not explain the motion: "
            "do not use it as a law."
        )
    if content["verdict"] == "ambiguous":
        yield "Other formulas fit these data as well. More particles, longer times or less noise may decide."


def _scale(content: Mapping[str, Any]) -> Iterable[str]:
    particle = content["reference_particle"]
    constants = " and ".join(content["law"]["constants"]) or "the law"
    for name in content["hidden"]:
        yield (
            f"Motion fixes {name} only up to a common factor: values are relative to {particle}, and "
            f"{constants} absorbs the scale. (In gravity it is G times the mass of {particle}.)"
        )


def _undetermined(content: Mapping[str, Any]) -> Iterable[str]:
    for name, particles in content["hidden"].items():
        lost = [particle for particle, entry in particles.items() if not entry["determined"]]
        if lost:
            yield (
                f"The {name} of {_list(lost)} is not determined by these data: "
                "less than three standard errors from zero."
            )


def _understated(content: Mapping[str, Any]) -> Iterable[str]:
    for name, particles in content["hidden"].items():
        beyond = [
            f"{particle} ({_surprise(entry):.1f})"
            for particle, entry in particles.items()
            if _surprise(entry) > SURPRISING
        ]
        if beyond:
            yield (
                f"The {name} differs from the reference by more standard errors than chance allows for "
                f"{_list(beyond)}: an effect that the law lacks acts there as a different {name} would."
            )


def _surprise(entry: Mapping[str, Any]) -> float:
    if entry["reference"] is None or not entry["standard_error"]:
        return 0.0
    apart = abs(entry["value"] - entry["reference"])
    return apart / entry["standard_error"] if apart > ROUNDING * abs(entry["reference"]) else 0.0


def _exponents(content: Mapping[str, Any]) -> Iterable[str]:
    for name, entry in content["law"]["exponents"].items():
        error, apart = entry["standard_error"], abs(entry["value"] - entry["snapped"])
        if error and apart > max(SURPRISING * error, ROUNDING):
            yield (
                f"The free exponent of {name} differs from {entry['snapped']:g} by {apart:.1e}, "
                f"{apart / error:.1f} standard errors: a small effect that the law lacks leans on it."
            )


def _model_error(content: Mapping[str, Any]) -> Iterable[str]:
    if content["hidden"]:
        yield (
            "Standard errors are made from what the law leaves over. An effect that mimics a parameter "
            "everywhere (as a planet's oblateness mimics mass to its moon) leaves nothing over and "
            "is not in them."
        )


def _learned(content: Mapping[str, Any]) -> Iterable[str]:
    every, seen = content["data"]["pairs"], content["data"]["pairs_searched"]
    if seen < every:
        yield (
            f"The network learned the forces of {seen} of {every} pairs; the formula was read from these. "
            "That it holds for the others rests on the fit to the whole motion."
        )


def _ephemeris(content: Mapping[str, Any]) -> Iterable[str]:
    if re.search(r"\bde4\d\d\b", content["data"].get("source", ""), re.IGNORECASE):
        yield (
            "JPL's ephemerides are numerical integrations of Newton's law with post-Newtonian terms, "
            "fitted to observations: the law recovered is the one inside them."
        )


RULES = (
    _verdict, _scale, _undetermined, _understated, _exponents, _learned, _model_error, _ephemeris
)  # fmt: skip


def _list(names: list[str], most: int = 6) -> str:
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} others"]
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
