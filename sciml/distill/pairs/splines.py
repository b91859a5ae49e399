"""What pairs of each kind do to each other, as splines: the most that any sum over pairs can explain.

    F_i = Σ_j f_ab(r_ij) r̂_ij        E = Σ_i e_a + Σ_{i<j} ∫_{r_ij}^{r_c} f_ab dr

with f_ab cubic splines of the distance, by linear least squares on forces and energies together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import sparse
from scipy.interpolate import BSpline

from sciml.distill.pairs.rows import Kinds, PairRows

INTERVALS = 28  # between knots, even in the logarithm of the distance
FEWEST = 20  # pairs in an interval
RIDGE = 1e-10
POINTS = 60  # of a table
SMALL = 1e-6  # of the typical force: noise is taken to be no less
ENERGY_NOISE = 1.0  # Å: errors of an energy over those of a force, times the square root of atoms, at first


@dataclass(frozen=True, eq=False)
class Knots:
    """Where the splines of each kind change, and which column is whose."""

    kinds: Kinds
    knots: tuple[Float[np.ndarray, "knots"], ...]  # empty where there is no pair of the kind
    cutoff: float

    @classmethod
    def over(cls, parts: Sequence[PairRows], kinds: Kinds, cutoff: float) -> Knots:
        """Place knots where there are pairs."""
        knots = []
        for kind in range(len(kinds)):
            r = np.concatenate([p.distance[p.kind == kind] for p in parts])
            if len(r) < FEWEST:
                knots.append(np.zeros(0))
                continue
            edges = np.geomspace(r.min() * (1 - 1e-9), cutoff, INTERVALS + 1)
            count = np.histogram(r, edges)[0]
            inner = [edges[0]]
            waiting = 0
            for edge, number in zip(edges[1:], count):
                waiting += number
                if waiting >= FEWEST or edge == edges[-1]:
                    inner.append(edge)
                    waiting = 0
            knots.append(np.r_[[inner[0]] * 3, inner, [inner[-1]] * 3])
        return cls(kinds, tuple(knots), cutoff)

    @property
    def sizes(self) -> list[int]:
        """Number of splines of each kind."""
        return [max(len(t) - 4, 0) for t in self.knots]

    @property
    def columns(self) -> int:
        """Number of all unknowns, the energies of the elements last."""
        return sum(self.sizes) + len(self.kinds.elements)

    def force(self, rows: PairRows) -> sparse.csr_matrix:
        """Return [pairs, columns]: the splines at the distances."""
        return self._design(rows, 3)

    def energies(self, rows: PairRows) -> Float[np.ndarray, "frames columns"]:
        """Return the sums over pairs of ∫_r^{r_c} of the splines, and the counts of elements.

        ∫_{−∞}^r B_k = (t_{k+4} − t_k)/4 Σ_{m ≥ k} of splines of one degree more (de Boor, A Practical Guide
        to Splines, X.33).
        """
        to_frames = sparse.csr_matrix(
            (rows.share, (rows.frame, np.arange(len(rows.frame)))), shape=(len(rows.energy), len(rows.frame))
        )
        sums = np.asarray((to_frames @ self._design(rows, 4)).todense())
        found = np.zeros((len(rows.energy), self.columns))
        from_ = to = 0
        for t, size in zip(self.knots, self.sizes):
            if not size:
                continue
            width = (t[4:] - t[:-4]) / 4
            own = sums[:, from_ : from_ + size + 1]
            above = own[:, ::-1].cumsum(1)[:, ::-1][:, 1:]  # splines of degree 4 from the k + 1st on
            number = own.sum(1)  # of pairs, since splines add up to one
            found[:, to : to + size] = width * (number[:, None] - above)
            from_, to = from_ + size + 1, to + size
        found[:, to:] = rows.counts
        return found

    def _design(self, rows: PairRows, degree: int) -> sparse.csr_matrix:
        order = np.argsort(rows.kind, kind="stable")
        blocks = []
        for kind, t in enumerate(self.knots):
            r = rows.distance[rows.kind == kind]
            if not len(t):
                blocks.append(sparse.csr_matrix((len(r), 0)))
                continue
            own = np.r_[t[:1], t, t[-1:]] if degree == 4 else t
            blocks.append(BSpline.design_matrix(np.clip(r, t[0], t[-1]), own, degree))
        design = sparse.block_diag(blocks, format="csr")
        extra = self.columns - design.shape[1] if degree == 3 else 0
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        design = design[back]
        return sparse.hstack([design, sparse.csr_matrix((len(order), extra))], format="csr")


@dataclass(frozen=True, eq=False)
class Curve:
    """What pairs of one kind do, as the splines have it.

    Attributes:
        distance: in Å, where there are pairs.
        force, error: in eV/Å, positive where they push apart, with standard errors.
        pairs: how many were at about this distance.
    """

    distance: Float[np.ndarray, "points"]
    force: Float[np.ndarray, "points"]
    error: Float[np.ndarray, "points"]
    pairs: Float[np.ndarray, "points"]


@dataclass(frozen=True, eq=False)
class SplineFit:
    """Splines fitted to frames.

    Attributes:
        knots: where they change.
        coefficients, covariance: of all columns.
        noise: root mean square of what is left of forces (eV/Å) and of energies (eV per root of atoms).
    """

    knots: Knots
    coefficients: Float[np.ndarray, "columns"]
    covariance: Float[np.ndarray, "columns columns"]
    noise: tuple[float, float]

    def predict(self, rows: PairRows) -> tuple[Float[np.ndarray, "frames"], Float[np.ndarray, "atoms 3"]]:
        """Return energies and forces."""
        energy = self.knots.energies(rows) @ self.coefficients
        return energy, rows.pull(self.knots.force(rows) @ self.coefficients)

    def curves(self, parts: Sequence[PairRows]) -> list[Curve | None]:
        """Return the curve of each kind; None where there are no pairs of it."""
        found: list[Curve | None] = []
        at = 0
        for kind, (t, size) in enumerate(zip(self.knots.knots, self.knots.sizes)):
            if not size:
                found.append(None)
                continue
            own = slice(at, at + size)
            at += size
            r = np.concatenate([p.distance[p.kind == kind] for p in parts])
            grid, pairs = _density(r)
            values = BSpline.design_matrix(grid, t, 3).toarray()
            error = np.sqrt(
                np.maximum(np.einsum("pk,kl,pl->p", values, self.covariance[own, own], values), 0)
            )
            found.append(Curve(grid, values @ self.coefficients[own], error, pairs))
        return found


def _density(r: Float[np.ndarray, "pairs"]) -> tuple[np.ndarray, np.ndarray]:
    """Return distances where there are pairs, and how many; finer where ranges are narrow, as of bonds."""
    for finer in (1, 2, 4, 8, 16):
        edges = np.geomspace(r.min() * (1 - 1e-9), r.max() * (1 + 1e-9), POINTS * finer + 1)
        pairs = np.histogram(r, edges)[0]
        seen = pairs > 0
        if seen.sum() >= POINTS / 3:
            break
    return np.sqrt(edges[1:] * edges[:-1])[seen], pairs[seen].astype(float)


def fit_splines(parts: Sequence[PairRows], kinds: Kinds, cutoff: float) -> SplineFit:
    """Fit splines to frames, forces and energies each weighted by what is left of them.

    Raises:
        ValueError: no pair of any kind that is frequent enough.
    """
    knots = Knots.over(parts, kinds, cutoff)
    if not sum(knots.sizes):
        raise ValueError(
            f"no kind of pair is found {FEWEST} times within {cutoff:g} Å: give more frames, or data of "
            "denser systems."
        )
    grams = [_gram(parts, knots, which) for which in ("forces", "energy")]
    typical = np.sqrt(grams[0][-1] / max(grams[0][2], 1)) or 1.0
    noise = (typical, ENERGY_NOISE * typical)
    for _ in range(3):
        solution, covariance = _solve(grams, noise)
        noise = tuple(  # type: ignore[assignment]
            max(
                np.sqrt(max(e - 2 * solution @ b + solution @ a @ solution, 0.0) / max(n, 1)), SMALL * typical
            )
            for a, b, n, e in grams
        )
    return SplineFit(knots, solution, covariance, noise)


Gram = tuple[np.ndarray, np.ndarray, int, float]


def _gram(parts: Sequence[PairRows], knots: Knots, which: str) -> Gram:
    """Return normal matrix, right side, number of rows and squared norm of the targets."""
    size = knots.columns
    matrix, right, rows, square = np.zeros((size, size)), np.zeros(size), 0, 0.0
    for part in parts:
        for design, target in _forces(part, knots) if which == "forces" else _energies(part, knots):
            matrix += design.T @ design
            right += design.T @ target
            rows += len(target)
            square += float(target @ target)
    return matrix, right, rows, square


def _forces(part: PairRows, knots: Knots):
    splines = knots.force(part)
    for axis in range(3):
        design = (part.incidence @ splines.multiply(part.direction[:, axis : axis + 1]).tocsr()).toarray()
        yield design[part.known], part.forces[part.known, axis]


def _energies(part: PairRows, knots: Knots):
    known = np.isfinite(part.energy)
    root = np.sqrt(part.counts.sum(1))[known]
    yield knots.energies(part)[known] / root[:, None], part.energy[known] / root


def _solve(grams: Sequence[Gram], noise: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    normal: np.ndarray = np.add(*(g[0] / s**2 for g, s in zip(grams, noise)))
    right: np.ndarray = np.add(*(g[1] / s**2 for g, s in zip(grams, noise)))
    size = np.sqrt(np.diag(normal))
    scale = np.where(size > 0, 1 / np.where(size > 0, size, 1.0), 0.0)
    scaled = normal * scale[:, None] * scale + RIDGE * np.eye(len(normal))
    inverse = np.linalg.inv(scaled) * scale[:, None] * scale
    return inverse @ right, inverse
