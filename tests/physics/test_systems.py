import numpy as np
import pytest

from sciml.datasets.simulated import simulated
from sciml.physics.momentum import momentum_closure
from sciml.physics.systems import SYSTEMS, simulate


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("system", ["gravity", "inverse", "spring", "charge"])
def test_energy_and_momentum_are_kept(system, dim):
    found = simulate(system, dim=dim, simulations=4, times=100, seed=3)
    assert found.position.shape == (4, 100, 3, dim)
    assert found.energy_drift.max() < 1e-5
    assert found.momentum_drift.max() < 1e-12
    centre = (found.mass[:, None, :, None] * found.position).sum(axis=2)
    np.testing.assert_allclose(centre, 0, atol=1e-10)


@pytest.mark.parametrize("system", SYSTEMS)
def test_forces_are_minus_the_gradient_of_the_energy(system):
    found = simulate(system, particles=4, dim=3, simulations=1, times=2, softening=0.1, seed=1)
    x, mass, charge = found.position[0, 0], found.mass[0], found.charge[0]
    law = SYSTEMS[system]
    q = {"mass": mass, "charge": charge}.get(law.couples, np.ones(4))

    def potential(x):
        i, j = np.triu_indices(4, 1)
        return (q[i] * q[j] * law.potential(np.sqrt(((x[i] - x[j]) ** 2).sum(-1) + 0.01))).sum()

    h = 1e-5
    for n in range(4):
        for d in range(3):
            step = np.zeros_like(x)
            step[n, d] = h
            force = -(potential(x + step) - potential(x - step)) / (2 * h)
            assert force == pytest.approx(mass[n] * found.acceleration[0, 0, n, d], rel=1e-6, abs=1e-8)


def test_ten_bodies_orbit_without_collisions():
    found = simulate("gravity", particles=10, simulations=2, times=200, seed=0)
    apart = np.linalg.norm(found.position[:, :, :, None] - found.position[:, :, None], axis=-1)
    assert apart[..., *np.triu_indices(10, 1)].min() > 1e-3
    assert found.energy_drift.max() < 1e-5
    assert np.linalg.norm(found.position, axis=-1).max() < 3


def test_velocities_are_the_derivative_and_times_are_right():
    found = simulate("spring", simulations=2, times=60, dt=0.02)
    x, h = found.position, found.time[1] - found.time[0]
    slope = (8 * (x[:, 3:-1] - x[:, 1:-3]) - (x[:, 4:] - x[:, :-4])) / (12 * h)
    np.testing.assert_allclose(slope, found.velocity[:, 2:-2], atol=1e-4)


def test_seeds_repeat_and_masses_are_kept():
    one, same, other = (simulate(simulations=2, times=20, seed=s) for s in (5, 5, 6))
    np.testing.assert_array_equal(one.position, same.position)
    assert not np.allclose(one.position, other.position)
    masses = np.array([[1.0, 0.5, 0.2], [0.3, 0.3, 0.9]])
    np.testing.assert_array_equal(simulate(simulations=2, times=5, masses=masses).mass, masses)


def test_hidden_properties_are_only_for_reference():
    data = simulated("charge", given=("charge",), simulations=3, times=30, seed=2)
    assert list(data.properties) == ["charge"]
    assert list(data.reference) == ["mass"]
    weighed = momentum_closure(data.acceleration)
    true = data.reference["mass"][0]
    np.testing.assert_allclose(weighed.masses, true / true.max(), rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"system": "magic"}, "'magic'.*gravity"),
        ({"particles": 1}, "at least 2 particles"),
        ({"dim": 4}, "dim 2 or 3"),
        ({"masses": [1.0, 2.0]}, r"\(2,\); expected \(3,\)"),
        ({"masses": [1.0, 2.0, -1.0]}, "positive"),
    ],
)
def test_impossible_systems_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        simulate(**options)
    with pytest.raises(ValueError, match=r"'spin'.*mass"):
        simulated("gravity", given=("spin",), times=3, simulations=1)


def test_what_cannot_be_resolved_is_said():
    with pytest.raises(RuntimeError, match=r"found no draw.*softening"):
        simulate(simulations=1, times=50, dt=1.0, substeps=1, tolerance=1e-14, draws=3)
