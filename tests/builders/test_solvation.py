"""Born radii against integrals, energies of ions and of molecules whose hydration is known."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from sciml.builders.molecule import DESCRIPTORS, descriptor_names, molecule_descriptors
from sciml.builders.molecule.descriptors import FRAGMENTS
from sciml.builders.molecule.solvation import (
    COULOMB,
    NAMES,
    OFFSET,
    WATER,
    born_radii,
    buried,
    polarization,
    solvation_descriptors,
)

BORN = COULOMB * (1 - 1 / WATER)


def described(*smiles):
    rows = solvation_descriptors([Chem.MolFromSmiles(s) for s in smiles])
    return [dict(zip(NAMES, row)) for row in rows]


@given(st.floats(0.2, 6.0), st.floats(0.8, 2.0), st.floats(0.5, 2.0))
def test_what_buries_an_atom_is_the_integral_over_the_other_sphere(distance, own, other):
    """In shells around the atom: the share of a shell inside the other sphere, by the law of cosines."""
    pos = np.array([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]])
    edges = np.linspace(own, max(distance + other, own + 1e-9), 40_001)
    r, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    cosine = (r**2 + distance**2 - other**2) / (2 * r * distance)
    expected = (0.5 * (1 - cosine.clip(-1, 1)) / r**2 * width).sum()
    found = buried(pos, np.array([own, 1.0]), np.array([1.0, other]))[0]
    assert found == pytest.approx(expected, abs=2e-4)


def test_ions_have_borns_energy_and_water_screens_what_is_between_them():
    own = 2.0 - OFFSET
    for distance in (0.0, 60.0):
        pos = np.array([[0.0, 0.0, 0.0], [distance, 0.0, 0.0]])[: 2 if distance else 1]
        size = len(pos)
        born = born_radii(pos, np.full(size, 2.0), np.full(size, 0.8))
        np.testing.assert_allclose(born, own, rtol=1e-4)
        charge = np.array([1.0, -2.0])[:size]
        expected = -0.5 * BORN * (charge**2).sum() / own + (2 * BORN / distance if distance else 0)
        assert polarization(charge, pos, born).sum() == pytest.approx(expected, rel=1e-4)


def test_born_radii_grow_with_what_is_around_and_stay_finite():
    grid = np.stack(np.meshgrid(*[np.arange(-2, 3) * 1.5] * 3, indexing="ij"), -1).reshape(-1, 3)
    near = grid[np.argsort((grid**2).sum(1))]
    radii = [born_radii(near[:n], np.full(n, 1.7), np.full(n, 0.72))[0] for n in (1, 2, 7, 27, 125)]
    assert all(a < b for a, b in itertools.pairwise(radii))
    assert radii[0] == 1.7 - OFFSET
    assert radii[-1] < 50


def test_water_likes_what_it_likes():
    """Order and rough size of hydration: polar above apolar, ions above all; what is apolar has no energy."""
    octane, ether, acid, sugar, ion = described(
        "CCCCCCCC", "CCOCC", "CC(=O)O", "OCC1OC(O)C(O)C(O)C1O", "CC(=O)[O-]"
    )
    energies = [d["polarization"] for d in (octane, ether, acid, sugar, ion)]
    assert energies == sorted(energies, reverse=True)
    assert energies[0] == pytest.approx(0, abs=0.5)
    assert -100 < energies[-1] < -60
    assert octane["dipole"] < 0.2
    assert octane["donor_surface"] == 0 < acid["donor_surface"]
    assert sugar["donor_surface"] > 2 * acid["donor_surface"]


def test_dipoles_and_surfaces_are_those_of_nature():
    water, methane = described("O", "C")
    assert water["dipole"] == pytest.approx(1.85, abs=0.6)  # Debye; charges of MMFF94 are those in water
    assert methane["dipole"] == pytest.approx(0, abs=0.05)
    for each in (water, methane):
        elements = sum(value for name, value in each.items() if name.startswith("surface_of_"))
        assert elements == pytest.approx(each["surface"])
    assert 100 < methane["surface"] < 170


def test_the_numbering_of_atoms_means_nothing_and_the_molecule_is_not_written_on():
    mol = Chem.MolFromSmiles("C[C@H](N)C(=O)Oc1ccccc1Cl")
    before = mol.ToBinary()
    order = np.random.default_rng(0).permutation(mol.GetNumAtoms()).tolist()
    found = solvation_descriptors([mol, Chem.RenumberAtoms(mol, order)])
    np.testing.assert_array_equal(found[0], found[1])
    assert mol.ToBinary() == before


def test_what_cannot_be_known_is_nan():
    metal, salt = described("[Fe]C", "[Na+].CC(=O)[O-]")
    assert np.isnan([metal[n] for n in ("polarization", "dipole", "charges", "polar_surface")]).all()
    assert metal["surface"] > 0
    assert np.isfinite(list(salt.values())).all()
    assert np.isnan(list(described("C" * 101, "C" * 9)[0].values())).all()  # would take a minute
    one = np.zeros((2, 3))
    assert np.isfinite(born_radii(one, np.array([1.5, 1.9]), np.array([0.8, 0.9]))).all()
    assert solvation_descriptors([]).shape == (0, len(NAMES))


def test_groups_stand_side_by_side():
    mols = [Chem.MolFromSmiles("CCO")]
    both = molecule_descriptors(mols, list(DESCRIPTORS))
    assert both.shape == (1, len(descriptor_names(list(DESCRIPTORS))))
    np.testing.assert_array_equal(both[:, -FRAGMENTS - len(NAMES) : -FRAGMENTS], solvation_descriptors(mols))
    assert descriptor_names(["solvation"]) == NAMES
    with pytest.raises(ValueError, match="no descriptors salvation; there are rdkit, solvation, fragments"):
        molecule_descriptors(mols, ["salvation"])
