"""Rollouts beside the truth."""

import numpy as np
import pytest

from sciml.distill.evaluate import RolloutComparison


def comparison(**changes):
    fields = {
        "time": [0.0, 365.25, 3 * 365.25],
        "names": ["a", "b"],
        "predicted": np.ones((3, 2, 2)),
        "true": np.zeros((3, 2, 2)),
    }
    return RolloutComparison(**fields | changes)


def test_error_is_the_distance():
    assert comparison().error == pytest.approx(np.full((3, 2), np.sqrt(2)))


def test_astronomical_units_become_kilometres_and_others_stay():
    assert comparison(unit="AU").in_km.error[0, 0] == pytest.approx(np.sqrt(2) * 149597870.7)
    assert comparison(unit="AU").in_km.unit == "km"
    assert comparison(unit="nm").in_km.error[0, 0] == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize(
    ("time_unit", "last", "unit"),
    [
        ("day", 3.0, "year"),
        ("second", 3 * 365.25, "second"),
        ("", 3 * 365.25, ""),
        ("tick", 3 * 365.25, "tick"),
    ],
)
def test_elapsed_time_counts_from_the_start(time_unit, last, unit):
    time = np.array([0.0, 365.25, 3 * 365.25]) + 2451545.0
    elapsed, shown = comparison(time=time, time_unit=time_unit).elapsed
    assert elapsed[0] == 0
    assert elapsed[-1] == pytest.approx(last)
    assert shown == unit


@pytest.mark.parametrize("name", ["predicted", "true"])
def test_wrong_shapes_are_refused(name):
    with pytest.raises(ValueError, match=r"\(3, 3, 2\).*3 times and 2 particles|\(3, 2, 2\)"):
        comparison(**{name: np.zeros((3, 3, 2))})
