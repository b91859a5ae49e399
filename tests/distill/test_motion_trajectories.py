"""Derivatives of forces and of trajectories by their starts, against finite differences of the whole."""

import itertools

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from sciml.distill.motion.accelerations import Accelerations
from sciml.distill.motion.model import Model, part
from sciml.distill.motion.structure import Strength
from sciml.distill.motion.trajectories import (
    by_differences,
    by_variational_equations,
    integrate,
    sensitivities,
)

R, W, V, X = sympy.symbols("r w_r v_i x_i")
FORCES = {
    "a spring between kinds": (1.0 - R, "r_hat", "r", Strength("[a]", "[b]", swapped=True)),
    "gravity": (-2.0 / R**2, "r_hat", "r", Strength("1", "mass")),
    "charges over masses": (0.7 / R, "r_hat", "r", Strength("charge", "charge", over="mass")),
    "hidden strengths": (1.3 / R, "r_hat", "r", Strength("free", "free")),
    "friction between pairs": (-0.5 * sympy.exp(-R), "w_vec", "r", Strength()),
    "along the approach": (-0.4 * W, "r_hat", "w_r", Strength()),
    "drag": (-0.3 * V, "v_vec", "v_i", Strength(over="mass")),
    "a trap": (-0.8 * sympy.tanh(X), "x_vec", "x_i", Strength("light")),
    "a field": (sympy.Float(0.6), "e_y", "", Strength("felt")),
}


def model(names, box=None, particles=4):
    rng = np.random.default_rng(0)
    given = {"mass": rng.uniform(0.5, 2, (2, particles)), "charge": rng.normal(size=(2, particles))}
    kinds = np.arange(particles) % 2
    given |= {f"[{k}]": np.broadcast_to(1.0 * (kinds == i), (2, particles)) for i, k in enumerate("ab")}
    parts = tuple(part(*FORCES[name], f"c{k}_") for k, name in enumerate(names))
    u, w = rng.uniform(0.5, 2, (2, particles))
    return Model(parts, given, u, w, np.arange(particles), box)


def states(seed, dim, windows=3, particles=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(windows, 2, particles, dim)), np.arange(windows) % 2


def differences(function, z, step=1e-5):
    """Central differences of a function of [windows, ...] by each coordinate of the windows."""
    found = []
    for k in range(z[0].size):
        nudge = np.zeros(z[0].size)
        nudge[k] = step
        nudge = nudge.reshape(z.shape[1:])
        found.append((function(z + nudge) - function(z - nudge)) / (2 * step))
    return np.stack(found, axis=-1)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("names", [[name] for name in FORCES] + [list(FORCES)])
def test_slopes_are_those_of_the_acceleration(names, dim):
    made = model(names)
    z, simulation = states(1, dim)
    total, by_x, by_v = Accelerations(made, None, simulation).slopes(z[:, 0], z[:, 1])
    expected = differences(lambda z: made.acceleration(z[:, 0], z[:, 1], simulation=simulation), z)
    np.testing.assert_allclose(
        total, made.acceleration(z[:, 0], z[:, 1], simulation=simulation), rtol=1e-12, atol=1e-12
    )
    half = z[0, 0].size
    close = {"rtol": 1e-3, "atol": 1e-4 * np.abs(expected).max()}
    np.testing.assert_allclose(by_x.reshape(expected[..., :half].shape), expected[..., :half], **close)
    if by_v is None:
        assert np.abs(expected[..., half:]).max() < 1e-8
    else:
        np.testing.assert_allclose(by_v.reshape(expected[..., half:].shape), expected[..., half:], **close)


def test_in_a_box_the_nearest_images_pull():
    made = model(["charges over masses"], np.array([2.0, 3.0]))
    z, simulation = states(2, 2)
    _, by_x, _ = Accelerations(made, None, simulation).slopes(z[:, 0], z[:, 1])
    expected = differences(lambda z: made.acceleration(z[:, 0], z[:, 1], simulation=simulation), z)
    np.testing.assert_allclose(
        by_x.reshape(*expected.shape[:-1], 8),
        expected[..., :8],
        rtol=1e-3,
        atol=1e-4 * np.abs(expected).max(),
    )


@settings(max_examples=10)
@given(seed=st.integers(0, 10_000), dim=st.integers(2, 3))
def test_paths_move_with_their_starts(seed, dim):
    """The derivatives are those of the discrete path, whatever the steps, and by both ways."""
    made = model(["a spring between kinds", "friction between pairs", "drag", "a trap"], particles=3)
    z, simulation = states(seed, dim, particles=3)
    time = np.cumsum(np.random.default_rng(seed).uniform(0.05, 0.2, (len(z), 4)), axis=1)
    expected = differences(lambda z: integrate(made, made.start, z, time, simulation, 2), z)
    for way in (by_differences, by_variational_equations):
        path, slopes = way(made, z, time, simulation, 2)
        np.testing.assert_allclose(path, integrate(made, made.start, z, time, simulation, 2), rtol=1e-12)
        np.testing.assert_allclose(slopes, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_paths_converge_to_those_of_a_solver_of_high_order():
    """With half the steps a sixteenth of the error."""
    made = model(["charges over masses", "drag"])
    z, _ = states(0, 2, windows=1)
    time, which = np.linspace(0, 0.4, 3)[None], np.zeros(1, dtype=int)

    def rate(t, y):
        x, v = y.reshape(2, 4, 2)
        return np.r_[v.ravel(), made.acceleration(x, v).ravel()]

    true = solve_ivp(rate, (0, 0.4), z[0].ravel(), "DOP853", time[0], rtol=1e-12, atol=1e-12).y[:8, -1]
    errors = [
        np.abs(sensitivities(made, z, time, which, n)[0][0, -1].ravel() - true).max() for n in (2, 4, 8)
    ]
    assert errors[2] < 1e-4
    assert [a / b for a, b in itertools.pairwise(errors)] == pytest.approx([16, 16], rel=0.4)


def test_a_free_particle_goes_straight():
    made = model(["hidden strengths"])
    z, simulation = states(0, 2)
    far = z.copy()
    far[:, 0] += 1e6 * np.arange(4)[:, None]  # nobody near
    time = np.broadcast_to(np.linspace(0, 1, 4), (3, 4))
    path, slopes = by_variational_equations(made, far, time, simulation, 1)
    np.testing.assert_allclose(path[:, -1], far[:, 0] + far[:, 1], atol=1e-5)
    one = np.eye(8).reshape(4, 2, 8)
    np.testing.assert_allclose(slopes[0, -1], np.concatenate([one, one], axis=-1), atol=1e-5)
