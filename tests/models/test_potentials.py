"""Potentials: derivatives, symmetries, extensivity, and what each network can see."""

import numpy as np
import pytest
import torch
from ase import Atoms

from sciml.builders import atoms_graph
from sciml.models import EGNN, MACE, NequIP, PaiNN, Potential, SchNet
from sciml.nn import ContinuousFilter, PaiNNLayer

CUTOFF = 3.0
SMALL = {"channels": 12, "layers": 2, "cutoff": CUTOFF, "scale": 0.7}
REFERENCES = {"H": -13.6, "C": -1030.0, "O": -2040.0}
CELL = np.array([[3.1, 0.0, 0.0], [1.2, 2.8, 0.0], [-0.5, 0.9, 3.3]])
every = pytest.mark.parametrize("network", [SchNet, PaiNN, EGNN, NequIP, MACE], ids=lambda n: n.__name__)


def potential(network, **options):
    torch.manual_seed(0)
    radial = {} if network is EGNN else {"radial": 8}
    return network(**SMALL | radial | {"references": REFERENCES} | options).double().eval()


def molecule(seed=0, periodic=False):
    positions = np.random.default_rng(seed).normal(scale=1.1, size=(6, 3))
    return Atoms("COH4", positions=positions, cell=CELL if periodic else None, pbc=periodic)


def moved(atoms, function):
    other = atoms.copy()
    function(other)
    return other


def slope(function, h=1e-4):
    """The derivative at zero, to fourth order."""
    ends = [function(step * h) for step in (-2, -1, 1, 2)]
    return (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h)


@every
@pytest.mark.parametrize("periodic", [False, True])
def test_forces_are_the_slope_of_the_energy(network, periodic):
    model, atoms = potential(network, references=None), molecule(periodic=periodic)
    forces = model.predict(atoms).forces
    numeric = np.zeros_like(forces)
    for place in np.ndindex(*forces.shape):

        def energy(step, place=place):
            other = atoms.copy()
            other.positions[place] += step
            return model.predict(other).energy

        numeric[place] = -slope(energy)
    np.testing.assert_allclose(forces, numeric, rtol=1e-6, atol=1e-6 * np.abs(forces).max())
    assert np.abs(forces).max() > 1e-3
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-12 * len(atoms))


@every
def test_stress_is_the_slope_by_strain(network):
    model, atoms = potential(network, references=None), molecule(periodic=True)
    stress = model.predict(atoms).stress
    numeric = np.zeros((3, 3))
    for i, j in np.ndindex(3, 3):

        def energy(step, i=i, j=j):
            strain = np.eye(3)
            strain[i, j] += 0.5 * step
            strain[j, i] += 0.5 * step
            other = moved(atoms, lambda a: a.set_cell(CELL @ strain, scale_atoms=True))
            return model.predict(other).energy

        numeric[i, j] = slope(energy) / atoms.get_volume()
    np.testing.assert_allclose(stress, numeric, rtol=1e-6, atol=1e-6 * np.abs(stress).max())
    assert model.predict(molecule()).stress is None
    slab = moved(atoms, lambda a: a.set_pbc((True, True, False)))
    assert model.predict(slab).stress is None


@every
def test_energy_is_extensive(network):
    model, atoms = potential(network), molecule()
    far = moved(atoms, lambda a: a.translate([100.0, 0, 0]))
    alone, both = model.predict(atoms), model.predict(atoms + far)
    assert both.energy == pytest.approx(2 * alone.energy, abs=1e-9)
    np.testing.assert_allclose(both.forces, np.concatenate([alone.forces] * 2), atol=1e-12)
    near = moved(atoms, lambda a: a.translate([2.0, 0, 0]))
    assert model.predict(atoms + near).energy != pytest.approx(2 * alone.energy, abs=1e-4)


@every
def test_a_supercell_is_so_many_cells(network):
    model, atoms = potential(network), molecule(periodic=True)
    one, many = model.predict(atoms), model.predict(atoms * (2, 1, 3))
    assert many.energy == pytest.approx(6 * one.energy, rel=1e-12)
    np.testing.assert_allclose(many.stress, one.stress, atol=1e-12)
    np.testing.assert_allclose(many.forces[:6], one.forces, atol=1e-11)


