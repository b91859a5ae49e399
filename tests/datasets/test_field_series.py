"""Fields from files: what is read, and what is refused with which words."""

import json

import numpy as np
import pytest

from sciml.datasets import FieldSeries, load_field, write_field

RANDOM = np.random.default_rng(0)
U = RANDOM.normal(size=(30, 16, 1))


def save(path, **arrays):
    np.savez(path / "f.npz", **arrays)
    return path / "f.npz"


def test_round_trip(tmp_path):
    data = FieldSeries(
        RANDOM.normal(size=(30, 12, 14, 2)), (0.1, 0.2), 0.5, ("h", "q"), (True, False), {"x": "m", "h": "km"}
    )
    write_field(tmp_path / "f.npz", data, {"D": 1.0})
    back = load_field(tmp_path / "f.npz")
    np.testing.assert_array_equal(back.values, data.values)
    for name in ("dx", "dt", "channels", "periodic", "units"):
        assert getattr(back, name) == getattr(data, name)
    assert back.units["time"] == ""
    assert "30 snapshots of h, q on 12 × 14 points over 14.5" in repr(back)


def test_many_ways_to_say_the_same(tmp_path):
    x, t = 0.25 * np.arange(16), 0.1 * np.arange(30)
    said = [
        {"u": U, "dx": 0.25, "dt": 0.1},
        {"u": U[..., 0], "dx": 0.25, "dt": 0.1},
        {"temperature": U, "x": x, "t": t},
        {"field": U[..., 0], "x": x, "time": t},
        {"u": U.astype(np.float32).astype(float), "dx": [0.25], "time": t},
    ]
    for arrays in said:
        found = load_field(save(tmp_path, **arrays))
        assert found.values.shape == U.shape
        assert found.dx == pytest.approx((0.25,))
        assert found.dt == pytest.approx(0.1)
        assert found.channels == ("u",)


def test_axes_without_channels_are_told_by_steps(tmp_path):
    found = load_field(save(tmp_path, u=RANDOM.normal(size=(30, 16, 12)), dx=[0.1, 0.2], dt=1.0))
    assert found.shape == (16, 12)
    assert load_field(save(tmp_path, u=U, dx=1.0), dt=2.0, periodic=True).periodic == (True,)


NAN = U.copy()
NAN[3, 4, 0] = np.nan
TIME = np.arange(30.0)
UNEQUAL, UNSORTED = TIME.copy(), TIME.copy()
UNEQUAL[20:] += 0.5
UNSORTED[[4, 5]] = UNSORTED[[5, 4]]

BAD = [
    ({"dx": 1.0, "dt": 1.0}, r"no array 'u' .* found dx \(\), dt \(\)"),
    ({"a": U, "b": U, "dx": 1.0, "dt": 1.0}, "Name the fields 'u'"),
    ({"u": U, "delta_x": 1.0, "dt": 1.0}, r"no 'dx' \(is it 'delta_x'\?\)"),
    ({"u": U, "dx": 1.0}, "neither 'dt' nor 'time'"),
    ({"u": U, "dx": 1.0, "d_t": 1.0}, r"neither 'dt' nor 'time' \(is it 'd_t'\?\)"),
    ({"u": U, "dx": -1.0, "dt": 1.0}, r"dx is \[-1.0\]; expected one positive number"),
    ({"u": U, "dx": 1.0, "dt": 0.0}, "dt is 0.0"),
    ({"u": U, "dx": 1.0, "time": UNEQUAL}, "unequal steps: 1.5 after index 19, 1 elsewhere"),
    ({"u": U, "dx": 1.0, "time": UNSORTED}, "not sorted: 5.0 at index 4 is followed by 4.0"),
    ({"u": U, "dx": 1.0, "time": TIME[:-1]}, "expected 30 numbers"),
    ({"u": NAN, "dx": 1.0, "dt": 1.0}, r"u\[3, 4, 0\] \(time, x, channel\) is nan; 1 of 480"),
    ({"u": U[:20], "dx": 1.0, "dt": 1.0}, "20 snapshots; at least 28"),
    ({"u": U[:, :5], "dx": 1.0, "dt": 1.0}, r"5 grid points along axis 1 \(x\)"),
    ({"u": np.ones((30, 16, 1)), "dx": 1.0, "dt": 1.0}, "u is 1 everywhere and always"),
    ({"u": RANDOM.normal(size=(30, 16, 16)), "dx": 1.0, "dt": 1.0}, "16 of them were found"),
    ({"u": U.astype(complex), "dx": 1.0, "dt": 1.0}, "dtype complex128; expected real numbers"),
    ({"u": U, "dx": 1.0, "dt": 1.0, "channels": ["a", "b"]}, "expected 1 different names"),
    ({"u": U, "dx": 1.0, "dt": 1.0, "channels": ["x"]}, "a channel is named 'x'"),
    ({"u": U, "dx": 1.0, "dt": 1.0, "periodic": [True, False]}, "periodic is"),
    ({"u": U, "dx": 1.0, "dt": 1.0, "units": "m"}, "units are 'm'; expected JSON"),
    ({"u": U, "dx": 1.0, "dt": 1.0, "units": json.dumps({"y": "m"})}, "units are for x, time, u"),
    ({"u": np.array([{}]), "dx": 1.0}, "Python objects"),
]


@pytest.mark.parametrize(("arrays", "message"), BAD, ids=[m for _, m in BAD])
def test_bad_files(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message) as error:
        load_field(save(tmp_path, **arrays))
    assert "f.npz" in str(error.value)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="not there"):
        load_field(tmp_path / "none.npz")
    (tmp_path / "a.csv").write_text("1")
    with pytest.raises(ValueError, match=r"read from \.npz"):
        load_field(tmp_path / "a.csv")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match="npz"):
        load_field(tmp_path / "cut.npz")
    with pytest.raises(ValueError, match=r"written as \.npz"):
        write_field(tmp_path / "a.h5", FieldSeries(U, 1.0, 1.0))
