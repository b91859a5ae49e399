"""Motions that are known: what each kind of force must do, whatever the integrator."""

import numpy as np
import pytest

from sciml.physics.bodies import Bodies
from sciml.physics.catalogue import System
from sciml.physics.integrators import splitting
from sciml.physics.systems import SYSTEMS, simulate

FREE = System()  # no forces between particles


def pair(mass=(1.0, 3.0), charge=(1.0, -2.0), system=FREE, constant=1.0, **parameters):
    return Bodies(system, np.array([mass]), np.array([charge]), constant, parameters=parameters)


def run(bodies, x, v, end, times=101, substeps=10, tolerance=1e-6):
    x, v = (np.asarray(y, dtype=float)[None] for y in (x, v))
    clock = np.linspace(0, end, times)
    path = bodies.run(x, v, clock, substeps, tolerance)
    return clock, path[0][0], path[1][0], path[2][0]


def test_a_spring_swings_with_the_period_of_the_reduced_mass():
    bodies = pair(system=SYSTEMS["spring"], constant=2.0)
    period = 2 * np.pi * np.sqrt((1 * 3 / (1 + 3)) / 2.0)
    _, x, _, _ = run(bodies, [[0.0, 0.0], [1.4, 0.0]], np.zeros((2, 2)), period)
    apart = x[:, 1, 0] - x[:, 0, 0]
    np.testing.assert_allclose(apart, 1 + 0.4 * np.cos(2 * np.pi * np.linspace(0, 1, 101)), atol=1e-7)


@pytest.mark.parametrize("dim", [2, 3])
def test_charges_gyrate_with_larmor_radius_and_frequency(dim):
    bodies = pair(magnetic=2.0)
    x, v = np.zeros((2, dim)), np.ones((2, dim))
    x[1] += 5.0
    clock, path, _, _ = run(bodies, x, v, 2 * np.pi / (1.0 * 2.0 / 1.0), substeps=30)
    plane = path[:, 0, :2]
    centre = plane[:-1].mean(0)
    np.testing.assert_allclose(plane[-1], plane[0], atol=1e-6)  # one turn
    np.testing.assert_allclose(np.linalg.norm(plane - centre, axis=1), np.sqrt(2) / 2, rtol=1e-6)
    turning = np.cross(plane[1] - centre, plane[2] - centre)
    assert turning < 0  # q > 0 with B along z turns clockwise
    np.testing.assert_allclose(path[:, 0, 2:], clock[:, None] * v[0, 2:], atol=1e-12)  # along the field


@pytest.mark.parametrize(("power", "speed"), [(1.0, 1.5 / 0.4), (2.0, np.sqrt(1.5 / 0.4))])
def test_a_fall_through_drag_ends_at_terminal_velocity(power, speed):
    bodies = pair(mass=(1.0, 1.0), uniform=1.5, drag=0.4, drag_power=power)
    _, _, v, balance = run(bodies, [[0.0, 0.0], [1.0, 0.0]], [[0.3, 2.0], [0.0, 0.0]], 40.0)
    np.testing.assert_allclose(v[-1], [[0, -speed], [0, -speed]], atol=1e-5)
    assert balance < 1e-6  # energy less the work of drag


def test_drag_alone_slows_exactly():
    bodies = pair(mass=(1.0, 2.0), drag=0.6, drag_power=2.0)
    clock, _, v, _ = run(bodies, [[0.0, 0.0], [1.0, 0.0]], [[3.0, 4.0], [0.0, 1.0]], 3.0)
    np.testing.assert_allclose(np.linalg.norm(v[:, 0], axis=1), 5 / (1 + 0.6 * 5 * clock), rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(v[:, 1], axis=1), 1 / (1 + 0.3 * clock), rtol=1e-9)


@pytest.mark.parametrize("eccentricity", [0.0, 0.6, 0.999])
def test_two_bodies_follow_kepler(eccentricity):
    masses, a = (2.0, 1.0), 0.8
    bodies = pair(mass=masses, system=SYSTEMS["gravity"])
    period = 2 * np.pi * np.sqrt(a**3 / sum(masses))
    far = a * (1 + eccentricity)
    speed = np.sqrt(sum(masses) * (2 / far - 1 / a))
    v = np.array([[0.0, -speed / 3], [0.0, 2 * speed / 3]])
    _, x, _, drift = run(bodies, [[-far / 3, 0.0], [2 * far / 3, 0.0]], v, period, tolerance=1e-7)
    assert drift < 1e-7
    np.testing.assert_allclose(x[-1], x[0], atol=1e-4)
    near = np.linalg.norm(x[50, 0] - x[50, 1])
    assert near == pytest.approx(a * (1 - eccentricity), abs=1e-4)


def test_the_centre_of_mass_swings_in_a_trap_whatever_the_forces_between():
    bodies = pair(system=SYSTEMS["gravity"], trap=1.7)
    clock, x, _, _ = run(bodies, [[0.3, 0.0], [1.4, 0.1]], [[0.0, 1.0], [0.1, -0.5]], 5.0)
    centre = np.array([0.25, 0.75]) @ x
    start, speed = centre[0], np.array([0.25 * 0 + 0.75 * 0.1, 0.25 - 0.75 * 0.5])
    wave = 1.7 * clock[:, None]
    np.testing.assert_allclose(centre, np.cos(wave) * start + np.sin(wave) * speed / 1.7, atol=1e-6)


