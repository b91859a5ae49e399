"""A formula for what any function does near a point, or over a data set.

Local: inputs are drawn around the point, weighted by their distance, and the function's answers are searched
for a formula, as LIME fits a line (Ribeiro, Singh & Guestrin 2016, arXiv 1602.04938) and SLIME a formula
(SymTorch, arXiv 2602.21307). The function may be a network that was not made here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy
from jaxtyping import Float

from sciml.distill.expression import evaluate
from sciml.distill.front import Front
from sciml.distill.problem import FEWEST_ROWS
from sciml.distill.search import search

FAITHFUL = 0.95  # share of the variance in samples of its own that a formula must explain
HELD_OUT = 0.25  # share of the samples that formulas are judged by
BATCH = 4096  # rows that the function is given at once


@dataclass(frozen=True, eq=False)
class Explanation:
    """A formula in place of one output of a function.

    Attributes:
        expression: of least description length.
        output: name of the output.
        fidelity: share of the (weighted) variance that the formula explains, in samples that the search did
            not see; 1 is perfect. Not above 0 if a constant would do as well.
        faithful: whether that is at least `FAITHFUL`; otherwise the expression is no explanation.
        point: around which it holds; None if over a data set.
        width: one standard deviation of the samples, by variable; None if over a data set.
        gradient: of the formula at the point, by variable.
        front: all formulas.
        reason: how far the formula can be trusted, in words.
    """

    expression: sympy.Expr
    output: str
    fidelity: float
    faithful: bool
    point: Mapping[str, float] | None
    width: Mapping[str, float] | None
    gradient: Mapping[str, float] | None
    front: Front
    reason: str

    def __call__(self, **columns: Any) -> Float[np.ndarray, "*rows"]:
        """Evaluate the formula on arrays by name."""
        return evaluate(self.expression, columns)

    def __str__(self) -> str:
        return f"{self.output} ≈ {self.expression}   ({self.reason})"


def explain(
    function: Callable,
    X: Any,
    names: Sequence[str] | None = None,
    *,
    at: Sequence[float] | Mapping[str, float] | int | None = None,
    width: float | Sequence[float] = 0.2,
    samples: int = 2000,
    outputs: Sequence[str] | None = None,
    seconds: float = 10.0,
    seed: int = 0,
    **options: Any,
) -> dict[str, Explanation]:
    """Explain a function by a formula for each of its outputs.

    Args:
        function: takes rows [rows, variables] and returns [rows] or [rows, outputs]. A `torch.nn.Module` is
            given tensors of the dtype and on the device of its parameters, without gradients and in
            evaluation mode (which is restored); anything else is given NumPy arrays, in batches.
        X: [rows, variables], the data that the function is for: an array, a tensor or a data frame, whose
            columns give the names.
        names: of the variables; x0, x1, ... if not given.
        at: explain near this point: its values in order or by name, or the number of a row of ``X``. None
            explains the function over ``X``.
        width: of the neighbourhood, in standard deviations of each variable in ``X``.
        samples: drawn in the neighbourhood; a formula is searched in three quarters of them.
        outputs: names of the outputs; y, or y0, y1, ... if not given.
        seconds: of search for each output.
        seed: of the draw and of the search.
        options: of `sciml.distill.search`.

    Returns:
        One explanation for each output, by its name.

    Raises:
        ValueError: shapes that do not fit, values that are not finite, a point that ``X`` does not have.
        TypeError: what is not callable.
    """
    table, names = _table(X, names)
    if not callable(function):
        raise TypeError(f"a function or a torch module is explained, not {type(function).__name__}")
    rng = np.random.default_rng(seed)
    point = None if at is None else _point(at, table, names)
    if point is None:
        rows, weights, spread = table, np.ones(len(table)), None
    else:
        spread = _widths(width, table, names)
        rows = point + spread * rng.normal(size=(samples, len(names)))
        # Gaussian samples with a Gaussian kernel of the same width (LIME's), at half the effective variance
        weights = np.exp(-0.5 * (((rows - point) / np.where(spread > 0, spread, 1.0)) ** 2).mean(axis=1))
    answers = _answers(function, rows)
    labels = _labels(outputs, answers.shape[1])
    late = rng.permutation(len(rows)) < max(round(HELD_OUT * len(rows)), 1)
    found = {}
    for label, y in zip(labels, answers.T, strict=True):
        front = search(
            rows[~late], y[~late], names, weights=weights[~late], seconds=seconds, seed=seed, **options
        )
        best = front.best().expression
        fidelity = _fidelity(best, names, rows[late], y[late], weights[late])
        found[label] = Explanation(
            expression=best,
            output=label,
            fidelity=fidelity,
            faithful=fidelity >= FAITHFUL,
            point=None if point is None else dict(zip(names, point.tolist(), strict=True)),
            width=None if spread is None else dict(zip(names, spread.tolist(), strict=True)),
            gradient=None if point is None else _gradient(best, names, point),
            front=front,
            reason=_reason(fidelity, point is not None),
        )
    return found


def _table(X: Any, names: Sequence[str] | None) -> tuple[Float[np.ndarray, "rows variables"], list[str]]:
    if names is None and hasattr(X, "columns"):
        names = [str(name) for name in X.columns]
    if hasattr(X, "detach"):
        X = X.detach().cpu()
    table = np.asarray(X, dtype=np.float64)
    if table.ndim != 2 or len(table) < FEWEST_ROWS:
        raise ValueError(
            f"X has shape {table.shape}; expected [rows, variables] with at least {FEWEST_ROWS} rows"
        )
    bad = np.argwhere(~np.isfinite(table))
    if len(bad):
        raise ValueError(f"X is not finite in row {bad[0][0]}, column {bad[0][1]}; leave such rows out")
    names = [f"x{k}" for k in range(table.shape[1])] if names is None else list(map(str, names))
    if len(names) != table.shape[1]:
        raise ValueError(
            f"X has {table.shape[1]} columns, but there are {len(names)} names: {', '.join(names)}"
        )
    return table, names


def _point(at: Any, table: np.ndarray, names: Sequence[str]) -> Float[np.ndarray, "variables"]:
    if isinstance(at, int | np.integer):
        if not -len(table) <= at < len(table):
            raise ValueError(f"at={at}: X has {len(table)} rows, counted from 0")
        return table[at]
    if isinstance(at, Mapping):
        if set(at) != set(names):
            raise ValueError(
                f"at names {', '.join(map(str, at))}; expected a value for each of {', '.join(names)}"
            )
        at = [at[name] for name in names]
    point = np.asarray(at.detach().cpu() if hasattr(at, "detach") else at, dtype=np.float64)
    if point.shape != (len(names),) or not np.isfinite(point).all():
        raise ValueError(f"at is {at}; expected {len(names)} finite values for {', '.join(names)}")
    return point


def _widths(width: Any, table: np.ndarray, names: Sequence[str]) -> Float[np.ndarray, "variables"]:
    relative = np.asarray(width, dtype=np.float64)
    if (
        relative.shape not in ((), (len(names),))
        or not (relative > 0).all()
        or not np.isfinite(relative).all()
    ):
        raise ValueError(
            f"width is {width}; expected a positive number, or one for each of {', '.join(names)}"
        )
    return relative * table.std(axis=0)


def _answers(function: Callable, rows: np.ndarray) -> Float[np.ndarray, "rows outputs"]:
    """Ask the function in batches; a module in its own precision and place."""
    ask = _module(function) if _is_module(function) else lambda batch: np.asarray(function(batch))
    parts = [ask(rows[k : k + BATCH]) for k in range(0, len(rows), BATCH)]
    for part, start in zip(parts, range(0, len(rows), BATCH), strict=True):
        expected = len(rows[start : start + BATCH])
        if part.ndim not in (1, 2) or len(part) != expected:
            raise ValueError(
                f"the function made shape {part.shape} of {expected} rows; expected [rows] or [rows, outputs]"
            )
    answers = np.concatenate([part.reshape(len(part), -1) for part in parts]).astype(np.float64)
    bad = np.argwhere(~np.isfinite(answers))
    if len(bad):
        row = rows[bad[0][0]].tolist()
        raise ValueError(
            f"the function is {answers[tuple(bad[0])]} at {row} ({len(bad)} such values): "
            "keep the neighbourhood inside what it is defined on (a smaller width)"
        )
    return answers


def _is_module(function: Any) -> bool:
    import torch

    return isinstance(function, torch.nn.Module)


def _module(module: Any) -> Callable[[np.ndarray], np.ndarray]:
    import torch

    sample = next((p for p in [*module.parameters(), *module.buffers()] if p.is_floating_point()), None)
    like = torch.zeros((), dtype=torch.float64) if sample is None else sample

    def ask(batch: np.ndarray) -> np.ndarray:
        training = module.training
        module.eval()
        try:
            with torch.no_grad():
                answer = module(torch.as_tensor(batch).to(like))
        finally:
            module.train(training)
        if not isinstance(answer, torch.Tensor):
            raise ValueError(  # noqa: TRY004 (as other unfitting answers)
                f"the module returns {type(answer).__name__}; expected a tensor [rows] or [rows, outputs]: "
                "wrap it in a function that takes the part to explain"
            )
        return answer.double().cpu().numpy()

    return ask


def _labels(outputs: Sequence[str] | None, count: int) -> list[str]:
    labels = (["y"] if count == 1 else [f"y{k}" for k in range(count)]) if outputs is None else list(outputs)
    if len(labels) != count or len(set(labels)) != count:
        raise ValueError(f"the function has {count} outputs, but the names are {', '.join(labels)}")
    return labels


def _fidelity(
    expression: sympy.Expr, names: Sequence[str], rows: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> float:
    predicted = evaluate(expression, dict(zip(names, rows.T, strict=True)))
    if not np.isfinite(predicted).all():
        return -np.inf
    mean = np.average(y, weights=weights)
    variance = np.average((y - mean) ** 2, weights=weights)
    error = np.average((y - predicted) ** 2, weights=weights)
    if variance <= np.finfo(float).eps * mean**2:
        return 1.0 if error <= 1e-12 * max(mean**2, 1e-300) else -np.inf
    return float(1.0 - error / variance)


def _gradient(expression: sympy.Expr, names: Sequence[str], point: np.ndarray) -> dict[str, float]:
    values = {name: np.array([value]) for name, value in zip(names, point, strict=True)}
    return {name: float(evaluate(sympy.diff(expression, sympy.Symbol(name)), values)[0]) for name in names}


def _reason(fidelity: float, local: bool) -> str:
    where = "near the point" if local else "over the data"
    share = (
        f"explains {max(fidelity, 0.0):.2%} of the variance {where}, in samples that the search did not see"
    )
    return share if fidelity >= FAITHFUL else f"no explanation: the best formula {share}"
