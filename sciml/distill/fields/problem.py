"""One data set in weak form: integrated terms, and what measurement noise does to them.

Noise enters the terms as well as the time derivative, and by powers of the noisy field it shifts their
means. Both are known once its size is: products are replaced by Wick (Hermite) products, whose mean is that
of the clean field, and the covariance of the integrated noise is subtracted from the normal equations
(corrected least squares; Fuller, Measurement Error Models (1987), section 3.1). So the estimates have no
bias of first order in the variance of the noise, and standard errors come from the same covariance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float

from sciml.datasets.fields import FieldSeries
from sciml.distill.fields.noise import Character
from sciml.distill.fields.terms import Factor, Monomial, Orders, Term
from sciml.distill.fields.weak import Bump, TestFunctions

SMALLEST = 6  # half-width of a test function, in points
OVERLAP = 4  # test functions per half-width
DEGREE = 8  # of the polynomials that derive fields on open axes
KEPT = 400_000_000  # bytes of adjoint integrals kept
SAMPLE = 20_000  # grid points from which means of products are taken


@dataclass(frozen=True)
class Noise:
    """How noise of one channel enters an integrated term: ∫ ε · gradient · ∂^orders φ.

    A gradient that is a single field, times a number, says so in ``linear``: it is noisy itself.
    """

    channel: int
    orders: Orders
    gradient: Float[np.ndarray, "time *shape"] | float
    linear: tuple[float, Factor] | None = None


@dataclass(frozen=True, eq=False)
class WeakProblem:
    """Terms and time derivatives of a field, integrated against test functions.

    Attributes:
        data: the fields.
        character: their noise and scales.
        terms: candidates.
        halves: half-width of the test functions along time and each axis, in points.
        time_order: of the sought time derivative, 1 or 2.
    """

    data: FieldSeries
    character: Character
    terms: tuple[Term, ...]
    halves: tuple[int, ...]
    time_order: int = 1
    _fields: dict = field(default_factory=dict, repr=False)
    _spreads: dict = field(default_factory=dict, repr=False)

    @cached_property
    def tests(self) -> TestFunctions:
        """The test functions."""
        sizes = (self.data.times, *self.data.shape)
        steps = (self.data.dt, *self.data.dx)
        closed = (False, *self.character.periodic)
        bumps = [
            Bump.spread(n, d, half, c, max(1, half // OVERLAP))
            for n, d, half, c in zip(sizes, steps, self.halves, closed)
        ]
        return TestFunctions(tuple(bumps))

    @property
    def time_derivative(self) -> Orders:
        """Orders of the left-hand side."""
        return (self.time_order, *(0,) * self.data.dim)

    @cached_property
    def columns(self) -> Float[np.ndarray, "rows terms"]:
        """⟨φ, term⟩ for every test function and term."""
        caches: dict[Monomial, dict] = {}
        found = np.empty((self.tests.number, len(self.terms)))
        by_factors = sorted(range(len(self.terms)), key=lambda i: self.terms[i].factors)
        for i in by_factors:
            term = self.terms[i]
            if term.factors not in caches:
                caches = {term.factors: {}}  # partial integrals of one product at a time
            found[:, i] = self.tests.integrate(self.product(term.factors), term.orders, caches[term.factors])
        return found

    @cached_property
    def targets(self) -> Float[np.ndarray, "rows channels"]:
        """⟨φ, ∂_t u⟩ (or ∂_tt) for every test function and channel."""
        channels = [self.data.values[..., c] for c in range(len(self.data.channels))]
        return np.stack([self.tests.integrate(u, self.time_derivative) for u in channels], axis=1)

    # ------------------------------------------------------------ products

    def product(self, factors: Monomial) -> Float[np.ndarray, "time *shape"]:
        """Return the Wick product of these factors: its mean over the noise is their product without it."""
        if factors not in self._fields:
            self._fields[factors] = self._wick(factors)
        return self._fields[factors]

    def _wick(self, factors: Monomial) -> Float[np.ndarray, "time *shape"]:
        """Return :X₁ … Xₙ: = X₁ :X₂ … Xₙ: − Σ_j cov(X₁, X_j) :the others:, recursively."""
        if not factors:
            return np.ones(self.data.values.shape[:-1])
        first, rest = factors[0], factors[1:]
        total = self._factor(first)
        if not rest:
            return total
        total = total * self.product(rest)
        for j, other in enumerate(rest):
            covariance = self._covariance(first, other)
            if covariance:
                total = total - covariance * self.product(rest[:j] + rest[j + 1 :])
        return total

    def _factor(self, factor: Factor) -> Float[np.ndarray, "time *shape"]:
        """Return a field, or its derivative by smoothing stencils."""
        channel, orders = factor
        found = self.data.values[..., channel]
        if not any(orders):
            return found
        if (factor,) not in self._fields:
            from scipy.ndimage import convolve1d
            from scipy.signal import savgol_filter

            for axis, order in enumerate(orders):
                kernel = self._stencil(axis, order) if order else None
                if kernel is not None and self._closed(axis):
                    found = convolve1d(found, kernel, axis=axis, mode="wrap")
                elif kernel is not None:
                    step = self._step(axis)
                    found = savgol_filter(found, len(kernel), DEGREE, deriv=order, delta=step, axis=axis)
            self._fields[(factor,)] = found
        return self._fields[(factor,)]

    def _step(self, axis: int) -> float:
        return (self.data.dt, *self.data.dx)[axis]

    def _closed(self, axis: int) -> bool:
        return axis > 0 and self.character.periodic[axis - 1]

    def _stencil(self, axis: int, order: int) -> Float[np.ndarray, "window"]:
        """Return a kernel that derives all that the signal has, and leaves out finer noise.

        On closed axes the exact derivative of waves up to twice the finest scale, on others
        a polynomial of degree 8 over so many points that the finest scale passes (Schafer, IEEE Signal
        Process. Mag. 28, 111 (2011), equation 12).
        """
        from scipy.signal import savgol_coeffs

        size = (self.data.times, *self.data.shape)[axis]
        finest = min(2.0 * self.character.finest[axis], np.pi)
        if self._closed(axis):
            size -= 1 - size % 2
            k = 2 * np.pi * np.fft.rfftfreq(size)
            symbol = np.where(k <= finest, 1j * k, 0.0) ** order
            return np.fft.fftshift(np.fft.irfft(symbol, size)) / self._step(axis) ** order
        half = int(np.clip(round(((DEGREE + 1) / (finest / np.pi) + 4.6) / 3.2), 5, max((size - 1) // 4, 5)))
        return savgol_coeffs(2 * half + 1, DEGREE, deriv=order, delta=self._step(axis))

    def _covariance(self, a: Factor, b: Factor) -> float:
        """Covariance, at one grid point, of the noise in two factors."""
        if a[0] != b[0]:
            return 0.0
        value = float(self.character.sigma[a[0]] ** 2)
        for axis in range(self.data.dim + 1):
            own, other = a[1][axis], b[1][axis]
            if own or other:
                kernels = [self._stencil(axis, order) if order else None for order in (own, other)]
                width = max(len(k) for k in kernels if k is not None)
                delta = np.zeros(width)
                delta[width // 2] = 1.0
                first, second = (delta if k is None else k for k in kernels)
                value *= float(first @ second)
        return value if abs(value) > 1e-300 else 0.0

    # -------------------------------------------------------------- noise

    def noise(self, term: Term) -> list[Noise]:
        """Return how noise enters a term, to first order.

        The derivative of a derived factor is moved to the test function and the other factor,
        ∫ φ g ε_x = −∫ ε (g φ_x + g_x φ).
        """
        found = []
        for factor, count in {f: term.factors.count(f) for f in term.factors}.items():
            rest = list(term.factors)
            rest.remove(factor)
            gradient = count * self.product(tuple(rest)) if rest else float(count)
            orders = tuple(a + b for a, b in zip(term.orders, factor[1]))
            linear = (float(count), rest[0]) if len(rest) == 1 else None
            found.append(Noise(factor[0], orders, gradient, linear))
            if sum(factor[1]) == 1 and len(rest) == 1:
                (channel, own), derived = rest[0], factor[1]
                steeper = (channel, tuple(a + b for a, b in zip(own, derived)))
                slope = (-float(count), steeper)
                found.append(Noise(factor[0], term.orders, -count * self._factor(steeper), slope))
        return found

    @cached_property
    def noise_products(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Covariance of the integrated noise in one row: terms × terms, terms × targets, targets."""
        channels = len(self.data.channels)
        parts = [(i, noise) for i, term in enumerate(self.terms) for noise in self.noise(term)]
        parts += [(len(self.terms) + c, Noise(c, self.time_derivative, 1.0)) for c in range(channels)]
        size = self.data.values[..., 0].size
        sample = np.random.default_rng(0).choice(size, min(size, SAMPLE), replace=False)
        total = np.zeros((len(self.terms) + channels,) * 2)
        overlap: dict = {}
        for channel in range(channels):
            own = [(i, n) for i, n in parts if n.channel == channel]
            values = np.stack(
                [np.broadcast_to(n.gradient, self.data.values.shape[:-1]).ravel()[sample] for _, n in own]
            )
            means = values @ values.T / len(sample) * self.character.sigma[channel] ** 2
            for a, (i, first) in enumerate(own):
                for b, (j, second) in enumerate(own):
                    key = (first.orders, second.orders)
                    if key not in overlap:
                        overlap[key] = self.tests.overlap(*key)
                    mean = means[a, b] - self._counted_twice(first, second)
                    total[i, j] += mean * overlap[key]
        n = len(self.terms)
        return total[:n, :n], total[:n, n:], np.diag(total)[n:]

    def _counted_twice(self, first: Noise, second: Noise) -> float:
        """Noise in the gradients themselves: of a product of two it makes twice what its square is worth."""
        if first.linear is None or second.linear is None:
            return 0.0
        (a, one), (b, other) = first.linear, second.linear
        return 0.5 * a * b * self._covariance(one, other) * self.character.sigma[first.channel] ** 2

    def score_covariance(
        self,
        target: int,
        support: Sequence[int],
        coefficients: Float[np.ndarray, "k"],
        rows: Float[np.ndarray, "rows"] | None = None,
    ) -> Float[np.ndarray, "k k"]:
        """Return the covariance of Gᵀr under white noise, exactly, with G held fixed.

        Gᵀr is linear in the noise; what each grid point contributes is found by the adjoint of the
        integration.

        Args:
            target: channel whose equation it is.
            support: terms of the equation.
            coefficients: of these terms.
            rows: weight of each test function; all one if None.
        """
        entering = [(1.0, Noise(target, self.time_derivative, 1.0))]
        for j, w in zip(support, coefficients):
            entering += [(-w, noise) for noise in self.noise(self.terms[j])]
        covariance = np.zeros((len(support),) * 2)
        for channel in {n.channel for _, n in entering}:
            contributions = np.zeros((len(support), self.data.values[..., 0].size))
            for i in range(len(support)):
                total = np.zeros(self.data.values.shape[:-1])
                for weight, noise in entering:
                    if noise.channel == channel:
                        total += (weight * noise.gradient) * self._spread(support[i], noise.orders, rows)
                contributions[i] = total.ravel()
            covariance += self.character.sigma[channel] ** 2 * contributions @ contributions.T
        return covariance

    def _spread(self, term: int, orders: Orders, rows: Float[np.ndarray, "rows"] | None) -> np.ndarray:
        """Return the adjoint of the integration of one column, kept while there is room."""
        key = (term, orders, None if rows is None else hash(rows.tobytes()))
        if key not in self._spreads:
            column = self.columns[:, term] if rows is None else self.columns[:, term] * rows
            found = self.tests.spread(column, orders)
            while self._spreads and (len(self._spreads) + 1) * found.nbytes > KEPT:
                self._spreads.pop(next(iter(self._spreads)))
            self._spreads[key] = found
        return self._spreads[key]
