"""Molecules to bond graphs: the labels are RDKit's, numbering means nothing, and bad rows are listed."""

import logging

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdDistGeom
from torch.utils._pytree import tree_leaves

from sciml.builders.molecule import (
    ATOM,
    BOND,
    Failure,
    MoleculeError,
    molecule_graph,
    one_hot,
    parse_molecules,
    read_sdf,
)
from sciml.builders.molecule import graph as module
from sciml.graph import batch, unbatch

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
MANY = [
    ASPIRIN,
    "N[C@@H](C)C(=O)O",
    "F/C=C\\Cl",
    "C#N",
    "[Na+].[Cl-]",
    "[O-][N+](=O)c1ccncc1",
    "N->[Pt](Cl)(Cl)<-N",
    "[2H]O[2H]",
    "C",
    "[H][H]",
    "FS(F)(F)(F)(F)F",
    "[Fe+2]",
    "C[Si](C)(C)C",
    "*CC",
]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(tree_leaves(a), tree_leaves(b), strict=True))


def value(graph, place, name, index):
    labels = (ATOM if place == "nodes" else BOND)[name]
    return labels[int(getattr(graph, place)[name][index])]


@pytest.mark.parametrize("hydrogens", [False, True])
def test_labels_are_what_rdkit_says_of_each_atom_and_bond(hydrogens):
    mols = [Chem.AddHs(m) if hydrogens else m for m in map(Chem.MolFromSmiles, MANY)]
    for graph, mol in zip(molecule_graph(MANY, hydrogens=hydrogens), mols, strict=True):
        for i, atom in enumerate(mol.GetAtoms()):
            found = {name: int(graph.nodes[name][i]) for name in ATOM}
            assert found == {
                "element": atom.GetAtomicNum(),
                "degree": atom.GetTotalDegree(),
                "charge": atom.GetFormalCharge() + 4,
                "hydrogens": min(atom.GetTotalNumHs(includeNeighbors=True), 4),
                "hybridization": int(atom.GetHybridization()),
                "aromatic": atom.GetIsAromatic(),
                "ring": atom.IsInRing(),
                "chirality": found["chirality"],
            }
        assert graph.num_edges == 2 * mol.GetNumBonds()
        for e, (i, j) in enumerate(graph.edge_index.T.tolist()):
            bond = mol.GetBondBetweenAtoms(i, j)
            kind = str(bond.GetBondType()).lower()
            assert value(graph, "edges", "bond", e) == kind
            assert graph.edges["conjugated"][e] == bond.GetIsConjugated()
            assert graph.edges["ring"][e] == bond.IsInRing()


def test_mirror_images_and_double_bonds_are_told_apart():
    left, right = molecule_graph(["N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O"])
    assert value(left, "nodes", "chirality", 1) == "S"  # natural alanine
    assert value(right, "nodes", "chirality", 1) == "R"
    stereo = [value(g, "edges", "stereo", 2) for g in molecule_graph(["F/C=C/F", "F/C=C\\F", "FC=CF"])]
    assert stereo == ["E", "Z", "none"]


def test_a_users_molecule_is_not_written_on():
    mol = Chem.MolFromSmiles("N[C@@H](C)C(=O)O")
    atom = mol.GetAtomWithIdx(1)
    atom.ClearProp("_CIPCode")
    assert value(molecule_graph(mol), "nodes", "chirality", 1) == "S"
    assert not atom.HasProp("_CIPCode")


@given(st.sampled_from([s for s in MANY if "." not in s]), st.randoms())
def test_the_numbering_of_atoms_means_nothing(smiles, random):
    mol = Chem.MolFromSmiles(smiles)
    order = list(range(mol.GetNumAtoms()))
    random.shuffle(order)  # the new atom i is the old one order[i]
    one, other = molecule_graph(mol), molecule_graph(Chem.RenumberAtoms(mol, order))
    for name in ATOM:
        assert one.nodes[name][order].equal(other.nodes[name]), name

    def bonds(graph, number):
        ends = [[number[a] for a in pair] for pair in graph.edge_index.T.tolist()]
        labels = zip(*(graph.edges[name].tolist() for name in BOND))
        return sorted((*pair, *label) for pair, label in zip(ends, labels))

    assert bonds(one, range(len(order))) == bonds(other, order)


def test_a_batch_is_its_molecules_and_edges_are_sorted_by_receiver():
    graphs = molecule_graph(MANY)
    singles = [molecule_graph(s).with_globals(row=torch.tensor([i])) for i, s in enumerate(MANY)]
    assert same(graphs, batch(singles))
    assert all(same(a, b) for a, b in zip(unbatch(graphs), singles))
    assert (graphs.receiver.diff() >= 0).all()
    for graph in graphs:
        pairs = set(map(tuple, graph.edge_index.T.tolist()))
        assert pairs == {(j, i) for i, j in pairs}


