"""The judges of the message benchmark: they must know the truth, and not take an impostor for it."""

import numpy as np
import pytest
import sympy
from bench_distill import COLUMNS, TRUTH, append, data_of, judge_law, judge_messages, r_squared, run, summary

from sciml.distill.expression import parse
from sciml.distill.record import MessageTable


def table(rows=400, dim=2, seed=0):
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(rows, dim))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    names = ("m_i", "m_j", "q_i", "q_j")
    variables = {"r": rng.uniform(0.1, 2.5, rows)} | {n: rng.uniform(0.5, 2, rows) for n in names}
    labels = {n: np.zeros(rows, int) for n in ("sender", "receiver", "frame")}
    return MessageTable(variables, np.zeros((rows, dim)), direction, **labels, units={})


@pytest.mark.parametrize(
    ("system", "formula", "right"),
    [
        *((name, formula, True) for name, formula in TRUTH.items()),
        ("gravity", "-1.004*m_i*m_j/r**2", True),
        ("gravity", "-1.03*m_i*m_j/r**2", False),  # the form, but not the constant
        ("gravity", "-m_i*m_j/r**2.01", False),
        ("gravity", "-m_i*m_j/(r**2 + 0.0001)", False),
        ("gravity", "-m_i*r**(-2)", False),
        ("inverse", "-m_i*m_j/r + 0.001*r", False),
        ("charge", "-q_i*q_j/r**2", False),
        ("spring", "1.001 - r", True),
        ("spring", "-0.333*(r**2 - 1)", False),
        ("discontinuous", "(0.5 - r)*Heaviside(r - 1.004)", True),
        ("discontinuous", "-0.65*r*Heaviside(r - 1)", False),
        ("discontinuous", "0.5 - r", False),
    ],
)
def test_a_law_is_right_if_it_is_the_true_one(system, formula, right):
    variables = table().variables
    found, error = judge_law(system, parse(formula, list(variables)), table())
    assert found == right
    assert right == (error < 1e-2) or error < 0.05


def test_a_law_is_judged_where_most_particles_feel_no_force():
    near = table()
    near.variables["r"][:] *= 0.4
    for formula, right in (("(0.5 - r)*Heaviside(r - 1)", True), ("-0.65*r*Heaviside(r - 1)", False)):
        assert judge_law("discontinuous", parse(formula, list(near.variables)), near)[0] == right


def test_a_law_in_other_variables_is_wrong():
    assert judge_law("spring", -sympy.Symbol("v"), table()) == (False, np.inf)


def test_r_squared_is_of_the_worst_component_on_all_points():
    rng = np.random.default_rng(0)
    forces = rng.normal(size=(500, 2))
    messages = forces @ rng.normal(size=(2, 2)) + [3.0, -1.0]
    assert r_squared(messages, forces) == pytest.approx(1.0)
    noisy = messages + [0.0, 1.0] * rng.normal(size=(500, 2))
    left = 1 - r_squared(noisy, forces)
    assert left == pytest.approx(1 / noisy[:, 1].var(), rel=0.15)
    messages[0] += 100.0  # one outlier of 500 counts
    assert r_squared(messages, forces) < 0.5


def test_messages_are_judged_as_they_are_read_out_and_channel_by_channel():
    import dataclasses

    t = table()
    forces = (1 - t.variables["r"])[:, None] * t.direction
    loud = 100 * np.random.default_rng(1).normal(size=(len(t), 3))  # louder than what carries the force
    found = dataclasses.replace(t, message=np.c_[forces, loud], readout=np.c_[np.eye(2), np.zeros((2, 3))])
    read, channels = judge_messages("spring", found)
    assert read == pytest.approx(1.0)
    assert channels < 0.1


def test_rows_are_kept_as_they_come_and_summed_up(tmp_path):
    import csv

    row = dict.fromkeys(COLUMNS, 0.5) | {"system": "gravity", "dim": 2, "model": "l1", "right": True}
    for right in (True, False, True):
        append(tmp_path / "new" / "rows.csv", row | {"right": right})
    with (tmp_path / "new" / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    shown = summary(rows)
    assert list(shown.columns[0].cells) == ["1/r² 2D"]
    assert any("0.5000 (0.500), 2/3" in cell for column in shown.columns for cell in column.cells)


@pytest.mark.slow
def test_the_spring_is_found_by_messages_along_the_line_and_by_free_ones(monkeypatch):
    import bench_distill

    monkeypatch.setattr(bench_distill, "FRAMES", {"radial": 200, "free": 2000})
    for name, frames in (("equivariant", 200), ("bottleneck", 2000)):
        found = run("spring", 2, name, 7, 60.0, data_of("spring", 2, 7, frames))
        assert found["r2"] > 0.99
        assert found["right"]
