"""From splines to formulas: each force's table is searched, and the data choose among what was found."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import sympy

from sciml.distill.expression import complexity, evaluate, parameters
from sciml.distill.front import EFFECTIVE_ROWS, Candidate, Front
from sciml.distill.motion.bank import SIMULATIONS, held_out_rows
from sciml.distill.motion.model import Fit, Model, Part, fit_rows, part, residuals
from sciml.distill.motion.rows import Observed, energy
from sciml.distill.motion.simpler import ODD, flattened, odd_exponents, released, simpler_forms
from sciml.distill.motion.structure import Fitted, Fitter
from sciml.distill.motion.tables import Table, tables
from sciml.distill.search import search
from sciml.distill.select import round_exponents

log = logging.getLogger(__name__)

PLAUSIBLE = 0.1  # loss up to which the simplest formulas are tried, whatever their length
FORMULAS = 10  # candidates of a force that are refitted to its splines
FITTED = 3  # candidates of a force that are fitted to the data
PROBES = 4  # general forms that are fitted to the paths
ROUNDS = 6  # of simplification of a formula
SPLINES_ARE = 3.0  # times their residual that a formula may be away from splines
LABELS = "abdfghknpqsuz"  # of constants
SPLINE_ERROR = 3e-5  # relative, at best
BIASED = 1.15  # of the splines' mean squared residual
FLOOR = 1e-13  # share of the squared accelerations below which fits are equal
LEFT = 1.1  # times the noise that formulas may leave
STEEPEST = 20  # exponent
PAIRS = 200_000  # of particles, over all times, by which formulas are told apart; the last fit sees all
NEGLIGIBLE = 1e-9  # share of the squared accelerations for which no force is worth its name


@dataclass(frozen=True, eq=False)
class Chosen:
    """Formulas for all forces.

    Attributes:
        fit: to the rows.
        tried: every candidate by channel: its formula, description length and loss.
        fronts: what the searches found, by channel.
        length: description length of the whole model.
        others: models with other formulas of the last force, and their description lengths, best first.
    """

    fit: Fit
    tried: dict[str, list[tuple[sympy.Expr, float, float]]]
    fronts: dict[str, Front]
    length: float
    others: tuple[tuple[float, Model], ...] = ()


class Formulas:
    """Searches tables and fits what was found.

    Args:
        observed: the data.
        fitter: bank, properties and groups.
        seconds: for the search of each force.
        seed: of the search.
        backend: engine of the search.
        on_front: told of every front, with the name of its force.
    """

    def __init__(
        self, observed: Observed, fitter: Fitter, *, seconds: float, seed: int = 0, backend="structured",
        on_front: Callable[[str, Front], None] | None = None,
    ) -> None:  # fmt: skip
        _, times, particles, _ = observed.position.shape
        enough = max(SIMULATIONS, PAIRS // (times * particles**2))
        self.observed, self.fitter = observed.first(enough), fitter
        self.seconds, self.seed, self.backend, self.on_front = seconds, seed, backend, on_front
        self.held = held_out_rows(self.observed)
        self.spline_loss = 0.0
        self.probes: list[list[Part]] = []
        self.probed = 0
        self.coarse = observed.kind == "position" and observed.noise_known
        self.rows = min(fitter.rows, EFFECTIVE_ROWS)
        self.energy = energy(self.observed)

    @property
    def floor(self) -> float:
        """Mean squared residual below which formulas are equal.

        Noise inside the forces biases splines and rows alike: where paths will decide, residuals near that of
        the splines say no more.
        """
        least = max(FLOOR * self.energy, 0.9 if self.observed.noise_known else 0.0)
        return max(least, BIASED * self.spline_loss) if self.coarse else least

    def length(self, fit: Fit) -> float:
        """Return the description length of fitted formulas in nats."""
        floor = self.floor
        nodes = sum(complexity(p.template) + ODD * odd_exponents(p) for p in fit.model.parts)
        numbers = len(fit.model.start) * np.log(max(self.rows, 2.0)) / 2
        return float(self.rows / 2 * np.log(max(fit.loss, floor)) + np.log(10.0) * nodes + numbers)

    def explained(self, chosen: Chosen, everything: Fitted) -> bool:
        """Whether formulas leave nothing but noise, or as little as all forces at once do."""
        if self.observed.noise_known:
            return chosen.fit.loss < LEFT * max(everything.loss, 1.0)
        return chosen.fit.loss < NEGLIGIBLE * self.energy

    def choose(self, found: Fitted) -> Chosen:
        """Search and fit the forces of a structure."""
        bank = self.fitter.bank
        self.probes = []
        every = tables(found, bank)
        self.spline_loss = found.loss
        between = [k for k, t in enumerate(every) if t.channel.strength.receiver.startswith("[")
                   and t.channel.block == "pair"]  # fmt: skip
        clearest = min(between, key=lambda k: every[k].doubt, default=None) if len(between) > 1 else None
        candidates: list[list[list[Part]]] = []
        fronts: dict[str, Front] = {}
        for k, table in enumerate(every):
            if clearest is not None and k in between and k != clearest:
                continue
            own = [every[j] for j in between] if k == clearest else [table]
            label = LABELS[k % len(LABELS)]
            if not len(table.argument):
                candidates.append([self._constants(table, label)])
                continue
            front = self._search(table, bank.blocks[table.channel.block].splines.argument)
            fronts[f"{len(candidates)}:{table.channel.block}"] = front
            formulas = self._likeliest(front, table)
            if not self.coarse:  # rows tell exponents better than splines
                formulas = list(dict.fromkeys([*formulas, *map(released, formulas)]))
            options = [self._alike(e, own, table, label) for e in formulas]
            candidates.append(self._finite(options, found) or [self._constants(table, label)])
            if self.coarse and table.channel.block == "pair":
                rivals = self._likeliest(probes(front, table), table, most=PROBES)
                self.probes = [self._alike(e, own, table, label) for e in rivals]
                self.probed = len(candidates) - 1
        return self._fit_all(found, candidates, fronts)

    def _finite(self, options: list[list[Part]], found: Fitted) -> list[list[Part]]:
        """Leave out what is not finite on all rows, as beyond the table: it would spoil all sums."""
        alone = [self._model(tuple(option), found) for option in options]
        rest = [residuals(model, self.observed, self.held, False) for model in alone]
        return [option for option, r in zip(options, rest, strict=True) if np.isfinite(r).all()]

    def _constants(self, table: Table, label: str) -> list[Part]:
        block = self.fitter.bank.blocks[table.channel.block]
        several = len(block.vectors) > 1
        return [
            part(
                sympy.Float(value or 1e-9),
                vector,
                "",
                table.channel.strength,
                f"{label}{n}_" * several or label,
            )
            for n, (vector, value) in enumerate(zip(block.vectors, table.value, strict=True))
        ]

    def _alike(self, formula: sympy.Expr, own: list[Table], searched: Table, label: str) -> list[Part]:
        """Return one part for each table: the same formula, each but the searched with a size of its own."""
        block = self.fitter.bank.blocks[searched.channel.block]
        argument, vector = block.splines.argument, block.vectors[0]
        first = part(formula, vector, argument, searched.channel.strength, label)
        parts = [first]
        values = evaluate(formula, {argument: searched.argument})
        for n, table in enumerate(t for t in own if t is not searched):
            weight = 1 / np.maximum(table.error, 1e-9 * np.abs(table.value).max()) ** 2
            norm = max(float((weight * values**2).sum()), 1e-300)
            size = float((weight * values * table.value).sum()) / norm
            symbol = sympy.Symbol(f"{label}s{n}")
            constants = ((str(symbol), size), *first.constants)
            template = symbol * first.template
            parts.append(
                replace(first, template=template, constants=constants, strength=table.channel.strength)
            )
        return parts

    def _likeliest(self, front: Front, table: Table, most: int = FITTED) -> list[sympy.Expr]:
        """Return the formulas that the splines' own normal equations prefer, all constants refitted."""
        ranked = []
        for formula in likeliest(front):
            fitted, loss = table.refitted(formula, self.fitter.bank.blocks[table.channel.block].splines)
            floor = (
                self.floor if self.coarse else max(self.floor, SPLINES_ARE * self.spline_loss)
            )  # their bias is of that size
            left = max(self.spline_loss + loss / max(self.fitter.rows, 1), floor)
            template, values = parameters(fitted)
            nodes = np.log(10.0) * complexity(template) + len(values) * np.log(max(self.rows, 2.0)) / 2
            ranked.append((self.rows / 2 * np.log(left) + nodes, fitted))
        ranked.sort(key=lambda r: r[0])
        return list(dict.fromkeys(formula for _, formula in ranked))[:most]

    def _search(self, table: Table, name: str) -> Front:
        keep = np.isfinite(table.value) & (table.error < 3 * np.abs(table.value).max())
        bias = min(max(np.sqrt(self.spline_loss / max(self.energy, 1e-300)), SPLINE_ERROR), 1e-2)
        typical = float(np.median(np.abs(table.value)))  # where a force crosses zero, it is not known better
        error = np.sqrt(table.error**2 + bias**2 * (table.value**2 + typical**2))[keep]
        error = np.maximum(error, 1e-12 * np.abs(table.value).max())
        weights = 1 / error**2
        y = table.value[keep]
        tell = None
        if self.on_front is not None:
            report = self.on_front
            tell = lambda front: report(table.channel.block, front)
        front = Front((), rows=len(y))
        for patience in (1, 4):  # a busy machine may not come to a single formula in its time
            front = search(
                table.argument[keep][:, None], y, names=[name], weights=weights, backend=self.backend,
                seconds=patience * self.seconds, seed=self.seed, noise=float(1 / np.mean(weights * y**2)),
                on_front=tell,
            )  # fmt: skip
            if any(c.expression.free_symbols for c in front):
                break
        return front

    def _fit_all(self, found: Fitted, candidates: list[list[list[Part]]], fronts: dict[str, Front]) -> Chosen:
        """Choose each force's formula with the others as they are, forces of many candidates last."""
        current = [options[0] for options in candidates]
        tried: dict[str, list[tuple[sympy.Expr, float, float]]] = {}
        best: tuple[float, Fit] | None = None
        order = [k for k, options in enumerate(candidates) if len(options) > 1]
        others: list[tuple[float, Model]] = []
        for k in order or [0] if candidates else []:
            best, others = None, []
            for option in candidates[k]:
                parts = [p for j, own in enumerate(current) for p in (option if j == k else own)]
                model = self._model(tuple(parts), found)
                try:
                    fit = fit_rows(model, self.observed, self.held)
                except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
                    log.info("could not fit %s: %s", option[0].expression, error)
                    continue
                length = self.length(fit)
                log.debug(
                    "%.1f nats, loss %.4g: %s", length, fit.loss, [str(p.expression) for p in fit.model.parts]
                )
                fitted = [
                    p
                    for p in fit.model.parts
                    if p.constants and p.constants[0][0] in dict(option[0].constants)
                ]
                shown = fitted[0].expression if fitted else option[0].expression
                tried.setdefault(f"{k}", []).append((shown, length, fit.loss))
                others.append((length, fit.model))
                if best is None or length < best[0]:
                    best = (length, fit)
            if best is None:
                raise ValueError("none of the formulas that were found can be evaluated on the data")
            current = _regrouped(best[1].model.parts, current)
        if best is not None and not self.coarse:
            best = self._pruned(self._snapped(best))
        if best is None:
            best_fit = fit_rows(self._model((), found), self.observed, self.held)
            best = (self.length(best_fit), best_fit)
        for option in self.probes:
            parts = [p for j, own in enumerate(current) for p in (option if j == self.probed else own)]
            others.append((best[0], self._model(tuple(parts), found)))
        others.sort(key=lambda o: o[0])
        return Chosen(best[1], tried, fronts, best[0], tuple(others))

    def _snapped(self, best: tuple[float, Fit]) -> tuple[float, Fit]:
        """Make exponents and numbers simple, and factors that hardly vary constant, where that is shorter."""
        ranges = self.fitter.bank.ranges
        best = self._shorter(best, tuple(flattened(p, ranges) for p in best[1].model.parts))
        for k in range(len(best[1].model.parts)):
            for _ in range(ROUNDS):
                before = best
                for simpler in simpler_forms(best[1].model.parts[k]):
                    parts = best[1].model.parts
                    best = self._shorter(best, (*parts[:k], simpler, *parts[k + 1 :]))
                    if best is not before:
                        break
                if best is before:
                    break
        return best

    def _pruned(self, best: tuple[float, Fit]) -> tuple[float, Fit]:
        """Leave out parts that do not earn their length."""
        for _ in range(len(best[1].model.parts)):
            parts = best[1].model.parts
            shorter = best
            for k in range(len(parts)):
                shorter = self._shorter(shorter, parts[:k] + parts[k + 1 :], best[1].model)
            if shorter is best:
                break
            best = shorter
        return best

    def _shorter(self, best: tuple[float, Fit], parts: tuple[Part, ...], model: Model | None = None):
        model = replace(best[1].model if model is None else model, parts=parts)
        try:
            fit = fit_rows(model, self.observed, self.held)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError):
            return best
        length = self.length(fit)
        fewer = len(parts) < len(best[1].model.parts) and fit.loss < NEGLIGIBLE * self.energy
        return (length, fit) if length < best[0] or fewer else best

    def _model(self, parts: tuple[Part, ...], found: Fitted) -> Model:
        return Model(parts, dict(self.fitter.properties), found.receiver, found.sender, self.fitter.group,
                     self.observed.data.box)  # fmt: skip


