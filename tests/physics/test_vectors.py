"""The list of vectors and invariants: what each is, and how it turns."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from sciml.physics.vectors import NODE_INVARIANTS, PAIR_INVARIANTS, VECTORS, cross_axis, dimension


def pairs(dim, seed=0, rows=50):
    return np.random.default_rng(seed).normal(size=(2, rows, dim))


def rotation(dim, seed=1):
    if dim == 3:
        return Rotation.random(random_state=seed).as_matrix()
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_turns_with_what_it_is_made_of_unless_it_names_an_axis(name, dim):
    direction = VECTORS[name]
    if dim not in direction.dims:
        return
    a, b = pairs(dim)
    R = rotation(dim)
    turned_after = direction.of(a, b) @ R.T
    turned_before = direction.of(a @ R.T, b @ R.T)
    of_axis = name.startswith(("e_", "v_cross")) or name in ("x_hat", "y_hat", "z_hat")
    assert np.allclose(turned_after, turned_before) != of_axis


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("invariants", [PAIR_INVARIANTS, NODE_INVARIANTS])
def test_invariants_do_not_turn(invariants, dim):
    a, b = pairs(dim)
    R = rotation(dim)
    for name, of in invariants.items():
        before, after = of(a, b), of(a @ R.T, b @ R.T)
        if name.startswith("n_"):  # the cosine to an axis, which stays
            assert name == "n_z" or not np.allclose(after, before)
        else:
            np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dim", [2, 3])
def test_torch_and_numpy_agree_and_the_zero_vector_has_no_direction(dim):
    a, b = pairs(dim)
    for direction in VECTORS.values():
        if dim in direction.dims:
            found = direction.of(torch.as_tensor(a), torch.as_tensor(b))
            np.testing.assert_allclose(found.numpy(), direction.of(a, b), rtol=1e-13, atol=1e-15)
    assert not np.isnan(VECTORS["r_hat"].of(np.zeros((1, dim)), b[:1])).any()


def test_crosses_are_numpys():
    a, b = pairs(3)
    for axis in range(3):
        np.testing.assert_allclose(cross_axis(a, axis), np.cross(a, np.eye(3)[axis]), atol=1e-15)
    r_hat = a / np.linalg.norm(a, axis=1, keepdims=True)
    np.testing.assert_allclose(VECTORS["r_cross_w"].of(a, b), np.cross(r_hat, b), atol=1e-14)


def test_radial_and_tangential_parts_make_the_whole():
    a, b = pairs(3)
    found = {name: of(a, b) for name, of in PAIR_INVARIANTS.items()}
    np.testing.assert_allclose(found["w_r"] ** 2 + found["w_t"] ** 2, found["w"] ** 2)
    across = VECTORS["w_across"].of(a, b)
    np.testing.assert_allclose((across * a).sum(-1), 0, atol=1e-12)
    h = 1e-6
    distance = PAIR_INVARIANTS["r"]
    rate = (distance(a + h * b, b) - distance(a - h * b, b)) / (2 * h)
    np.testing.assert_allclose(rate, found["w_r"], rtol=1e-5)


@pytest.mark.parametrize("name", [*VECTORS, *PAIR_INVARIANTS, *NODE_INVARIANTS])
def test_dimensions_are_how_values_grow_with_lengths_and_times(name):
    rng = np.random.default_rng(0)
    dim = max(VECTORS[name].dims) if name in VECTORS else 3
    x, v = rng.normal(size=(2, 5, dim))
    of = VECTORS[name].of if name in VECTORS else (PAIR_INVARIANTS | NODE_INVARIANTS)[name]
    factor = {"length": 2.0, "speed": 2.0 / 3.0, "": 1.0}[dimension(name)]
    np.testing.assert_allclose(of(2.0 * x, 2.0 / 3.0 * v), factor * of(x, v), atol=1e-12)
