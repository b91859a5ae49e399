"""The live view: what it draws, and that it draws nothing where nobody would see it."""

import io

import pytest
import sympy
from rich.console import Console

from sciml.distill.front import Candidate, Front
from sciml.distill.live import LiveFront, table

x, z = sympy.symbols("x z")
FRONT = Front.of([Candidate(x, 1, 0.25), Candidate(2.5 * x / z, 5, 1e-6)], rows=100)


def console(terminal):
    return Console(file=io.StringIO(), force_terminal=terminal, width=80, force_jupyter=False)


def test_the_best_formula_by_complexity_is_drawn():
    where = console(True)
    with LiveFront(where) as live:
        live(Front((), rows=100))
        live(FRONT)
    drawn = where.file.getvalue()
    assert "2.5*x/z" in drawn
    assert "1.0e-03" in drawn  # the root of the loss
    assert "5.0e-01" in drawn


def test_a_force_is_named():
    where = console(True)
    with LiveFront(where) as live:
        live(FRONT, "the force pair")
    assert "Formulas of the force pair" in where.file.getvalue()


def test_nothing_is_drawn_without_a_terminal():
    where = console(False)
    with LiveFront(where) as live:
        live(FRONT)
    assert where.file.getvalue() == ""


def test_the_cursor_comes_back_after_an_error():
    where = console(True)

    def search(live):
        live(FRONT)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), LiveFront(where) as live:
        search(live)
    shown = where.file.getvalue()
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l") > -1


def test_long_formulas_are_cut_and_the_best_is_marked():
    long = sympy.Add(*(sympy.Float(k + 0.5) * x**k for k in range(40)))
    drawn = table(Front.of([Candidate(x, 1, 0.25), Candidate(long, 200, 1e-9)], rows=100))
    formulas = list(drawn.columns[2].cells)
    assert formulas[1].endswith("…")
    assert [row.style for row in drawn.rows].count("bold green") == 1