def test_salts_ions_and_single_atoms_are_graphs():
    salt, ion, methane = molecule_graph(["[Na+].[Cl-]", "[Fe+2]", "C"])
    assert (salt.num_nodes, salt.num_edges) == (2, 0)
    assert [value(salt, "nodes", "charge", i) for i in (0, 1)] == ["+1", "-1"]
    assert value(ion, "nodes", "charge", 0) == "+2"
    assert value(methane, "nodes", "hydrogens", 0) == "4 or more"
    assert molecule_graph(["C"], hydrogens=True).num_nodes == 5


def test_one_hot_has_one_of_each_label():
    graph = one_hot(molecule_graph(MANY))
    assert graph.nodes["x"].shape[1] == sum(map(len, ATOM.values())) == 160
    assert (graph.nodes["x"].sum(1) == len(ATOM)).all()
    assert (graph.edges["e"].sum(1) == len(BOND)).all()
    assert graph.nodes["x"].argmax(1).equal(graph.nodes["element"])


# -------------------------------------------------------------------- bad rows

BAD = {
    "C(": "syntax error near character 2",
    "c1ccccc": "unclosed ring",
    "C(C)(C)(C)(C)C": "Explicit valence for atom # 0 C, 5, is greater than permitted",
    "c1cccc1": "Can't kekulize mol",
    "": "the text is empty",
    None: "the value is missing",
    float("nan"): "the value is missing",
    7: "expected SMILES or an RDKit Mol, not int",
}


def test_rows_that_cannot_be_read_are_listed_with_their_reason(caplog, capfd):
    failures = []
    with caplog.at_level(logging.WARNING):
        graph = molecule_graph(["CC", *BAD, "CC"], failures=failures)
    assert graph.globals["row"].tolist() == [0, len(BAD) + 1]  # the same molecule twice is two graphs
    assert [f.row for f in failures] == list(range(1, len(BAD) + 1))
    for failure, (text, reason) in zip(failures, BAD.items(), strict=True):
        assert failure.text == str(text)
        assert reason in failure.reason
    assert f"{len(BAD)} of {len(BAD) + 2} molecules left out: row 1: 'C(': SMILES" in caplog.text
    assert "and 3 more" in caplog.text
    assert not capfd.readouterr().err.count("SMILES Parse Error")  # RDKit itself is silent


def test_strict_fails_at_the_first_bad_row():
    with pytest.raises(MoleculeError, match=r"row 1: 'C\(': .*syntax error.*strict=False"):
        molecule_graph(["C", "C(", "D("], strict=True)
    with pytest.raises(MoleculeError, match="row 0: 'C1'"):
        molecule_graph("C1")
    with pytest.raises(MoleculeError, match=r"'some\.sdf': a path and no SMILES; read_sdf"):
        molecule_graph("some.sdf")
    with pytest.raises(MoleculeError, match=r"2 of 2 molecules left out: row 0"):
        molecule_graph(["C1", None])
    with pytest.raises(MoleculeError, match="No molecules were given"):
        molecule_graph([])
    with pytest.raises(MoleculeError, match="a molecule without atoms"):
        molecule_graph(Chem.Mol())


def test_workers_give_the_same_graph(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 5)
    here, there = [], []
    items = [*MANY, "C("]
    alone = molecule_graph(items, workers=1, failures=here)
    assert same(alone, molecule_graph(items, workers=2, failures=there))
    assert here == there
    assert same(alone, molecule_graph(parse_molecules(items), workers=2))
    with pytest.raises(MoleculeError, match="row 14"):
        molecule_graph(items, workers=2, strict=True)


# ------------------------------------------------------------------ conformers


def test_conformers_have_the_lengths_of_bonds():
    graph = molecule_graph(["CC", "C=C", "C#C"], conformers=2, hydrogens=True, optimize=True, seed=1)
    assert graph.globals["row"].tolist() == [0, 0, 1, 1, 2, 2]
    carbon = (graph.nodes["element"][graph.edge_index] == 6).all(0)
    length = graph.edge_vectors()[carbon].norm(dim=1).reshape(3, -1).mean(1)
    assert length.tolist() == pytest.approx([1.51, 1.34, 1.20], abs=0.02)  # Å
    assert graph.spec("nodes", "pos").unit == "angstrom"


def test_conformers_follow_from_the_seed_and_hydrogens_are_cut_again():
    bare, full = (molecule_graph([ASPIRIN], conformers=2, hydrogens=h) for h in (False, True))
    assert (bare.num_nodes, full.num_nodes) == (26, 42)
    assert full[0].nodes["pos"][:13].equal(bare[0].nodes["pos"])
    assert same(bare, molecule_graph([ASPIRIN], conformers=2))
    assert not bare.nodes["pos"].equal(molecule_graph([ASPIRIN], conformers=2, seed=1).nodes["pos"])