@every
def test_rotations_reflections_and_other_images(network):
    model, atoms = potential(network), molecule(periodic=True)
    before = model.predict(atoms)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    for matrix in (turn, -turn):
        turned = Atoms(atoms.symbols, atoms.positions @ matrix.T, cell=CELL @ matrix.T, pbc=True)
        after = model.predict(turned)
        assert after.energy == pytest.approx(before.energy, rel=1e-13)
        np.testing.assert_allclose(after.forces, before.forces @ matrix.T, atol=1e-11)
        np.testing.assert_allclose(after.stress, matrix @ before.stress @ matrix.T, atol=1e-12)
    image = atoms.copy()
    image.positions[2] += np.array([1, -2, 3]) @ CELL
    other_cell = moved(atoms, lambda a: a.set_cell(np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]]) @ CELL))
    for same in (image, other_cell, moved(atoms, lambda a: a.translate([0.3, 7, -2]))):
        after = model.predict(same)
        assert after.energy == pytest.approx(before.energy, rel=1e-13)
        np.testing.assert_allclose(after.forces, before.forces, atol=1e-11)
    stretched = moved(atoms, lambda a: a.set_cell(1.1 * CELL, scale_atoms=True))
    assert model.predict(stretched).energy != pytest.approx(before.energy, abs=1e-4)


@every
def test_atoms_may_come_in_any_order(network):
    model, atoms = potential(network), molecule()
    order = [3, 0, 5, 1, 4, 2]
    before, after = model.predict(atoms), model.predict(atoms[order])
    assert after.energy == pytest.approx(before.energy, rel=1e-13)
    np.testing.assert_allclose(after.forces, before.forces[order], atol=1e-12)
    swapped = moved(atoms, lambda a: a.set_chemical_symbols("OCH4"))
    assert model.predict(swapped).energy != pytest.approx(before.energy, abs=1e-4)


@every
def test_lonely_atoms_and_huge_cells(network):
    model = potential(network)
    alone = {symbol: model.predict(Atoms(symbol)).energy for symbol in "CO"}
    far = model.predict(Atoms("CO", [[0, 0, 0], [0, 0, 1.01 * CUTOFF]]))
    assert far.energy == pytest.approx(sum(alone.values()), abs=1e-10)
    assert (far.forces == 0).all()
    atoms = molecule()
    boxed = moved(atoms, lambda a: (a.set_cell([1e4] * 3), a.set_pbc(True)))
    inside, outside = model.predict(boxed), model.predict(atoms)
    assert inside.energy == pytest.approx(outside.energy, rel=1e-12)
    np.testing.assert_allclose(inside.forces, outside.forces, atol=1e-10)
    assert np.abs(inside.stress).max() < 1e-9


@every
def test_energy_ends_at_the_cutoff_with_two_derivatives(network):
    """What is left of an interaction a distance h before the cutoff goes with h³, or h⁴ with Bessel functions
    that end there too."""
    model = potential(network)
    rest = lambda r: model.predict(Atoms("CO", [[0, 0, 0], [0, 0, r]])).energy
    apart = rest(2 * CUTOFF)
    assert rest(CUTOFF) == apart
    left = [rest(CUTOFF - h) - apart for h in (0.02, 0.01, 0.005)]
    power = 3 if network in (SchNet, PaiNN, EGNN) else 4
    assert left[0] / left[1] == pytest.approx(2**power, rel=0.15)
    assert left[1] / left[2] == pytest.approx(2**power, rel=0.15)


def test_vectors_see_angles_that_distances_do_not():
    """Two neighbours of a centre, too far apart to see each other: only PaiNN knows their angle."""
    angle = lambda a: Atoms("OH2", [[0, 0, 0], [2.5, 0, 0], [2.5 * np.cos(a), 2.5 * np.sin(a), 0]])
    one, other = angle(np.pi / 2), angle(2.0)
    distances = potential(SchNet)
    assert distances.predict(one).energy == pytest.approx(distances.predict(other).energy, abs=1e-10)
    vectors = potential(PaiNN)
    assert abs(vectors.predict(one).energy - vectors.predict(other).energy) > 1e-5


@every
def test_one_structure_or_many(network):
    model = potential(network)
    structures = [molecule(0), molecule(1, periodic=True), Atoms("H"), molecule(2)]
    together = model.predict(structures)
    for atoms, found in zip(structures, together):
        alone = model.predict(atoms)
        assert found.energy == pytest.approx(alone.energy, rel=1e-13)
        np.testing.assert_allclose(found.forces, alone.forces, atol=1e-11)
    assert (together[2].forces == 0).all()


