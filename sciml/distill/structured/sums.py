"""Laws that are sums under a transformation: T(y) = Σₖ cₖ φₖ(x), φ a monomial, or a monomial times f(c·u).

T runs over y, 1/y, y², √y, 1/y², y^(−2/3) and log y, with weights that undo what T does to the noise,
so that roots of sums, softened and rational forms and exponentials of sums are linear problems too.
"""

from __future__ import annotations

import numpy as np
import sympy

from sciml.distill.structured.dimensions import equal
from sciml.distill.structured.library import Library
from sciml.distill.structured.products import UNIT
from sciml.distill.structured.subsets import Subsets, affordable
from sciml.distill.structured.table import Table
from sciml.distill.structured.targets import TARGETS


def propose(
    table: Table, features: Library, name: str, strict: bool = False, depth: int = 5, keep: int = 12
) -> list[sympy.Expr]:
    """Return sums under one transformation of the target: sizes in turns, the best of each first.

    If strict, of features with the transformed target's dimension only; else these are preferred.
    """
    target = TARGETS[name]
    y, flip = table.y, 1
    if not target.signed:
        flip = 1 if np.median(y) > 0 else -1
        y = y * flip
    scale = np.sqrt(np.average(y**2))
    good = np.abs(y) > 0.02 * scale if name != "y" else np.ones(len(y), bool)
    good &= (y > 0) | target.signed
    if good.mean() < 0.5:
        return []
    y = np.where(good, y, scale)
    t, w = target.apply(y), np.where(good, table.weights / target.slope(y) ** 2, 0.0)
    cost, kept = features.cost, np.arange(len(features.cost))
    if table.target_dimension is not None:
        fits = equal(features.dimensions, (target.power or 0) * table.target_dimension)
        cost = cost + UNIT * ~fits
        kept = np.flatnonzero(fits) if strict else kept
    if not len(kept):
        return []
    problem = Subsets(features.values[kept], t, w / w.mean(), cost[kept])
    out = []
    for _, chosen in problem.best(affordable(depth, len(table)), keep, term=3, small=240):
        coefficients = problem.exact(chosen)[1]
        inner = sympy.Add(
            *(
                sympy.Float(c) * features.expression(kept[k])
                for k, c in zip(chosen, coefficients, strict=True)
            )
        )
        if inner != 0:
            out.append(flip * target.invert(inner))
    return out
