import numpy as np
import pytest

from sciml.physics.ephemerides import julian_date, load_ephemeris
from sciml.physics.rollout import rollout


def newton(gm):
    first, second = np.triu_indices(len(gm), k=1)

    def acceleration(x, v):
        apart = x[second] - x[first]
        pull = apart / (np.einsum("pd,pd->p", apart, apart) ** 1.5)[:, None]
        total = np.zeros_like(x)
        np.add.at(total, first, gm[second, None] * pull)
        np.add.at(total, second, -gm[first, None] * pull)
        return total

    return acceleration, lambda r: -gm[first] * gm[second] / r**2


def test_the_solar_system_stays_beside_the_ephemeris():
    ephemeris = load_ephemeris("de421")
    times = julian_date(2020) + np.linspace(0, 365.25, 74)
    position, velocity, _ = ephemeris.states(times)
    acceleration, force = newton(ephemeris.gm)
    path = rollout(acceleration, position[0], velocity[0], times)
    assert path.complete
    away = np.linalg.norm(path.position - position, axis=-1)[-1] * ephemeris.au_km
    assert 20 < away[1] < 200  # Mercury: 0.43 arc seconds a year are not Newton's
    assert away[6:].max() < 10
    assert path.momentum_drift(ephemeris.gm).max() < 1e-14
    assert np.abs(path.energy_drift(ephemeris.gm, force)).max() < 1e-12


def test_energy_by_quadrature_is_that_of_the_potential():
    mass = np.array([1.0, 0.6, 0.3])
    start = np.array([[0.0, 0.0], [1.0, 0.1], [-0.4, 0.8]]), np.array([[0.0, -0.2], [0.1, 0.9], [0.8, 0.0]])
    acceleration, force = newton(mass)
    path = rollout(acceleration, *start, np.linspace(0, 3, 50))
    exact = np.abs(path.energy_drift(mass, force)).max()
    off = path.energy_drift(mass, lambda r: 1.01 * force(r))
    assert exact < 1e-9
    first, second = np.triu_indices(3, k=1)
    distance = np.linalg.norm(path.position[:, first] - path.position[:, second], axis=-1)
    potential = -(mass[first] * mass[second] / distance).sum(axis=-1)
    kinetic = 0.5 * (mass[:, None] * path.velocity[0] ** 2).sum()
    np.testing.assert_allclose(off, 0.01 * (potential - potential[0]) / kinetic, atol=1e-9)


def test_an_oscillator_with_drag_follows_its_formula():
    drag = lambda x, v: -x - 0.2 * v
    times = np.linspace(0, 10, 33)
    path = rollout(drag, [[1.0, 0.0], [0.0, 2.0]], np.zeros((2, 2)), times)
    w = np.sqrt(1 - 0.01)
    exact = np.exp(-0.1 * times) * (np.cos(w * times) + 0.1 / w * np.sin(w * times))
    np.testing.assert_allclose(path.position[:, 0, 0], exact, atol=1e-10)
    np.testing.assert_allclose(path.position[:, 1, 1], 2 * exact, atol=1e-10)
    back = rollout(drag, path.position[-1], path.velocity[-1], times[::-1])
    np.testing.assert_allclose(back.position[-1], [[1.0, 0.0], [0.0, 2.0]], atol=1e-9)


def test_a_collision_ends_the_rollout_and_says_so():
    acceleration, _ = newton(np.ones(2))
    start, times = [[-1.0, 0.0], [1.0, 0.0]], np.linspace(0, 10, 101)
    path = rollout(acceleration, start, np.zeros((2, 2)), times, most_evaluations=50_000)
    assert not path.complete
    assert path.reason
    assert len(path.time) == len(path.position) < 101
    assert path.time[-1] == pytest.approx(np.pi / np.sqrt(2), abs=0.11)  # free fall from rest
    assert np.isfinite(path.position).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"times": [0.0, 1.0, 0.5]}, "only increases"),
        ({"velocity": np.zeros((3, 2))}, r"\(2, 2\) and velocity \(3, 2\)"),
        ({"acceleration": lambda x, v: x * np.nan}, "not finite"),
        ({"acceleration": lambda x, v: x[:1]}, r"shape \(1, 2\)"),
    ],
)
def test_wrong_input_is_refused(change, words):
    options = {
        "acceleration": lambda x, v: -x,
        "position": np.eye(2),
        "velocity": np.zeros((2, 2)),
        "times": [0.0, 1.0],
    } | change
    with pytest.raises(ValueError, match=words):
        rollout(**options)