def test_many_structures_come_in_parts_and_in_order(monkeypatch):
    model = potential(SchNet)
    structures = [molecule(seed) for seed in range(5)]
    whole = model.predict(structures)
    monkeypatch.setattr("sciml.models.potential.AT_A_TIME", 13)  # two molecules
    parts = model.predict(structures)
    assert [p.energy for p in parts] == pytest.approx([w.energy for w in whole], rel=1e-13)
    assert len({round(p.energy, 6) for p in parts}) == 5


@every
def test_references_are_added_in_double_precision(network):
    single, atoms = potential(network).float(), molecule()
    bare = potential(network, references=dict.fromkeys(REFERENCES, 0.0))
    total = 4 * REFERENCES["H"] + REFERENCES["C"] + REFERENCES["O"]
    assert single.predict(atoms).energy - total == pytest.approx(bare.predict(atoms).energy, abs=1e-6)


def test_what_is_wrong_with_one_of_many_structures_says_which():
    """However many go before it; they are computed some at a time."""
    model, good = potential(SchNet), molecule()
    many = [good] * (2100 // len(good) + 1)
    with pytest.raises(ValueError, match=f"Atom 1 of structure {len(many)}, HCl is Cl"):
        model.predict([*many, Atoms("HCl", [[0, 0, 0], [0, 0, 1.3]])])
    with pytest.raises(ValueError, match=rf"structure {len(many)} \(H2\): atoms 0 \(H\) and 1 .* one place"):
        model.predict([*many, Atoms("H2")])


@every
def test_unknown_elements_are_refused(network):
    with pytest.raises(ValueError, match=r"Atom 1 of HCl is Cl, an element .* it knows H, C, O"):
        potential(network).predict(Atoms("HCl", [[0, 0, 0], [0, 0, 1.3]]))
    assert np.isfinite(potential(network, references=None).predict(Atoms("XeF2", np.eye(3))).energy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cutoff": 0.0}, "must be positive"),
        ({"scale": -1.0}, "must be positive"),
        ({"references": {"Hx": 1.0}}, "'Hx'"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PaiNN(**options)


def test_a_potential_must_say_what_its_atoms_have():
    with pytest.raises(NotImplementedError, match=r"atomic\(graph\)"):
        Potential()(atoms_graph(molecule(), CUTOFF))


# ------------------------------------------------ layers against loops over the equations


def layer_graph(channels, radial):
    from cases.atoms import featured

    return featured(channels, radial)


def test_continuous_filter_is_the_sum_in_the_paper():
    graph, layer = layer_graph(3, 4), ContinuousFilter(3, 4).double()
    x, joined = graph.nodes["x"], torch.zeros(graph.num_nodes, 3, dtype=torch.float64)
    for e, (j, i) in enumerate(graph.edge_index.T.tolist()):
        filters = layer.filter(graph.edges["radial"][e]) * graph.edges["envelope"][e]
        joined[i] += (layer.before.weight @ x[j]) * filters
    torch.testing.assert_close(layer(graph).nodes["x"], x + layer.after(joined))


def test_painn_layer_is_equations_7_to_10():
    graph, layer, c = layer_graph(3, 4), PaiNNLayer(3, 4).double(), 3
    x, v = graph.nodes["x"].clone(), graph.nodes["v"].clone()
    before = x.clone(), v.clone()
    for e, (j, i) in enumerate(graph.edge_index.T.tolist()):
        w = layer.filter(graph.edges["radial"][e]) * graph.edges["envelope"][e]
        phi = layer.content(before[0][j]) * w
        x[i] += phi[:c]
        for k in range(c):
            v[i, k] += phi[c + k] * before[1][j, k] + phi[2 * c + k] * graph.edges["direction"][e]
    u, right = torch.einsum("ab,nbx->nax", layer.mix.weight, v).split(c, dim=1)
    norms = torch.sqrt(right.square().sum(-1) + 1e-8)
    a = layer.gate(torch.cat([x, norms], dim=-1))
    x = x + a[:, :c] + a[:, c : 2 * c] * (u * right).sum(-1)
    v = v + a[:, 2 * c :, None] * u
    after = layer(graph)
    torch.testing.assert_close(after.nodes["x"], x)
    torch.testing.assert_close(after.nodes["v"], v)


@pytest.mark.parametrize(
    ("model", "degrees"), [(NequIP, {"lmax": 6}), (MACE, {"degree": 6}), (MACE, {"lmax": -1})]
)
def test_degrees_that_nobody_can_pay_for(model, degrees):
    with pytest.raises(ValueError, match="expected 0 to 5"):
        model(channels=2, **degrees)
