"""How long a search may go on: time on a clock, and a number of fitted formulas."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Ended(Exception):  # noqa: N818
    """The clock, or the number of evaluations, ended the search."""


class Budget:
    """Time and evaluations, which `look` and `spend` end the search by when they are used up."""

    def __init__(self, seconds: float, evaluations: int | None, clock: Callable[[], float] = time.monotonic):
        self.clock, self.deadline, self.evaluations = clock, clock() + seconds, evaluations

    def look(self) -> None:
        """End the search when its time is over."""
        if self.clock() > self.deadline:
            raise Ended

    def spend(self) -> None:
        """Count a fitted formula, and end the search when its time or number is used up."""
        self.look()
        if self.evaluations is not None:
            self.evaluations -= 1
            if self.evaluations < 0:
                raise Ended

    @contextmanager
    def share(self, part: float) -> Iterator[None]:
        """Give what is done inside a part of the time that is left, and go on afterwards if that ended it."""
        whole = self.deadline
        self.deadline = min(whole, self.clock() + part * max(whole - self.clock(), 0.0))
        try:
            yield
        except Ended:
            if self.clock() > whole or (self.evaluations is not None and self.evaluations < 0):
                raise
        finally:
            self.deadline = whole
