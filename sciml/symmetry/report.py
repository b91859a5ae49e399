"""What the checker found, for the terminal, the notebook and the test."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from typing import Any


class SymmetryError(AssertionError):
    """A layer does not hold what it declares."""


@dataclass(frozen=True)
class Row:
    """One line of the report: a group and an output field.

    Attributes:
        group: the group, or "batch" (a batched result equals the single ones) or "edge order".
        output: place and name of the output field.
        error: the largest |f(g·x) - g·f(x)|, relative to the largest |g·f(x)|, over sampled elements.
        change: the same for a transformation outside the group, which is to be large; None where the
            symmetry is bookkeeping and has no outside.
        outside: that transformation in words.
        element: the element g of the largest error.
        problem: what is wrong; empty if nothing is.
    """

    group: str
    output: str
    error: float
    change: float | None = None
    outside: str = ""
    element: Any = field(default=None, repr=False)
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether the line shows no fault."""
        return not self.problem


@dataclass(frozen=True)
class Report:
    """The outcome of `check`: print it, or let a notebook show it."""

    title: str
    rows: list[Row]
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether everything declared holds, and is seen to break outside."""
        return all(row.ok for row in self.rows)

    def raise_if_failed(self) -> None:
        """Raise a `SymmetryError` that names group, field, error and element."""
        faults = [
            f"{row.group} on {row.output}: {row.problem}\n  element: {_short(row.element)}"
            if row.element is not None
            else f"{row.group} on {row.output}: {row.problem}"
            for row in self.rows
            if not row.ok
        ]
        if faults:
            raise SymmetryError("\n".join([self.title, *faults]))

    def _cells(self) -> list[tuple[str, ...]]:
        lines: list[tuple[str, ...]] = [("group", "output", "error", "outside", "by", "")]
        for row in self.rows:
            change = "" if row.change is None else f"{row.change:.1e}"
            lines.append(
                (row.group, row.output, f"{row.error:.1e}", change, row.outside, row.problem or "ok")
            )
        return lines

    def __str__(self) -> str:
        lines = self._cells()
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
        return "\n".join([self.title, *table])

    def _repr_html_(self) -> str:
        head, *body = [[html.escape(cell) for cell in line] for line in self._cells()]
        rows = ["<tr><th>" + "</th><th>".join(head) + "</th></tr>"]
        rows += ["<tr><td>" + "</td><td>".join(line) + "</td></tr>" for line in body]
        return f"<p>{html.escape(self.title)}</p><table>{''.join(rows)}</table>"


def _short(element: Any) -> str:
    text = " ".join(str(element).split())
    return text if len(text) <= 400 else text[:400] + " ..."
