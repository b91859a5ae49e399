"""Geometry, surface, hydrogen bonds, traces and edges on cases whose answers are known."""

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from test_residues import STRUCTURES, entry

from sciml.builders.residue import SECONDARY, read_residues, residue_graph
from sciml.builders.residue.contacts import closest_atoms, find_edges
from sciml.builders.residue.geometry import beta, dihedral
from sciml.builders.residue.secondary import assign
from sciml.builders.residue.surface import PROBE, atom_surface, radii
from sciml.builders.residue.surface_kernel import cap, compiled, direction
from sciml.builders.residue.surface_masks import centres, sphere
from sciml.builders.residue.trace import assign_trace


def rotated(angle):
    """The fourth of four points with this torsion."""
    return np.array([[math.cos(angle), math.sin(angle), 1.0]])


@given(st.floats(-3.1, 3.1))
def test_a_torsion_is_the_angle_that_it_was_made_with(angle):
    a, b, c = np.array([[1.0, 0, 0]]), np.zeros((1, 3)), np.array([[0, 0, 1.0]])
    assert dihedral(a, b, c, rotated(angle))[0] == pytest.approx(angle, abs=1e-9)
    mirror = np.array([1.0, -1.0, 1.0])
    assert dihedral(a * mirror, b, c, rotated(angle) * mirror)[0] == pytest.approx(-angle, abs=1e-9)


def test_built_cb_are_where_the_real_ones_are():
    residues = read_residues(entry("1ejg"))[0]  # at 0.54 Å
    real, there = residues.position("CB")
    assert np.allclose(beta(residues)[0][there], real[there])
    bare = read_residues(entry("1ejg"))[0]
    bare.slot[:, 4] = -1  # the slot of CB
    assert np.linalg.norm(beta(bare)[0] - real, axis=1)[there].mean() < 0.12


# ------------------------------------------------------------------ surface


def plain_shrake_rupley(pos, radius, points):
    """The definition, atom by atom."""
    reach, unit, area = radius + PROBE, sphere(points), np.zeros(len(pos))
    for i, near in enumerate(cKDTree(pos).query_ball_point(pos, reach + reach.max())):
        at = pos[i] + reach[i] * unit
        others = [k for k in near if k != i]
        apart = np.linalg.norm(at[:, None] - pos[others], axis=2)
        area[i] = 4 * np.pi * reach[i] ** 2 * (apart > reach[others]).all(axis=1).mean()
    return area


def test_the_surface_is_that_of_points_on_spheres():
    residues = read_residues(entry("1ejg"))[0]
    pos, radius = residues.atom_pos, radii(residues)
    fast, exact = atom_surface(pos, radius), plain_shrake_rupley(pos, radius, 1000)
    assert abs(fast.sum() / exact.sum() - 1) < 0.01
    assert np.sqrt(((fast - exact) ** 2).mean()) < 0.8
    assert np.corrcoef(fast, exact)[0, 1] > 0.998


@pytest.mark.parametrize("apart", [0.0, 1.0, 3.0, 5.0, 6.39, 6.41])
def test_the_surface_of_two_spheres_is_that_of_geometry(apart):
    pos, radius = np.array([[0.0, 0, 0], [0, 0, apart]]), np.array([1.8, 1.8])
    reach = 1.8 + PROBE
    hidden = max(0.0, 2 * np.pi * reach * (reach - apart / 2))  # a spherical cap
    area = atom_surface(pos, radius)
    if apart == 0:  # of two in one place, either may hide the other
        return
    assert np.allclose(area, 4 * np.pi * reach**2 - hidden, rtol=0.02)


def test_the_surface_of_one_sphere_and_of_one_within_another():
    assert atom_surface(np.zeros((1, 3)), np.array([2.0]))[0] == pytest.approx(4 * np.pi * 3.4**2)
    inside = atom_surface(np.array([[0.0, 0, 0], [0.2, 0, 0]]), np.array([4.0, 1.0]))
    assert inside[0] == pytest.approx(4 * np.pi * 5.4**2, rel=1e-6)
    assert inside[1] == 0
    assert len(atom_surface(np.zeros((0, 3)), np.zeros(0))) == 0


