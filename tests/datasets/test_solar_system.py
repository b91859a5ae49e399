import numpy as np
import pytest

from sciml.datasets.solar_system import solar_system


def test_the_masses_are_no_property():
    data = solar_system(start=2000, stop=2001)
    assert data.shape == (1, 183, 11, 3)
    assert data.properties == {}
    assert data.reference["mass"][0, 0] == 1.0
    assert 1 / data.reference["mass"][0, data.names.index("jupiter")] == pytest.approx(1047.3486, rel=1e-6)
    assert data.units["acceleration"] == "AU/day**2"
    assert data.acceleration_error.shape == (1, 11)


def test_random_epochs_repeat_with_their_seed():
    one, same, other = (solar_system(start="1990-01-01", stop=2020, epochs=50, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.position, same.position)
    assert np.all(one.time != other.time)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": 2020, "stop": 1990}, "empty"),
        ({"step": 1.0, "epochs": 5}, "one of them"),
        ({"step": -1.0}, "positive"),
        ({"epochs": 0}, "at least 1"),
        ({"start": 1700}, "spans 1899"),
    ],
)
def test_wrong_spans_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        solar_system(**options)
