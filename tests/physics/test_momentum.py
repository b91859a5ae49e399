import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.physics.ephemerides import julian_date, load_ephemeris
from sciml.physics.momentum import momentum_closure


def pair_accelerations(masses, times=200, dim=3, seed=0, law=lambda r: r**-1.5):
    """Random places, central forces between all pairs: [simulations, times, particles, dim]."""
    rng = np.random.default_rng(seed)
    masses = np.atleast_2d(masses)
    place = rng.standard_normal((len(masses), times, masses.shape[1], dim))
    apart = place[:, :, None] - place[:, :, :, None]
    distance = np.linalg.norm(apart, axis=-1, keepdims=True) + np.eye(masses.shape[1])[..., None]
    return (law(distance) * apart).sum(axis=3) / masses[:, None, :, None], place


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 8), st.sampled_from([2, 3]))
def test_exact_forces_give_exact_masses(seed, particles, dim):
    masses = 10 ** np.random.default_rng(seed).uniform(-4, 0, particles)
    found = momentum_closure(pair_accelerations(masses, dim=dim, seed=seed)[0])
    np.testing.assert_allclose(found.masses, masses / masses.max(), rtol=1e-7)
    assert found.reference == f"p{masses.argmax()}"
    assert found.holds
    assert found.determined.all()


@pytest.mark.parametrize("seed", range(5))
def test_standard_errors_cover_under_noise(seed):
    masses = np.array([1.0, 0.3, 0.1, 0.03])
    rng = np.random.default_rng(seed + 1000)  # not the one that drew the places
    acceleration, _ = pair_accelerations(masses, times=1000, seed=seed)
    error = np.array([[0.3, 0.02, 0.3, 0.1]]) * np.sqrt((acceleration**2).mean(axis=(1, 3)))
    noisy = acceleration + error[:, None, :, None] * rng.standard_normal(acceleration.shape)
    found = momentum_closure(noisy, error)
    z = (found.masses - masses)[1:] / found.standard_error[1:]
    assert np.abs(z).max() < 4  # no bias by noise in the regressors
    assert found.holds
    assert found.residual == pytest.approx(found.expected, rel=0.1)


def test_masses_shared_or_not_is_told():
    rng = np.random.default_rng(1)
    shared = np.tile([1.0, 0.5, 0.2], (6, 1))
    own = rng.uniform(0.2, 1.0, (6, 3))
    one, many = (momentum_closure(pair_accelerations(m)[0]) for m in (shared, own))
    assert one.shared
    assert one.masses.shape == (3,)
    assert not many.shared
    np.testing.assert_allclose(many.masses / many.masses[:, :1], own / own[:, :1], rtol=1e-8)
    assert many.reference in ("p0", "p1", "p2")


def test_noisy_simulations_are_weighted_down():
    masses = np.tile([1.0, 0.5, 0.2], (4, 1))
    acceleration, _ = pair_accelerations(masses)
    error = np.tile([1e-3, 1e-3, 1e-3], (4, 1))
    error[3] = 0.5
    noisy = acceleration + error[:, None, :, None] * np.random.default_rng(99).standard_normal(
        acceleration.shape
    )
    found = momentum_closure(noisy, error)
    np.testing.assert_allclose(found.masses, masses[0], rtol=1e-3)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda a, x: a + 0.5,  # a uniform field
        lambda a, x: a - 0.5 * np.abs(x),  # an external force
        lambda a, x: a * np.random.default_rng(0).uniform(0.5, 1.5, a.shape),  # noise that nobody stated
    ],
)
def test_what_does_not_close_is_said(break_it):
    acceleration, place = pair_accelerations([1.0, 0.5, 0.2])
    found = momentum_closure(break_it(acceleration, place))
    assert not found.holds
    assert "do not add up" in found.reason


def test_action_without_reaction_of_one_sign_gives_a_negative_mass():
    acceleration, _ = pair_accelerations([1.0, 0.5, 0.2])
    acceleration[:, :, 2] *= -1.0  # the third runs away from what attracts it
    found = momentum_closure(acceleration)
    assert not found.holds
    assert "p2 comes out negative" in found.reason
    assert found.masses.min() >= 0


def test_the_planets_are_weighed_without_a_law():
    ephemeris = load_ephemeris("de421")
    start, stop = julian_date(1990), julian_date(2020)
    acceleration = ephemeris.states(np.arange(start, stop, 4.0))[2][None]
    found = momentum_closure(acceleration, ephemeris.acceleration_error(start, stop), names=ephemeris.names)
    true = ephemeris.gm / ephemeris.gm[0]
    assert found.reference == "sun"
    assert found.holds
    assert found.residual < 3e-6
    limits = dict(
        zip(ephemeris.names, [1, 1e-6, 1e-6, 2e-6, 2e-4, 1e-4, 1e-6, 2e-6, 1e-4, 1e-3], strict=False)
    )
    for name, limit in limits.items():
        k = ephemeris.names.index(name)
        assert abs(found.masses[k] / true[k] - 1) < limit
        assert name == "sun" or abs(found.masses[k] - true[k]) < 3 * found.standard_error[k]
    pluto = ephemeris.names.index("pluto")
    assert not found.determined[pluto]
    assert found.positive()[pluto] > 0


@pytest.mark.parametrize(
    ("acceleration", "words"),
    [
        (np.ones((4, 3)), r"shape \(4, 3\)"),
        (np.ones((1, 2, 9, 3)), "6 equations for 9 masses.*3 times"),
        (np.full((1, 9, 2, 3), np.nan), "simulation 0, time index 0, particle 0"),
        (np.stack([np.ones((9, 2)), np.zeros((9, 2))], 1)[None], "particle 1 never accelerates"),
    ],
)
def test_hopeless_input_is_refused(acceleration, words):
    with pytest.raises(ValueError, match=words):
        momentum_closure(acceleration)