def test_a_direction_lies_in_the_cell_whose_middle_is_near():
    vectors = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    middles = centres()
    cosine = [v / np.linalg.norm(v) @ middles[direction(*v)] for v in vectors]
    assert min(cosine) > np.cos(np.radians(5.1))
    assert len({direction(*middle) for middle in middles.astype(np.float32)}) == len(middles)


def test_a_cap_is_larger_the_smaller_its_cosine():
    numbers = [cap(np.float32(x)) for x in np.linspace(-1, 1.2, 50)]
    assert numbers == sorted(numbers)
    assert (numbers[0], numbers[-1]) == (0, 63)


def test_atoms_far_apart_cost_no_memory_and_hide_nothing():
    far = np.array([[0.0, 0, 0], [1e6, -1e6, 1e6], [3.0, 0, 0]])
    area = atom_surface(far, np.full(3, 1.8))
    assert area[1] == pytest.approx(4 * np.pi * 3.2**2)
    assert area[0] == pytest.approx(area[2], rel=0.02)
    assert area[0] < area[1]


def test_the_order_of_atoms_is_that_of_the_surface():
    residues = read_residues(entry("1ejg"))[0]
    pos, radius = residues.atom_pos, radii(residues)
    order = np.random.default_rng(1).permutation(len(pos))
    assert np.array_equal(atom_surface(pos[order], radius[order]), atom_surface(pos, radius)[order])


def test_without_numba_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sciml.builders.residue.surface_kernel", None)
    with pytest.raises(ImportError, match=r"sciml\[proteins\]"):
        atom_surface(np.zeros((1, 3)), np.ones(1))


def test_without_a_place_for_machine_code_it_is_compiled_all_the_same(monkeypatch, tmp_path):
    import numba.core.caching as caching

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert compiled(lambda x: x + 1)(1) == 2


# ------------------------------------------------------------------ secondary structure


def ideal(phi, psi, count):
    """Backbone N, CA, C, O of a chain with these torsions and trans bonds (Engh & Huber's geometry)."""

    def place(a, b, c, length, angle, torsion):
        bc = (c - b) / np.linalg.norm(c - b)
        normal = np.cross(b - a, bc)
        normal /= np.linalg.norm(normal)
        axes = np.stack([bc, np.cross(normal, bc), normal], axis=1)
        at = [-math.cos(angle), math.sin(angle) * math.cos(torsion), math.sin(angle) * math.sin(torsion)]
        return c + length * axes @ at

    rad = math.radians
    atoms = [np.array([0.0, 0, 0]), np.array([1.458, 0, 0]), np.array([2.01, 1.42, 0])]
    for _ in range(count):
        n, ca, c = atoms[-3:]
        atoms.append(place(n, ca, c, 1.329, rad(116.2), rad(psi)))
        atoms.append(place(ca, c, atoms[-1], 1.458, rad(121.7), math.pi))
        atoms.append(place(c, atoms[-2], atoms[-1], 1.525, rad(111.0), rad(phi)))
    backbone = np.array(atoms).reshape(-1, 3, 3)
    n, ca, c = backbone[:-1].transpose(1, 0, 2)
    after = backbone[1:, 0]
    middle = (ca - c) / np.linalg.norm(ca - c, axis=1)[:, None] + (after - c) / 1.329
    o = c - 1.231 * middle / np.linalg.norm(middle, axis=1)[:, None]
    return np.stack([n, ca, c, o], axis=1)


@pytest.mark.parametrize(
    ("phi", "psi", "letter", "edge"),
    [(-57, -47, "H", 1), (-49, -26, "G", 1), (-57, -70, "I", 1), (-120, 130, "-", 0)],
)
def test_ideal_helices_are_told_apart(phi, psi, letter, edge):
    atoms = ideal(phi, psi, 20)
    states = assign(atoms, np.zeros(len(atoms), dtype=int), np.zeros(len(atoms), dtype=bool))
    inner = {SECONDARY[s] for s in states[3:-5]}
    assert inner == {letter}, "".join(SECONDARY[s] for s in states)
    mirrored = assign(atoms * [1, 1, -1], np.zeros(len(atoms), int), np.zeros(len(atoms), bool))
    if letter == "H":  # bonds are distances: DSSP takes a left-handed helix for a helix, too
        assert np.array_equal(states, mirrored)