def test_conformers_that_cannot_be_had_are_listed():
    failures = []
    graph = molecule_graph(["C", "C#CC1C#CC1"], conformers=1, failures=failures)  # too strained a ring
    assert len(graph) == 1
    assert failures == [Failure(1, "C#CC1C#CC1", "ETKDG finds no conformer")]
    mol = Chem.MolFromSmiles("C")
    rdDistGeom.EmbedMolecule(mol)
    with pytest.raises(ValueError, match=r"row 1: 'CC' has no conformer"):
        molecule_graph([mol, Chem.MolFromSmiles("CC")], conformers="given")
    with pytest.raises(ValueError, match="conformers=-1"):
        molecule_graph(["C"], conformers=-1)
    with pytest.raises(ValueError, match="conformers='all'"):
        molecule_graph(["C"], conformers="all")


# ------------------------------------------------------------------------ files


def test_a_file_of_structures_keeps_coordinates_and_lists_bad_records(tmp_path):
    mols = [Chem.AddHs(Chem.MolFromSmiles(s)) for s in ("CCO", "C")]
    path = tmp_path / "some.sdf"
    with Chem.SDWriter(str(path)) as writer:
        for mol in mols:
            rdDistGeom.EmbedMolecule(mol, randomSeed=1)
            writer.write(mol)
    path.write_text(path.read_text() + "broken\n\n\n  9 nonsense\n$$$$\n")
    found = read_sdf(path)
    assert found.rows == (0, 1)
    assert (found.failures[0].row, found.failures[0].text) == (2, "broken")
    assert found.failures[0].reason
    graph = molecule_graph(found, conformers="given")
    expected = np.concatenate([m.GetConformer().GetPositions() for m in mols])
    np.testing.assert_allclose(graph.nodes["pos"], expected, atol=1e-4)  # four decimals in the file
    with pytest.raises(MoleculeError, match="broken"):
        read_sdf(path, strict=True)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_sdf(tmp_path / "other.sdf")
    (tmp_path / "empty.sdf").write_text("")
    with pytest.raises(MoleculeError, match="the file is empty"):
        read_sdf(tmp_path / "empty.sdf")


TEXTS = """
    [H]C [2H]OC [H][H] [H+] [HH] [H-] [NH4+] [H]O[H] C[C@H](F)Cl C[C@@]([H])(F)Cl
    [H]C([H])([H])[C@]([H])(F)Cl F/C=C/F F/C=C\\F [H]/C(F)=C/F C/C=C\\C CC=C(C)/C=C/C C\\C=C\\1/CCCC1
    C/C=C=C/C C1=CC=CC=C1 c1ccccc1 c1cccc1 [nH]1cccc1 O=c1[nH]cccc1 N(=O)=O CN(=O)=O C[N+]#[C-] [Na+].[Cl-]
    C->[Fe] [CH3] [O] *C [13CH4] C(C)(C)(C)(C)C [Pt](Cl)(Cl)(N)N Cl[Pt@SP1](F)(N)Br C1CC1[C@H]1CC1
    [C@H](C)(C)C C[C@@H]1CC[C@H](C)CC1 [C@@H]1(F)CC[C@@H](Cl)CC1 B1=NB=NB=N1 C1=CC=C[CH]C=C1
    C[S@](=O)c1ccccc1 C[P@](=O)(O)c1ccccc1 C[Si@](F)(Cl)Br [U+2](=O)=O P(F)(F)(F)(F)F C1C[C@H]2CC[C@@H]1C2
    FC(F)(F)[C@H]1C[C@@H]1C C1=CC2=CC=CC2=C1 CC(C)(C)c1cc2c(cc1)ccc2 O=[C@H]F [H]B1[H]B([H])[H]1
    C[C@]12CCC3c4ccc(O)cc4CCC3C1CC[C@@H]2O CN1C=NC2=C1C(=O)N(C)C(=O)N2C C(
"""
MORE = ["OC1=CC=CC=C1 phenol", "FC=CF |c:1|", "Cc1cccc(I)c1-c1c(C)cccc1F |wU:5.5|"]


@pytest.mark.parametrize("text", [*TEXTS.split(), *MORE])
def test_molecules_are_those_of_rdkits_parser(text):
    def told(mol):
        each = [(x.GetIdx(), x.GetPropsAsDict(False, False)) for x in [*mol.GetAtoms(), *mol.GetBonds()]]
        return mol.ToBinary(), Chem.MolToCXSmiles(mol), each

    plain = Chem.MolFromSmiles(text)
    texts = [text]
    if plain is not None:
        texts += [Chem.MolToSmiles(plain, kekuleSmiles=True), Chem.MolToSmiles(Chem.AddHs(plain))]
        texts += Chem.MolToRandomSmilesVect(plain, 3, randomSeed=1)
    for written in texts:
        expected, mols = Chem.MolFromSmiles(written), parse_molecules([written]).mols
        assert (expected is None) == (not mols)
        if mols:
            assert told(mols[0]) == told(expected)


def test_parsing_alone_keeps_row_numbers():
    found = parse_molecules(["C", "C(", "CC"])
    assert (found.rows, len(found), [f.row for f in found.failures]) == ((0, 2), 2, [1])
