"""RDKit's binary form against what RDKit says of each atom and bond: all columns, and what is not read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from sciml.builders.molecule import binary
from sciml.builders.molecule.binary import decode
from sciml.builders.molecule.featurize import asked, featurize

USUAL = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "N[C@@H](C)C(=O)O",
    "F/C=C\\Cl",
    "C/C=C/C=C\\[C@H](O)c1ccc2[nH]cnc2c1",
    "[Na+].[Cl-]",
    "[O-][N+](=O)c1ccncc1",
    "N->[Pt](Cl)(Cl)<-N",
    "[2H]O[2H]",
    "[13CH3][CH2]",
    "[H][H]",
    "FS(F)(F)(F)(F)F",
    "[Fe+2]",
    "[CH3]",
    "C1CC2CCC1C2",
    "c1ccc(cc1)-c1ccccc1",
    "[C-]#[O+]",
    "[U+4].[O-2].[O-2]",
    "C12C3C4C1C5C2C3C45",
    "F[P-](F)(F)(F)(F)F",
    "O=S(=O)(N)c1ccccc1",
    "[Cl-].C[N+](C)(C)CC=[N+]=[N-]",
    "C" * 255,
]
UNUSUAL = {
    "a map number": "[CH3:7]O",
    "a dummy": "*CC",
    "more atoms than a byte counts": "C" * 256,
}


@pytest.mark.parametrize("hydrogens", [False, True])
def test_the_binary_form_says_what_atoms_and_bonds_say(hydrogens):
    mols = [Chem.MolFromSmiles(s) for s in USUAL if not hydrogens or len(s) < 50]
    mols = [Chem.AddHs(mol) if hydrogens else mol for mol in mols]
    read, columns = decode(mols)
    assert read.all()
    for found, expected in zip(columns, asked(mols), strict=True):
        np.testing.assert_array_equal(found, expected)


@given(st.lists(st.sampled_from([*USUAL[:-1], *UNUSUAL.values()]), min_size=8, max_size=12))
def test_molecules_that_are_not_read_are_asked_in_their_places(texts):
    mols = [Chem.MolFromSmiles(s) for s in texts]
    together, alone = featurize(mols), [featurize([mol]) for mol in mols]  # one alone is always asked
    for place in ("atoms", "bonds"):
        for name, values in getattr(together, place).items():
            np.testing.assert_array_equal(values, np.concatenate([getattr(a, place)[name] for a in alone]))


@pytest.mark.parametrize("what", UNUSUAL)
def test_what_is_more_than_the_form_says_is_not_read(what):
    read, columns = decode([Chem.MolFromSmiles(s) for s in ("CCO", UNUSUAL[what], "CC")])
    assert read.tolist() == [True, False, True]
    assert [len(part) for part in columns] == [5, 3]


def test_queries_and_molecules_without_rings_or_valences_are_not_read():
    bare = Chem.MolFromSmiles("C1CC1C", sanitize=False)
    changed = Chem.RWMol(Chem.MolFromSmiles("CCC"))
    changed.AddAtom(Chem.Atom(8))
    residue = Chem.MolFromSequence("GA")
    read, _ = decode([Chem.MolFromSmarts("[C,N]C"), bare, changed, residue, Chem.MolFromSmiles("C")])
    assert read.tolist() == [False, False, False, False, True]


def test_conformers_and_properties_do_not_disturb():
    mol = Chem.AddHs(Chem.MolFromSmiles("O[C@H]1CC[C@@H]1C"))
    rdDistGeom.EmbedMolecule(mol, randomSeed=1)
    mol.SetProp("name", "a molecule")
    mol.GetAtomWithIdx(0).SetIntProp("number", 3)
    read, columns = decode([mol, mol])
    assert read.all()
    for found, expected in zip(columns, asked([mol, mol]), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_of_another_version_nothing_is_read(monkeypatch):
    header = binary.HEADER.copy()
    header[8] = 17
    monkeypatch.setattr(binary, "HEADER", header)
    mols = [Chem.MolFromSmiles(s) for s in USUAL[:10]]
    assert not decode(mols)[0].any()
    np.testing.assert_array_equal(featurize(mols).ends[:3], featurize(mols[:1]).ends[:3])