def probes(front: Front, table: Table) -> Front:
    """Return general two-constant forms, to see whether noisy data tell them from what was found.

    A power times an exponential stands for any steeper or flatter course; where one of these describes paths
    as well, the form is not determined.
    """
    x = sympy.Symbol(str(next(iter(front.best().expression.free_symbols), "r")))
    middle = float(np.median(table.argument))
    size = float(table.value[np.argmin(np.abs(table.argument - middle))]) or 1.0
    forms = [sympy.Float(size) * (x / middle) ** sympy.Float(p) for p in (-1.7, 0.7)]
    forms += [sympy.Float(size) * x**a * sympy.exp(-x * sympy.Float(1 / middle)) for a in (0, -1, -2)]
    candidates = [Candidate(f, 5, 0.0) for f in forms]
    return Front(tuple(candidates), rows=front.rows)


def likeliest(front: Front, most: int = FORMULAS) -> list[sympy.Expr]:
    """Return the likeliest formulas of a front, also with nearly simple exponents made simple."""
    ordered = sorted(front, key=front.length)[:most]
    short = [c for c in front if c.loss < PLAUSIBLE and c.expression.free_symbols]
    formulas: dict[sympy.Expr, None] = {}
    for candidate in [*short[: most // 2], *ordered]:
        formulas |= dict.fromkeys([candidate.expression, round_exponents(candidate.expression)])
    return [f for f in formulas if not _absurd(f)]


def _absurd(formula: sympy.Expr) -> bool:
    """Whether a formula has an exponent that no force has."""
    exponents = (e.exp for e in formula.atoms(sympy.Pow))
    return any(e.is_number and abs(float(e)) > STEEPEST for e in exponents if e.is_real)


def _regrouped(parts: tuple[Part, ...], groups: list[list[Part]]) -> list[list[Part]]:
    left = list(parts)
    return [[left.pop(0) for _ in own] for own in groups]