def test_breaks_and_prolines_forbid_bonds():
    atoms = ideal(-57, -47, 20)
    chain, never = np.zeros(len(atoms), dtype=int), np.zeros(len(atoms), dtype=bool)
    whole = assign(atoms, chain, never)
    cut = assign(atoms, np.repeat([0, 1], [10, len(atoms) - 10]), never)
    assert (whole == SECONDARY.index("H")).sum() > (cut == SECONDARY.index("H")).sum() > 0
    proline = assign(atoms, chain, ~never)
    assert not np.isin(proline, [SECONDARY.index(s) for s in "HGI"]).any()


@pytest.mark.parametrize(("phi", "psi", "letter"), [(-57, -47, "H"), (-120, 130, "E")])
def test_traces_of_helix_and_strand(phi, psi, letter):
    ca = ideal(phi, psi, 20)[:, 1]
    states = assign_trace(ca, np.zeros(len(ca), dtype=int))
    assert {SECONDARY[s] for s in states[2:-3]} == {letter}
    broken = assign_trace(ca, np.arange(len(ca)))
    assert {SECONDARY[s] for s in broken} == {"-"}
    if letter == "H":  # torsions have a sign, distances have not
        assert {SECONDARY[s] for s in assign_trace(ca[:3], np.zeros(3, dtype=int))} == {"-"}


@pytest.mark.parametrize("count", range(1, 8))
def test_short_chains(count):
    atoms = ideal(-57, -47, count)
    states = assign(atoms, np.zeros(count, dtype=int), np.zeros(count, dtype=bool))
    assert len(states) == len(assign_trace(atoms[:, 1], np.zeros(count, dtype=int))) == count


# ------------------------------------------------------------------ edges


@pytest.mark.parametrize("contact", ["ca", "cb", "heavy", "centroid"])
def test_edges_against_all_distances(contact):
    residues = read_residues(entry("1lcd"))[0]
    edges = find_edges(residues, contact, 6.0, None, 0)
    count = len(residues)
    sender, receiver = np.nonzero(~np.eye(count, dtype=bool))
    if contact == "heavy":
        distance = closest_atoms(residues, sender, receiver)
    else:
        from sciml.builders.residue.contacts import contact_points

        points = contact_points(residues, contact)
        distance = np.linalg.norm(points[sender] - points[receiver], axis=1)
    near = distance <= 6.0
    assert set(zip(edges.sender, edges.receiver)) == set(zip(sender[near], receiver[near]))
    assert len(edges.sender) == near.sum()
    assert (np.diff(edges.receiver) >= 0).all()


def test_edges_grow_with_contacts_and_not_with_pairs():
    """A structure twice as large, far apart, has twice the edges."""
    one = residue_graph(entry("1ubi"), sequence=0)
    two = residue_graph([entry("1ubi"), entry("1ubi")], sequence=0)
    assert two.num_edges == 2 * one.num_edges < 76 * 20


def test_no_edges_at_all():
    graph = residue_graph(entry("1ubi"), cutoff=None, sequence=0)
    assert graph.num_edges == 0
    assert graph.edges["turn"].shape == (0, 9)


def test_chains_of_the_shipped_set_have_features():
    graph = residue_graph(sorted((STRUCTURES / "chains").glob("1*.gz")))
    exposure = graph.nodes["exposure"]
    assert 0.2 < exposure.mean() < 0.45
    hydrophobic = [9, 10, 12, 13, 19]  # ILE LEU MET PHE VAL
    buried = [exposure[graph.nodes["type"] == t].mean() for t in hydrophobic]
    charged = [exposure[graph.nodes["type"] == t].mean() for t in (1, 3, 6, 11)]  # ARG ASP GLU LYS
    assert max(buried) < min(charged)
