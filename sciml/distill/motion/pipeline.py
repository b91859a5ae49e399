"""The whole chain for laws of several terms: observe, bank, structure, formulas, paths, verdict."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from sciml.datasets.trajectories import Trajectories
from sciml.distill.expression import complexity
from sciml.distill.front import Front
from sciml.distill.law import Law
from sciml.distill.motion.bank import RESOLVED, Bank, fill, held_out_rows
from sciml.distill.motion.choose import FLOORS, Chooser, Structures
from sciml.distill.motion.final import WITHIN, Final, decide
from sciml.distill.motion.formulas import Chosen, Formulas
from sciml.distill.motion.model import Fit, fit_rows, residuals
from sciml.distill.motion.naming import estimates, law_of, normalized, read
from sciml.distill.motion.natural import Natural
from sciml.distill.motion.rows import Observed, observe
from sciml.distill.motion.simpler import same_values
from sciml.distill.motion.structure import Fitted, Fitter
from sciml.distill.motion.verdict import BEYOND, CLOSE, VISIBLE, Evidence, judge
from sciml.distill.motion.worth import Outside, Share, outside, shares
from sciml.distill.refit import Estimate

log = logging.getLogger(__name__)
MOST_KINDS = 4  # labels of a property that are taken for kinds of particles


@dataclass(frozen=True)
class Discovery:
    """A law of motion and what led to it.

    Attributes:
        law: the result, with verdict and reason.
        hidden: property to estimate per particle.
        free: what remains free of the hidden properties, in a sentence.
        evidence: residuals.
        outside: residuals where distances and speeds are not those that constants were fitted to.
        fit: the fitted model.
        structures: what forces were compared.
        chosen: formulas that were compared.
        observed: data, paths and noise, in natural units.
        bank: forces that were tried.
        natural: units of all but the law, which is in the file's.
        particles: their names.
        seconds: time by stage.
    """

    law: Law
    hidden: dict[str, dict[str, Estimate]]
    free: str
    evidence: Evidence
    outside: Outside | None
    fit: Fit
    structures: Structures
    chosen: Chosen
    observed: Observed = field(repr=False)
    bank: Bank = field(repr=False)
    natural: Natural
    particles: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def shares(self) -> list[Share]:
        """Part of each term of the law in the held-out accelerations."""
        parts = sorted(self.fit.model.parts, key=lambda p: not p.of_pairs)  # as in the law
        return shares(replace(self.fit, model=replace(self.fit.model, parts=tuple(parts))), self.observed)

    @property
    def properties(self) -> dict[str, np.ndarray]:
        """What the law needs to know of the particles of the first simulation, given and hidden."""
        known = self.natural.given(self.observed.data.properties)
        given = {name: values[0] for name, values in known.items()}
        return given | {n: np.array([e.value for e in per.values()]) for n, per in self.hidden.items()}


def discover(
    trajectories: Trajectories,
    *,
    seconds: float = 10.0,
    seed: int = 0,
    backend: str = "structured",
    on_front: Callable[[str, Front], None] | None = None,
) -> Discovery:
    """Find the law that moves particles, as a sum of pair and single-particle forces.

    Args:
        trajectories: positions, and what else is known.
        seconds: for the search of each force's formula.
        seed: of the search.
        backend: engine of the search, see `sciml.distill.search`.
        on_front: told of every front that a search improves, with the name of its force.
    """
    spent: dict[str, float] = {}
    natural = Natural.of(trajectories)
    with _timed("observe", spent):
        observed = observe(natural.inside(trajectories))
    with _timed("structure", spent):
        fitter, labels, kind = _fitter(observed)
        mass = "mass" if "mass" in fitter.properties else ""
        chooser = Chooser(fitter, observed.noise_known, labels, mass)
    formulas = Formulas(observed, fitter, seconds=seconds, seed=seed, backend=backend, on_front=on_front)
    structures, chosen = _forces(chooser, formulas, spent)
    held = held_out_rows(observed)
    with _timed("refit", spent):
        fit = fit_rows(normalized(chosen.fit.model), observed, held, most=30)
        final = _by_paths(fit, chosen, observed, structures, fitter.bank)
        if final is not None:
            model = final.fit.model
            fit = replace(fit_rows(model, observed, held, most=0), errors=final.fit.errors)
    evidence = _evidence(fit, structures, observed, held, final)
    with _timed("outside", spent):
        beyond = outside(fit, observed)
    rivals = _rivals(fit, chosen, structures, fitter.bank) if final is None else list(final.rivals)
    nodes = max((complexity(p.template) for p in fit.model.parts), default=0)
    verdict, reason = judge(evidence, len(fit.model.parts), rivals, nodes)
    if rivals and natural.changes:
        reason += f" (Other laws are written with {natural.words}.)"
    if observed.near is not None and observed.near.any():
        share = f"{observed.near.mean():.1%} of the time"
        reason += f" Where particles were nearer than their noise allows ({share}) nothing was looked at."
    reading = read(fit, mass)
    law = natural.outside(law_of(
        fit, reading, mass=mass, kind=kind, units=trajectories.units, verdict=verdict,
        reason=reason + (f" {reading.words}" if reading.words else ""),
        provenance={"fitted by": observed.kind, "noise known": observed.noise_known},
    ))  # fmt: skip
    names = trajectories.names
    return Discovery(
        law,
        estimates(reading, names),
        reading.words,
        evidence,
        beyond,
        fit,
        structures,
        chosen,
        observed,
        fitter.bank,
        natural,
        names,
        spent,
    )


def _forces(chooser: Chooser, formulas: Formulas, spent: dict[str, float]) -> tuple[Structures, Chosen]:
    """Return the fewest forces whose formulas explain everything, or those of the shortest description.

    Splines follow a steep force to a thousandth or so, and further forces would mend their errors. Formulas
    have no such errors: only if they leave something, smaller forces are looked for.
    """
    best: tuple[Structures, Chosen] | None = None
    for floor in FLOORS:
        with _timed("structure", spent):
            structures = chooser.choose(floor)
        if best is not None and set(structures.best.channels) == set(best[0].best.channels):
            continue
        with _timed("formulas", spent):
            chosen = formulas.choose(structures.best)
        if best is None or chosen.length < best[1].length:
            best = structures, chosen
        if formulas.explained(chosen, structures.everything):
            break
    assert best is not None
    return best


def _fitter(observed: Observed) -> tuple[Fitter, tuple[str, ...], str]:
    """Return the bank with given properties, the indicators of kinds, and the property that tells kinds."""
    data = observed.data
    particles = data.shape[2]
    numbers = {
        name: np.asarray(values, dtype=float)
        for name, values in data.properties.items()
        if np.asarray(values).dtype.kind in "fiub" and np.ptp(np.asarray(values, dtype=float)) > 0
    }
    group, kind = np.arange(particles), ""
    labels: tuple[str, ...] = ()
    for name, values in data.properties.items():
        if np.asarray(values).dtype.kind in "fiub" or len(np.unique(values)) > MOST_KINDS:
            continue
        codes, words = data.labels(name)
        if len(words) > 1 and (codes == codes[:1]).all():
            group, kind = codes[0], name
            labels = tuple(f"[{word}]" for word in words)
            numbers |= {f"[{word}]": (codes == k).astype(float) for k, word in enumerate(words)}
            break
    resolved = particles <= RESOLVED
    senders = np.eye(particles) if resolved else _pooled(numbers, particles)
    if not resolved:
        group = np.zeros(particles, dtype=int)
    return Fitter(fill(observed, senders), numbers, group), labels, kind


def _pooled(numbers: dict[str, np.ndarray], particles: int) -> np.ndarray:
    """Return independent weights of senders by which sums over many particles are kept."""
    rows = [np.ones(particles), *(values[0] for values in numbers.values())]
    _, s, axes = np.linalg.svd(np.stack(rows), full_matrices=False)
    return axes[s > 1e-9 * s[0]]


def _by_paths(
    fit: Fit, chosen: Chosen, observed: Observed, structures: Structures, bank: Bank
) -> Final | None:
    """Return the decision by whole paths, where positions are noisy.

    Velocities or accelerations that were measured too decide by themselves, unless they leave more than
    noise: the noise of positions inside the forces may do that.
    """
    decided = observed.kind != "position" and max(fit.loss, fit.held_out) < BEYOND
    noisy = observed.noise_known and observed.noisy_paths and not decided
    if not noisy or not fit.model.parts or structures.nothing.loss < VISIBLE:
        return None
    others = [m for worse, m in chosen.others if worse < chosen.length + WITHIN]
    return decide([fit.model, *(normalized(m) for m in others)], observed, bank.ranges)


def _evidence(
    fit: Fit, structures: Structures, observed: Observed, held: list[np.ndarray], final: Final | None
) -> Evidence:
    outside = residuals(replace(fit.model, parts=()), observed, held, True)
    energy = float(np.mean(outside**2)) if len(outside) else structures.nothing.loss
    paths = None if final is None else max(final.fit.chi2, np.nan_to_num(final.fit.held_out, nan=0.0))
    far = final is not None and final.far
    return Evidence(structures.nothing.loss, fit.loss, fit.held_out, observed.noise_known, energy, paths, far)


def _rivals(fit: Fit, chosen: Chosen, structures: Structures, bank: Bank) -> list[str]:
    """Return other formulas, and other forces, that the data do not tell from the law."""
    words = []
    for key, tried in chosen.tried.items():
        if not tried:
            continue
        least = min(length for _, length, _ in tried)
        near = [expression for expression, length, _ in tried if length < least + CLOSE]
        own = {e: any(same_values(e, p.expression, bank.ranges) for p in fit.model.parts) for e in near}
        if any(own.values()):  # else the force was left out
            words += [f"{e} in place of force {int(key) + 1}" for e in near if not own[e]]
    return words + [
        _named(other) for other, worse in structures.near if worse < CLOSE and _rival(other, structures.best)
    ]


def _rival(other: Fitted, best: Fitted) -> bool:
    """Whether another structure is no extension of the best by forces that are not needed."""
    blocks = [{(c.block, c.strength) for c in f.channels} for f in (other, best)]
    return other.unknowns <= best.unknowns and not blocks[0] >= blocks[1]


def _named(found: Fitted) -> str:
    def strength(s) -> str:
        given = [n for n in (s.receiver, s.sender) if n != "1"]
        return ("×".join(given) + (f"/{s.over}" if s.over else "")) or (f"1/{s.over}" if s.over else "1")

    return "forces " + ", ".join(f"{c.block} ({strength(c.strength)})" for c in found.channels)


@contextmanager
def _timed(name: str, seconds: dict[str, float]) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - start
