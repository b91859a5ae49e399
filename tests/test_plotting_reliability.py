"""Reliability diagrams: probabilities that come true lie on the diagonal, and no others."""

import numpy as np
import pytest

from sciml.plotting import reliability_diagram, svg
from sciml.training.agreement import label_metrics

RANDOM = np.random.default_rng(0)
CHANCE = RANDOM.random(50_000)
LABEL = (RANDOM.random(50_000) < CHANCE).astype(float)


def drawn(ax):
    (points,) = ax.collections[1:]
    return points.get_offsets().T, float(ax.texts[0].get_text().split()[2])


def test_perfect_probabilities_are_on_the_diagonal():
    (mean, share), error = drawn(reliability_diagram(CHANCE, LABEL))
    np.testing.assert_allclose(mean, share, atol=0.03)
    assert len(mean) == 10
    assert error < 0.01
    assert label_metrics(CHANCE, LABEL)["calibration_error"] < 0.01


@pytest.mark.parametrize("power", [0.5, 2.0])
def test_distorted_ones_are_not_and_the_error_said_is_that_of_the_metrics(power):
    ax = reliability_diagram(CHANCE**power, LABEL, name="toxic$")
    (mean, share), error = drawn(ax)
    assert error == pytest.approx(label_metrics(CHANCE**power, LABEL)["calibration_error"], abs=1e-3)
    assert error == pytest.approx(1 / 6, abs=0.01)  # the mean of |p - sqrt p|, and of |p - p squared|
    assert np.abs(mean - share).max() > 0.2
    assert r"toxic\$" in ax.get_xlabel()
    assert "<svg" in svg(ax.figure, "reliability")


def test_bars_hold_the_truth_as_often_as_they_say():
    inside = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        chance = np.repeat((np.arange(10) + 0.5) / 10, 30)
        ax = reliability_diagram(chance, (random.random(300) < chance).astype(float))
        bars = [segment[:, 1] for segment in ax.collections[0].get_segments()]
        inside += [low <= p <= high for (low, high), p in zip(bars, chance[::30])]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)


def test_unknown_labels_are_left_out_and_what_cannot_be_drawn_is_said():
    ax = reliability_diagram(np.array([0.2, 0.9]), np.array([np.nan, 1.0]))
    assert "1 molecules, 100% with 1" in ax.texts[0].get_text()
    for chance, label in (([0.5], [np.nan]), ([1.5], [1]), ([0.5], [2])):
        with pytest.raises(ValueError, match="at least one label"):
            reliability_diagram(np.array(chance), np.array(label, dtype=float))
    with pytest.raises(ValueError, match=r"\(2,\) probabilities"):
        reliability_diagram(np.zeros(2), np.zeros(3))