def test_falling_together_changes_nothing_between_bodies():
    x, v = [[0.3, 0.0], [1.4, 0.1]], [[0.0, 1.0], [0.1, -0.5]]
    clock, falling, _, _ = run(pair(system=SYSTEMS["gravity"], uniform=1.0), x, v, 2.0)
    _, resting, _, _ = run(pair(system=SYSTEMS["gravity"]), x, v, 2.0)
    fall = np.stack([0 * clock, -0.5 * clock**2], axis=1)[:, None]
    np.testing.assert_allclose(falling, resting + fall, atol=1e-9)


def test_velocities_align_to_their_mean():
    found = simulate("flocking", particles=6, simulations=3, times=200, dt=0.05, dim=3, constant=4.0)
    mean = (found.mass[..., None] * found.velocity[:, 0]).sum(1) / found.mass.sum(1)[:, None]
    assert np.linalg.norm(mean, axis=1).min() > 1e-2
    np.testing.assert_allclose(found.velocity[:, -1], np.repeat(mean[:, None], 6, axis=1), atol=2e-2)
    assert (np.diff(found.energy, axis=1) <= 1e-12).all()
    relative = found.velocity - mean[:, None, None]
    assert (np.linalg.norm(relative[:, -1], axis=-1) < 0.05 * np.linalg.norm(relative[:, 0], axis=-1)).all()


def test_species_that_do_not_couple_ignore_each_other():
    options = {"particles": 4, "simulations": 2, "times": 60, "masses": [1.0, 2.0, 0.5, 1.5], "seed": 5}
    both = simulate("spring", species=[0, 0, 1, 1], couplings=[[1.0, 0.0], [0.0, 3.0]], **options)
    first, rest = both.position[:, :, :2], both.acceleration[:, :, 2:]
    apart = first[:, :, 0] - first[:, :, 1]
    r = np.linalg.norm(apart, axis=-1, keepdims=True)
    np.testing.assert_allclose(both.acceleration[:, :, 0], -(r - 1) * apart / r, atol=1e-12)
    np.testing.assert_allclose(0.5 * rest[:, :, 0], -1.5 * rest[:, :, 1], atol=1e-12)
    drawn = simulate("spring", species=2, **options)
    assert drawn.couplings.shape == (2, 2)
    assert len(np.unique(drawn.couplings)) == 3
    assert sorted(drawn.species[0]) == [0, 0, 1, 1]


ELECTRIC = {"magnetic": 3.0, "drag": 0.3, "trap": 1.0}


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("power", [1.0, 1.5])
def test_the_order_holds_where_forces_depend_on_velocity(order, power):
    aligned = System(align=lambda r, p: np.exp(-r), potential=np.zeros_like, slope=lambda r, p: 1 / r)
    bodies = pair(system=aligned, drag_power=power, **ELECTRIC)
    x, v = np.array([[[0.0, 1.0], [0.8, 0.2]]]), np.array([[[1.0, 0.5], [-0.4, 0.3]]])

    def end(steps):
        return splitting(bodies.pull, bodies.turn, x, v, dt=1 / steps, steps=steps, order=order)[0][-1]

    exact = splitting(bodies.pull, bodies.turn, x, v, dt=1 / 2000, steps=2000, order=4)[0][-1]
    errors = [np.abs(end(steps) - exact).max() for steps in (20, 40)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.3)


def test_the_splitting_follows_the_acceleration():
    """What is integrated is what is reported: an independent adaptive integrator finds the same path."""
    from scipy.integrate import solve_ivp

    bodies = pair(system=System(align=lambda r, p: np.exp(-r)), drag_power=1.5, uniform=0.4, **ELECTRIC)
    x, v = np.array([[[0.0, 1.0], [0.8, 0.2]]]), np.array([[[1.0, 0.5], [-0.4, 0.3]]])
    rate = lambda t, y: np.r_[
        y[4:], bodies.acceleration(y[:4].reshape(1, 2, 2), y[4:].reshape(1, 2, 2)).ravel()
    ]
    found = solve_ivp(rate, (0, 2), np.r_[x.ravel(), v.ravel()], method="DOP853", rtol=1e-11, atol=1e-12)
    path, speed, _ = splitting(bodies.pull, bodies.turn, x, v, dt=1 / 500, steps=1000)
    np.testing.assert_allclose(path[-1].ravel(), found.y[:4, -1], atol=1e-8)
    np.testing.assert_allclose(speed[-1].ravel(), found.y[4:, -1], atol=1e-8)


@pytest.mark.parametrize(
    ("system", "options", "reverses"),
    [
        ("gravity", {}, True),
        ("lennard_jones", {}, True),
        ("magnetic", {"flip": True}, True),
        ("magnetic", {"flip": False}, False),  # time reversal turns the field round
        ("damped", {}, False),
    ],
)
def test_conservative_motion_runs_backwards(system, options, reverses):
    bodies = pair(system=SYSTEMS[system])
    x, v = np.array([[[0.0, 0.0], [0.5, 0.3]]]), np.array([[[0.6, -1.2], [-0.6, 0.9]]])
    path, speed, _ = splitting(bodies.pull, bodies.turn, x, v, dt=0.002, steps=200)
    if options.get("flip"):
        bodies = pair(system=SYSTEMS[system], magnetic=-3.0)
    back, slow, _ = splitting(bodies.pull, bodies.turn, path[-1], -speed[-1], dt=0.002, steps=200)
    missed = max(np.abs(back[-1] - x).max(), np.abs(slow[-1] + v).max())
    assert missed < 1e-10 if reverses else missed > 1e-3
