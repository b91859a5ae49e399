"""The front while a search runs: a table in the terminal or a notebook, drawn anew as it grows."""

from __future__ import annotations

import time
from types import TracebackType

import sympy
from rich.console import Console
from rich.live import Live
from rich.table import Table

from sciml.distill.front import Front

WIDEST = 100  # characters of a formula


class LiveFront:
    """Shows the best formula of each complexity while a search runs; nothing where there is no terminal.

    Use it as ``on_front``::

        with LiveFront() as live:
            front = search(X, y, on_front=live)

    Args:
        console: where to draw; the terminal, or the notebook's cell, if None.
    """

    def __init__(self, console: Console | None = None):
        self.console = console or Console()
        self.shown = self.console.is_terminal or self.console.is_jupyter
        self.begun = time.monotonic()
        self._live = Live(console=self.console, auto_refresh=False, transient=True) if self.shown else None

    def __enter__(self) -> LiveFront:
        self.begun = time.monotonic()
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, front: Front, what: str = "") -> None:
        """Draw a front, of what if that is said."""
        if self._live is not None:
            self._live.update(table(front, time.monotonic() - self.begun, what), refresh=True)


def table(front: Front, seconds: float | None = None, what: str = "") -> Table:
    """Return a front as a table: complexity, error, formula; the best is marked."""
    title = f"Formulas of {what}" if what else "Formulas"
    title += " so far" if seconds is None else f" after {seconds:.0f} s"
    drawn = Table(title=title, title_justify="left", title_style="bold")
    for name in ("nodes", "error"):
        drawn.add_column(name, justify="right")
    drawn.add_column("formula", overflow="ellipsis", no_wrap=True)
    best = front.best() if front.candidates else None
    for candidate in front:
        formula = str(sympy.N(candidate.expression, 5))
        formula = formula if len(formula) <= WIDEST else formula[: WIDEST - 1] + "…"
        drawn.add_row(
            str(candidate.complexity),
            f"{candidate.loss**0.5:.1e}",
            formula,
            style="bold green" if candidate is best else None,
        )
    return drawn
