import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.physics.differentiate import local_polynomial, unwrap, white_noise


def kepler(time, eccentricity=0.3):
    """Ellipse of semi-major axis and GM one, by Kepler's equation: position, velocity, acceleration."""
    anomaly = np.array(time)
    for _ in range(60):
        anomaly -= (anomaly - eccentricity * np.sin(anomaly) - time) / (1 - eccentricity * np.cos(anomaly))
    short = np.sqrt(1 - eccentricity**2)
    radius = 1 - eccentricity * np.cos(anomaly)
    position = np.stack([np.cos(anomaly) - eccentricity, short * np.sin(anomaly)], -1)
    velocity = np.stack([-np.sin(anomaly), short * np.cos(anomaly)], -1) / radius[:, None]
    return position, velocity, -position / radius[:, None] ** 3


def sample(times, uneven=False, seed=0):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.uniform(0, 20, times)) if uneven else np.linspace(0, 20, times)
    return time, [np.stack([x, -0.5 * x], axis=1)[None] for x in kepler(time)]


def errors(found, acceleration):
    true = np.sqrt(((found.acceleration - acceleration[:, found.keep]) ** 2).mean(axis=(1, 3)))
    return true, found.acceleration_error


@pytest.mark.parametrize("with_velocity", [False, True])
def test_exact_data_converge_at_high_order(with_velocity):
    worst = []
    for times in (100, 200, 400):
        time, (position, velocity, acceleration) = sample(times)
        found = local_polynomial(position, time[None], velocity if with_velocity else None)
        worst.append(errors(found, acceleration)[0].max())
    assert worst[1] / worst[2] > 2**6
    assert worst[2] < 1e-7


@pytest.mark.parametrize("method", ["position", "velocity", "both"])
@pytest.mark.parametrize("noise", [1e-6, 1e-4, 1e-2])
@pytest.mark.parametrize("uneven", [False, True])
def test_stated_error_is_the_true_one(method, noise, uneven):
    rng = np.random.default_rng(1)
    time, (position, velocity, acceleration) = sample(400, uneven)
    position = position + noise * rng.standard_normal(position.shape)
    velocity = velocity + noise * rng.standard_normal(position.shape)
    found = local_polynomial(position, time[None], velocity, method=method)
    true, stated = errors(found, acceleration)
    assert np.all(stated / true > 0.4)
    assert np.all(stated / true < 2.5)
    if method != "velocity":
        np.testing.assert_allclose(found.position_noise, noise, rtol=0.2)


def test_velocities_help():
    rng = np.random.default_rng(2)
    time, (position, velocity, acceleration) = sample(400)
    position, velocity = (x + 1e-4 * rng.standard_normal(x.shape) for x in (position, velocity))
    alone, both = (local_polynomial(position, time[None], v) for v in (None, velocity))
    assert errors(both, acceleration)[0].max() < 0.5 * errors(alone, acceleration)[0].min()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 6))
def test_polynomials_are_reproduced_at_any_times(seed, degree):
    rng = np.random.default_rng(seed)
    time = np.cumsum(rng.uniform(0.5, 1.5, 120)) / 60
    series = [np.polynomial.Polynomial(rng.standard_normal(degree + 1)) for _ in range(4)]
    value = lambda k: np.stack([p.deriv(k)(time) if k else p(time) for p in series], -1).reshape(1, -1, 2, 2)
    found = local_polynomial(value(0), time[None])
    scale = np.abs(value(2)).max() + np.abs(value(0)).max()
    np.testing.assert_allclose(found.acceleration, value(2)[:, found.keep], atol=1e-6 * scale)


def test_simulations_with_their_own_clocks_are_independent():
    clocks, data = zip(*(sample(150, uneven=True, seed=s) for s in (1, 2)), strict=True)
    position = np.concatenate([d[0] for d in data])
    together = local_polynomial(position, np.stack(clocks))
    for s in range(2):
        single = local_polynomial(position[s : s + 1], clocks[s][None])
        more = together.keep.start - single.keep.start
        inner = single.acceleration[0, more : len(single.acceleration[0]) - more]
        np.testing.assert_allclose(together.acceleration[s], inner, rtol=1e-12)


def test_wrapped_positions_are_unwrapped():
    time, (position, _, acceleration) = sample(400)
    box = np.array([0.7, np.inf])
    wrapped = np.where(np.isfinite(box), position % np.where(np.isfinite(box), box, 1.0), position)
    assert np.abs(np.diff(wrapped, axis=1)).max() > 0.6
    unwrapped = unwrap(wrapped, box)
    np.testing.assert_allclose(unwrapped - unwrapped[:, :1], position - position[:, :1], atol=1e-12)
    found = local_polynomial(wrapped, time[None], box=box)
    assert errors(found, acceleration)[0].max() < 1e-6


def test_too_little_data_and_wrong_methods_are_refused():
    time, (position, _, _) = sample(6)
    with pytest.raises(ValueError, match=r"mine: 6 time points.*at least 7"):
        local_polynomial(position, time[None], source="mine")
    with pytest.raises(ValueError, match="needs velocities"):
        local_polynomial(position, time[None], method="both")
    with pytest.raises(ValueError, match=r"'spline'.*position"):
        local_polynomial(position, time[None], method="spline")


@pytest.mark.parametrize(("times", "with_velocity"), [(7, False), (5, True)])
def test_the_fewest_times_give_something(times, with_velocity):
    time, (position, velocity, acceleration) = sample(2000)
    some = slice(0, times)
    found = local_polynomial(
        position[:, some], time[None, some], velocity[:, some] if with_velocity else None
    )
    np.testing.assert_allclose(found.acceleration, acceleration[:, some][:, found.keep], rtol=1e-2)


def test_white_noise_is_told_from_motion():
    time = np.arange(400) * 0.05
    smooth = np.stack([np.cos(time), np.sin(2 * time)], axis=-1)[None, :, None]  # 1 simulation, 1 particle
    rng = np.random.default_rng(0)
    assert white_noise(smooth) == 0  # differences of smooth motion fall with their order
    noisy = np.concatenate([smooth + 1e-3 * rng.normal(size=smooth.shape), smooth], axis=2)
    found = white_noise(noisy)
    assert found[0] == pytest.approx(1e-3, rel=0.1)
    assert found[1] == 0
    assert white_noise(noisy[:, :10]).tolist() == [0, 0]  # too few to tell
