"""Laws for other programs: a torch module with its constants as parameters, and fronts as PySR's table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from sciml.distill.expression import evaluate
from sciml.distill.front import FLOOR, Front
from sciml.distill.law import Law
from sciml.distill.torch_code import torch_function

if TYPE_CHECKING:
    import pandas as pd


class LawModule(nn.Module):
    """A law of one scalar as a module: variables by name in, the target out, the constants its parameters.

    Args:
        law: see `Law`; of a law of terms, take ``law.scalar(term)``.
        dtype: of the constants.

    Raises:
        ValueError: a law of several terms, which is a vector.
    """

    def __init__(self, law: Law, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        if law.terms:
            raise ValueError("a law of terms is a vector: take LawModule(law.scalar(term)) for one of them")
        self.target = law.target
        self.constants = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(c.value, dtype=dtype)) for name, c in law.constants.items()}
        )
        self.variables = tuple(law.variables)
        self._names = tuple(sorted(str(s) for s in law.expression.free_symbols))
        self._function = torch_function(law.expression, self._names)

    def forward(self, **variables: Tensor) -> Tensor:
        """Return the target for variables that broadcast against each other.

        Raises:
            TypeError: a variable that is missing.
        """
        missing = [name for name in self._names if name not in variables and name not in self.constants]
        if missing or not variables:
            raise TypeError(
                f"missing {', '.join(missing)}; the law takes {', '.join(self.variables)} by name"
            )
        values = {**variables, **dict(self.constants)}
        value = self._function(*(values[name] for name in self._names))
        first = next(iter(variables.values()))
        return torch.broadcast_tensors(torch.as_tensor(value).to(first), *variables.values())[0]

    def extra_repr(self) -> str:
        """Say what it computes."""
        return f"{self.target}({', '.join(self.variables)})"


def table(front: Front) -> pd.DataFrame:
    """Return a front as the table ``equations_`` of PySR (Cranmer 2023, arXiv 2305.01582).

    Columns: ``complexity``, ``loss``, ``score`` (fall of the logarithm of the loss for each more node, 0 in
    the first row), ``equation`` (text), ``sympy_format`` (expression) and ``lambda_format`` (a function of a
    data frame, or of arrays by name).
    """
    import pandas as pd

    candidates = list(front)
    logs = np.log([max(c.loss, FLOOR) for c in candidates])
    nodes = np.array([c.complexity for c in candidates], dtype=float)
    score = np.zeros(len(candidates))
    score[1:] = -np.diff(logs) / np.diff(nodes)
    return pd.DataFrame(
        {
            "complexity": [c.complexity for c in candidates],
            "loss": [c.loss for c in candidates],
            "score": score,
            "equation": [str(c.expression) for c in candidates],
            "sympy_format": [c.expression for c in candidates],
            "lambda_format": [_function(c.expression) for c in candidates],
        }
    )


def _function(expression):
    def evaluated(columns):
        names = list(columns)
        return evaluate(expression, {name: np.asarray(columns[name], dtype=float) for name in names})

    return evaluated
