"""The repulsion of nuclei: against the published function by hand, its limits, and its end."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.data import covalent_radii
from ase.units import Bohr, Hartree

from sciml.builders import atoms_graph
from sciml.models import PaiNN, SchNet
from sciml.nn import ZBL

COULOMB = Hartree * Bohr


def by_hand(first, second, r):
    """As printed in the book, from the constants of ASE."""
    x = r / (0.8854 * Bohr / (first**0.23 + second**0.23))
    phi = (
        0.18175 * np.exp(-3.19980 * x)
        + 0.50986 * np.exp(-0.94229 * x)
        + 0.28022 * np.exp(-0.40290 * x)
        + 0.02817 * np.exp(-0.20162 * x)
    )
    return COULOMB * first * second / r * phi


def energy(symbols, r, cutoff=4.0):
    graph = atoms_graph(Atoms(symbols, [[0, 0, 0], [0, 0, r]]), cutoff)
    return float(
        ZBL(cutoff).double()(graph.with_edges(None, distance=graph.edge_vectors().norm(dim=1))).sum()
    )


@pytest.mark.parametrize(("symbols", "z"), [("HH", (1, 1)), ("OC", (8, 6)), ("AuH", (79, 1))])
def test_it_is_the_published_function_within_its_envelope(symbols, z):
    end = covalent_radii[list(z)].sum()
    for r in (0.05, 0.2, 0.4):
        s = r / end
        expected = by_hand(*z, r) * (1 - 10 * s**3 + 15 * s**4 - 6 * s**5)
        assert energy(symbols, r) == pytest.approx(expected, rel=1e-6)


def test_nuclei_are_bare_at_the_shortest_distances():
    assert energy("OC", 2e-3) == pytest.approx(COULOMB * 48 / 2e-3, rel=0.03)
    assert energy("OC", 2e-3) < COULOMB * 48 / 2e-3


def test_it_ends_with_two_derivatives_at_the_covalent_radii():
    end = covalent_radii[[8, 6]].sum()
    left = [energy("OC", end - h) for h in (0.02, 0.01)]
    assert left[0] / left[1] == pytest.approx(8, rel=0.15)
    assert energy("OC", end) == pytest.approx(0, abs=1e-12)
    assert energy("OC", 0.7, cutoff=0.8) < energy("OC", 0.7)  # a short cutoff ends it sooner
    assert energy("OC", 0.8, cutoff=0.9) > 0


@pytest.mark.parametrize("network", [SchNet, PaiNN], ids=lambda n: n.__name__)
def test_with_it_atoms_repel_at_short_distances_and_bonds_are_left_alone(network):
    make = {"channels": 8, "layers": 1, "radial": 6, "cutoff": 3.0}
    models = []
    for repulsion in (None, "zbl"):
        torch.manual_seed(0)
        models.append(network(**make, repulsion=repulsion).double().eval())
    assert models[0].state_dict().keys() == models[1].state_dict().keys()  # old checkpoints fit
    near, far = Atoms("CO", [[0, 0, 0], [0, 0, 0.3]]), Atoms("CO", [[0, 0, 0], [0, 0, 1.5]])
    plain, repelled = (m.predict(near) for m in models)
    assert repelled.energy - plain.energy == pytest.approx(energy("CO", 0.3), rel=1e-9)
    h = 1e-5
    slope = (energy("CO", 0.3 + h) - energy("CO", 0.3 - h)) / (2 * h)
    assert repelled.forces[1, 2] - plain.forces[1, 2] == pytest.approx(-slope, rel=1e-6)
    assert models[0].predict(far).energy == pytest.approx(models[1].predict(far).energy, abs=1e-12)


def test_another_repulsion_is_refused():
    with pytest.raises(ValueError, match="expected zbl"):
        PaiNN(repulsion="lj")
