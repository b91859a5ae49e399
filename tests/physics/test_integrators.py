import numpy as np
import pytest

from sciml.physics.integrators import symplectic


def pull(x):
    return -x / np.linalg.norm(x, axis=-1, keepdims=True) ** 3


def ellipse(eccentricity=0.3):
    """Periapsis of an orbit of period 2 π, energy -1/2."""
    fastest = np.sqrt((1 + eccentricity) / (1 - eccentricity))
    return np.array([[1 - eccentricity, 0.0]]), np.array([[0.0, fastest]])


@pytest.mark.parametrize("order", [2, 4])
def test_error_falls_with_the_order(order):
    x, v = ellipse()
    errors = []
    for steps in (400, 800):
        path, _ = symplectic(pull, x, v, dt=2 * np.pi / steps, steps=steps, order=order)
        errors.append(np.linalg.norm(path[-1] - x))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("order", [2, 4])
def test_energy_does_not_drift_in_many_orbits(order):
    x, v = ellipse(0.2)
    path, speed = symplectic(pull, x, v, dt=2 * np.pi / 60, steps=18000, every=20, order=order)
    energy = 0.5 * (speed**2).sum((1, 2)) - 1 / np.linalg.norm(path[:, 0], axis=-1)
    early, late = (np.abs(part + 0.5).max() for part in (energy[:200], energy[-200:]))
    assert late < 1.5 * early


@pytest.mark.parametrize("order", [2, 4])
def test_time_reverses(order):
    x, v = ellipse(0.5)
    path, speed = symplectic(pull, x, v, dt=0.01, steps=500, order=order)
    back, slow = symplectic(pull, path[-1], speed[-1], dt=-0.01, steps=500, order=order)
    np.testing.assert_allclose(back[-1], x, atol=1e-11)
    np.testing.assert_allclose(slow[-1], v, atol=1e-11)


def test_simulations_side_by_side_are_the_single_ones():
    start = [ellipse(e) for e in (0.1, 0.4)]
    x, v = (np.stack(part) for part in zip(*start, strict=True))
    both, _ = symplectic(pull, x, v, dt=0.05, steps=20, every=5)
    for k in range(2):
        np.testing.assert_array_equal(both[:, k], symplectic(pull, *start[k], dt=0.05, steps=20, every=5)[0])
    assert len(both) == 5


def test_wrong_options_are_refused():
    x, v = ellipse()
    with pytest.raises(ValueError, match="order is 3"):
        symplectic(pull, x, v, dt=0.1, steps=10, order=3)
    with pytest.raises(ValueError, match="every=3"):
        symplectic(pull, x, v, dt=0.1, steps=10, every=3)
