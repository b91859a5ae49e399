"""Cutoff graphs of atoms: every image once, by brute force; and lists that are kept."""

import itertools

import numpy as np
import pytest
import torch
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from sciml.builders import SkinnedNeighbours, atoms_graph

SKEWED = np.array([[2.1, 0.0, 0.0], [1.9, 2.0, 0.0], [-1.0, 0.8, 2.4]])


def by_brute_force(atoms, cutoff):
    """All vectors shorter than the cutoff, by running over many images."""
    reach = [range(-7, 8) if p else range(1) for p in atoms.pbc]
    found = []
    for shift in itertools.product(*reach):
        apart = atoms.positions[None] - atoms.positions[:, None] + np.array(shift) @ atoms.cell.array
        for i, j in np.argwhere(np.linalg.norm(apart, axis=-1) < cutoff):
            if i != j or any(shift):
                found.append((i, j, *apart[i, j]))
    return ordered(found)


def ordered(rows):
    rows = np.round(np.array(rows, dtype=float).reshape(-1, 5), 6) + 0.0
    return rows[np.lexsort(rows.T[::-1])]


def edges(graph):
    return ordered(np.column_stack([*graph.edge_index.numpy(), graph.edge_vectors().numpy()]))


def random_atoms(seed, cell=None, pbc=False, n=4):
    positions = np.random.default_rng(seed).uniform(-3, 3, (n, 3))
    return Atoms("COH2"[:3] + f"{n - 2}", positions=positions, cell=cell, pbc=pbc)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.tuples(st.booleans(), st.booleans(), st.booleans()), st.floats(1.0, 4.0))
def test_every_image_is_an_edge_once(seed, pbc, cutoff):
    atoms = random_atoms(seed, SKEWED, pbc)  # the cell is skewed and smaller than the cutoff
    np.testing.assert_allclose(edges(atoms_graph(atoms, cutoff)), by_brute_force(atoms, cutoff), atol=2e-6)


def test_brute_force_finds_a_missing_image():
    atoms = random_atoms(0, SKEWED, True)
    nearest_only = by_brute_force(atoms, 3.0)[1:]
    assert len(edges(atoms_graph(atoms, 3.0))) != len(nearest_only)


def test_a_huge_cell_is_open_space():
    inside = random_atoms(1)
    boxed = Atoms(inside.symbols, positions=inside.positions, cell=[1e5] * 3, pbc=True)
    np.testing.assert_allclose(edges(atoms_graph(boxed, 4.0)), edges(atoms_graph(inside, 4.0)), atol=1e-6)


def test_a_cell_without_periodicity_counts_for_nothing():
    atoms = random_atoms(2, SKEWED, False)
    graph = atoms_graph(atoms, 4.0)
    assert "cell" not in graph.globals
    np.testing.assert_allclose(edges(graph), by_brute_force(atoms, 4.0), atol=2e-6)


def test_single_atoms_open_and_periodic():
    alone = atoms_graph(Atoms("H"))
    assert (alone.num_nodes, alone.num_edges) == (1, 0)
    crystal = atoms_graph(Atoms("Po", cell=[3.0] * 3, pbc=True), 3.1)
    assert crystal.num_edges == 6  # simple cubic: its own nearest images
    torch.testing.assert_close(crystal.edge_vectors().norm(dim=1), torch.full((6,), 3.0, dtype=torch.float64))


def test_open_and_periodic_structures_share_a_batch():
    parts = [
        random_atoms(3),
        random_atoms(4, SKEWED, (True, False, True)),
        Atoms("H"),
        Atoms("Ar2", [[0] * 3, [9.0] * 3]),
    ]
    together = atoms_graph(parts, 3.0)
    assert together.node_counts.tolist() == [4, 4, 1, 2]
    for number, part in enumerate(parts):
        np.testing.assert_allclose(edges(together[number]), edges(atoms_graph(part, 3.0)), atol=1e-6)


def test_wrapping_changes_no_vector_length():
    atoms = random_atoms(5, SKEWED, True)
    wrapped = atoms.copy()
    wrapped.wrap()
    assert not np.allclose(atoms.positions, wrapped.positions)
    lengths = [np.sort(np.linalg.norm(edges(atoms_graph(a, 3.0))[:, 2:], axis=1)) for a in (atoms, wrapped)]
    np.testing.assert_allclose(*lengths, atol=1e-5)


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms("CO", [[0, 0, 0]] * 2), r"atoms 0 \(C\) and 1 \(O\) stand at one place"),
        (Atoms("CO", [[0, 0, 0], [3, 0, 0]], cell=[3, 9, 9], pbc=True), "periodic image"),
        (Atoms("CO", [[0, 0, 0], [np.nan, 0, 0]]), r"atom 1 \(O\) stands at"),
        (Atoms("H", pbc=True), "no lattice vector"),
        (Atoms("H", cell=[[1, 0, 0], [0, 1, 0], [1, 1, 0]], pbc=True), "in one plane"),
        (Atoms("H", cell=[[1, 2, 0], [0, 1, 0], [2, 4, 1e-8]], pbc=[1, 0, 1]), "along one line"),
        (Atoms("H", cell=[[np.inf, 0, 0], [0, 1, 0], [0, 0, 1]], pbc=True), "must be finite"),
    ],
)
def test_bad_structures_are_named(atoms, message):
    with pytest.raises(ValueError, match=message):
        atoms_graph(atoms)
    with pytest.raises(ValueError, match="structure 1"):
        atoms_graph([Atoms("H"), atoms])


def test_what_are_no_structures():
    with pytest.raises(TypeError, match="Structure 1 is of type str"):
        atoms_graph([Atoms("H"), "CCO"])
    with pytest.raises(ValueError, match="at least one"):
        atoms_graph([])
    with pytest.raises(ValueError, match="cutoff is -1"):
        atoms_graph(Atoms("H2", [[0, 0, 0], [0, 0, 1]]), -1.0)
    assert atoms_graph(Atoms()).num_nodes == 0


# ------------------------------------------------------------------ lists with a skin


@pytest.mark.parametrize("pbc", [False, True])
def test_a_kept_list_is_a_new_list(pbc):
    atoms = random_atoms(6, 2.5 * SKEWED, pbc)
    kept, random = SkinnedNeighbours(3.0, skin=0.6), np.random.default_rng(0)
    for _ in range(60):
        atoms.positions += random.normal(scale=0.03, size=(4, 3))
        np.testing.assert_allclose(edges(kept(atoms)), edges(atoms_graph(atoms, 3.0)), atol=1e-6)
    assert 1 < kept.built < 30


def test_a_list_is_made_anew_where_the_old_one_would_be_wrong():
    pair = Atoms("H2", [[0, 0, 0], [0, 0, 3.4]], cell=[20] * 3, pbc=True)
    kept = SkinnedNeighbours(3.0, skin=0.2)
    assert kept(pair).num_edges == 0
    pair.positions[1, 2] = 2.9  # has moved more than half the skin, into the cutoff
    assert kept(pair).num_edges == 2
    pair.set_cell([20, 20, 4.0])
    assert kept(pair).num_edges == len(by_brute_force(pair, 3.0)) > 2
    assert kept.built == 3
    pair.positions[1] = pair.positions[0]
    with pytest.raises(ValueError, match="stand at one place"):
        kept(pair)
