import numpy as np
import pytest

from sciml.datasets.simulated import simulated
from sciml.physics.bodies import Bodies
from sciml.physics.momentum import momentum_closure
from sciml.physics.systems import SYSTEMS, simulate


@pytest.mark.parametrize("system", SYSTEMS)
def test_forces_at_rest_are_minus_the_gradient_of_the_energy(system):
    rng, shape = np.random.default_rng(4), (1, 4)
    mass, charge, strength = rng.uniform(0.5, 2, shape), rng.normal(size=shape), rng.uniform(1, 2, (1, 4, 4))
    parameters = {"uniform": 0.7, "trap": 1.3}
    bodies = Bodies(
        SYSTEMS[system], mass, charge, 1.7, 0.1, parameters=parameters, strength=strength + strength.mT
    )
    x, rest, h = rng.uniform(-1, 1, (1, 4, 3)), np.zeros((1, 1, 4, 3)), 1e-6
    gradient = np.zeros((4, 3))
    for n, d in np.ndindex(4, 3):
        step = np.zeros_like(x)
        step[0, n, d] = h
        up, down = (bodies.energy((x + sign * step)[:, None], rest)[0, 0] for sign in (1, -1))
        gradient[n, d] = (up - down) / (2 * h)
    force = mass[0, :, None] * bodies.acceleration(x, rest[:, 0])[0]
    np.testing.assert_allclose(force, -gradient, rtol=1e-6, atol=1e-7 * np.abs(force).max())


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_is_integrated_well_and_says_what_it_conserves(system, dim):
    found = simulate(system, dim=dim, simulations=2, times=30, dt=0.01, seed=3)
    assert found.energy_drift.max() < SYSTEMS[system].tolerance
    lost = found.energy[:, 0] - found.energy[:, -1]
    kinetic = 0.5 * (found.mass[:, None, :, None] * found.velocity**2).sum((2, 3)).max(1)
    if found.keeps_energy:
        assert (np.abs(lost) / kinetic < SYSTEMS[system].tolerance).all()
    else:
        assert (lost / kinetic > 1e-3).all()
    assert found.keeps_momentum == (system not in ("gravity_uniform", "gravity_trap", "magnetic", "damped"))
    if found.keeps_momentum:
        assert found.momentum_drift.max() < 1e-11
    elif system != "gravity_trap":  # there, the centre of mass rests where the trap has its own
        assert found.momentum_drift.min() > 1e-3
    if system != "flocking":
        centre = np.einsum("sn,snd->sd", found.mass, found.position[:, 0])
        np.testing.assert_allclose(centre, 0, atol=1e-10)


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
        ({"parameters": {"grad": 1.0}}, "'gravity' has no parameter 'grad'; it has .*drag"),
        ({"parameters": {"drag": -1.0}}, "drag of at least 0"),
        ({"parameters": {"trap": np.nan}}, "finite"),
        ({"species": 4}, "1 to 3"),
        ({"species": [0, 1]}, r"shape \(3,\)"),
        ({"species": [0, 1, 1], "couplings": [[1.0, 2.0], [3.0, 1.0]]}, "symmetric table of 2 × 2"),
        ({"system": "lennard_jones", "particles": 9, "parameters": {"sigma": 1.0}}, "do not fit"),
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
