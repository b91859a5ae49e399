"""Pictures of pairs: what is drawn is what was given."""

import numpy as np
import pytest

from sciml.plotting import predicted_against_measured, ranking_curve, svg


def test_each_pair_is_a_point_and_the_error_is_said():
    measured, predicted = np.array([5.0, 6.0, 7.0, np.nan]), np.array([5.0, 7.0, 7.0, 3.0])
    ax = predicted_against_measured(measured, predicted, name="pK$_d$", unit="kcal/mol")
    points = ax.lines[-1]
    assert points.get_xdata().tolist() == [5, 6, 7]
    assert points.get_ydata().tolist() == [5, 7, 7]
    assert ax.get_xlim() == ax.get_ylim()
    (text,) = ax.texts
    assert text.get_text() == "rmse 0.577 kcal/mol\n3 pairs"
    assert ax.get_xlabel() == r"measured pK\$_d\$ [kcal/mol]"
    assert "<svg" in svg(ax.figure, "pairs")


def test_pairs_that_cannot_be_drawn():
    with pytest.raises(ValueError, match=r"\(2,\) and predicted \(3,\)"):
        predicted_against_measured(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="No pair has both"):
        predicted_against_measured(np.array([np.nan]), np.zeros(1))
    ax = predicted_against_measured(np.ones(1), np.ones(1))  # one point has no extent
    assert ax.get_xlim()[0] < 1 < ax.get_xlim()[1]


def test_rankings_are_lines_that_are_named_at_their_ends():
    ax = ranking_curve({"model": [0.1, 0.3, 0.4], "popularity": [0.1, 0.1, 0.2]}, most=2)
    assert [line.get_ydata().tolist() for line in ax.lines] == [[0.1, 0.3], [0.1, 0.1]]
    assert [text.get_text() for text in ax.texts] == ["model", "popularity"]
    assert ax.get_xlabel() == "length k of the list"
    for wrong in ({}, {"model": []}):
        with pytest.raises(ValueError, match="at least one line"):
            ranking_curve(wrong)
