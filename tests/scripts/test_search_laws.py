"""The benchmark's laws: their units hold, their data exist, and the judge knows a law in other clothes."""

import sys
from pathlib import Path

import numpy as np
import pytest
import sympy

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from bench_search import judge, sample
from search_laws import KEPT, MESSAGES, OTHER, feynman

from sciml.distill.expression import parse
from sciml.units import compatible, unit_of

FEYNMAN = feynman()


def test_there_are_a_hundred_equations_of_which_a_third_is_kept_apart():
    third, rest = feynman("third"), feynman("rest")
    assert (len(FEYNMAN), len(third), len(rest)) == (100, 33, 67)
    assert not {law.name for law in third} & {law.name for law in rest}


@pytest.mark.parametrize("law", FEYNMAN, ids=lambda law: law.name)
def test_feynmans_equations_are_dimensionally_consistent(law):
    assert compatible(unit_of(parse(law.formula, law.ranges), law.units), law.target_unit)


@pytest.mark.parametrize("law", [*MESSAGES, *OTHER, *KEPT, *FEYNMAN], ids=lambda law: law.name)
def test_a_law_has_data_and_is_its_own_answer(law):
    X, y = sample(law, law.ranges, 200, np.random.default_rng(0))
    assert X.shape == (200, len(law.ranges) + law.distractors)
    assert np.ptp(y) > 0
    assert set(law.units) == set(law.ranges)
    truth = parse(law.formula, law.ranges)
    exact, error = judge(truth, law, np.random.default_rng(1))
    assert exact, error


@pytest.mark.parametrize(
    ("name", "formula", "exact"),
    [
        ("softened", "1.01*m1*m2/(r**2*(1 + eps**2/r**2)**(3/2))", True),
        ("softened", "1.01*m1*m2*r/(r**2 + 1.01*eps**2)**(4/3)", False),
        ("yukawa", "exp(-r/lam)*g/r + 0*d0", True),
        ("yukawa", "exp(-r/lam)*g/r + 1e-7*d0", False),
        ("morse", "D*(1 - 4.7*exp(-1.31*r))**2", True),
        ("morse", "D*(1 - 2*4.7*exp(-1.31*r) + 23.0*exp(-2.61*r))", True),
        ("morse", "D*(1 - 4.7*exp(-r))**2", False),
        ("morse", "D + " + " + ".join(f"{k}*D*exp(-1.{k}*r)" for k in range(1, 9)), False),
        ("gamma", "c/sqrt(c**2 - v**2)", True),
        ("gamma", "1/sqrt((1 - v/c)*(1 + v/c))", True),
    ],
)
def test_the_judge_takes_equal_forms_and_no_others(name, formula, exact):
    law = next(law for law in MESSAGES if law.name == name)
    expression = parse(formula, [*law.ranges, "d0"])
    floats = {n: sympy.Float(n) for n in expression.atoms(sympy.Float)}
    assert judge(expression.xreplace(floats), law, np.random.default_rng(0))[0] == exact
