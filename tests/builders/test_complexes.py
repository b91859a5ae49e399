from dataclasses import replace

import gemmi
import numpy as np
import pytest
import torch
from rdkit import Chem
from rdkit.Chem import AllChem, rdMolTransforms

import sciml.builders
from sciml.builders.complexes import (
    BONDS,
    EDGE_KINDS,
    NODE_KINDS,
    complex_graph,
    find_ligand,
    ligand_labels,
)
from sciml.builders.molecule import ATOM, MoleculeError, molecule_graph
from sciml.builders.residue import TYPES, read_residues, residue_labels
from sciml.graph import batch, unbatch
from sciml.models import ComplexNetwork
from sciml.models.complex_network import RELATIONS, relations
from sciml.symmetry import check

ENTRIES = "data/structures/entries/"
RECEPTOR, TRYPSIN, METHYLASE = (f"{ENTRIES}{name}" for name in ("1a28.pdb.gz", "1gbt.cif.gz", "3mht.pdb.gz"))
PROGESTERONE = "CC(=O)[C@H]1CC[C@@H]2[C@@]1(CC[C@H]3[C@H]2CCC4=CC(=O)CC[C@]34C)C"
RESIDUE, POCKET_ATOM, LIGAND_ATOM = range(len(NODE_KINDS))
COVALENT, SEQUENCE, CONTACT, CROSS = range(len(EDGE_KINDS))


@pytest.fixture(scope="module")
def receptor():
    return read_residues(RECEPTOR, ligands="keep", ions="keep")[0]


@pytest.fixture(scope="module", params=["residues", "atoms"])
def graph(request, receptor):
    return complex_graph(receptor, "A/STR 1", template=PROGESTERONE, level=request.param, dtype=torch.float64)


def distances(receptor):
    """Distances of all heavy atoms of the structure to those of progesterone in chain A, and their owners."""
    row = ligand_labels(receptor).index("A/STR 1")
    row = np.flatnonzero(receptor.type == TYPES.index("ligand"))[row]
    own = receptor.atom_residue == row
    others = receptor.atom_pos[~own]
    return np.linalg.norm(others[:, None] - receptor.atom_pos[own], axis=2), receptor.atom_residue[~own]


def edges(graph, kind):
    """Pairs of nodes of the edges of a kind."""
    return {tuple(pair) for pair in graph.edge_index[:, graph.edges["kind"][:, kind]].T.tolist()}


# ----------------------------------------------------------------- what is in it


def test_pocket_is_what_is_near(graph, receptor):
    apart, owner = distances(receptor)
    rows = np.unique(owner[(apart <= 8).any(1)])
    kind = graph.nodes["kind"]
    if (kind == RESIDUE).any():
        assert (kind == RESIDUE).sum() == len(rows)
        assert graph.nodes["number"][kind == RESIDUE].tolist() == receptor.number[rows].tolist()
        assert graph.nodes["frame_mask"][kind == RESIDUE].all()
    else:
        atoms = np.isin(receptor.atom_residue, rows)
        assert (kind == POCKET_ATOM).sum() == atoms.sum()
        np.testing.assert_allclose(graph.nodes["pos"][kind == POCKET_ATOM], receptor.atom_pos[atoms])
    assert (kind == LIGAND_ATOM).sum() == 23
    assert residue_labels(graph)[-1] == "A/STR 1"


def test_cross_edges_are_those_within_the_distance(graph, receptor):
    apart, owner = distances(receptor)
    first = int((graph.nodes["kind"] != LIGAND_ATOM).sum())
    across = {(s, r - first) for s, r in edges(graph, CROSS) if r >= first}
    assert {(r, s) for s, r in edges(graph, CROSS)} == edges(graph, CROSS)
    rows = np.unique(owner[(apart <= 8).any(1)])
    if (graph.nodes["kind"] == RESIDUE).any():
        least = np.stack([apart[owner == row].min(0) for row in rows])
    else:
        least = apart[np.isin(owner, rows)]
    assert across == {tuple(pair) for pair in np.argwhere(least <= 5).tolist()}
    for (s, r), d, k in zip(graph.edge_index.T.tolist(), graph.edges["distance"], graph.edges["kind"]):
        if k[CROSS] and r >= first:
            assert abs(float(d) - least[s, r - first]) < 1e-9


def test_ligand_is_its_molecule(graph):
    """Labels of atoms and bonds are those of RDKit's molecule; chirality is read from the coordinates."""
    expected = molecule_graph(PROGESTERONE)
    kind = graph.nodes["kind"]
    for name in ATOM:
        ours = graph.nodes[name][kind == LIGAND_ATOM]
        assert sorted(ours.tolist()) == sorted(expected.nodes[name].tolist()), name
    bonds = graph.edges["bond"]
    covalent = graph.edges["kind"][:, COVALENT]
    within = covalent & (kind[graph.sender] == LIGAND_ATOM) & (kind[graph.receiver] == LIGAND_ATOM)
    assert sorted(bonds[within].tolist()) == sorted(expected.edges["bond"].tolist())
    assert (bonds[~covalent] == BONDS.index("none")).all()
    assert graph.globals["bond_orders"].tolist() == [True]


def test_without_template_only_what_distances_tell(receptor):
    graph = complex_graph(receptor, "A/STR 1")
    ligand = graph.nodes["kind"] == LIGAND_ATOM
    assert graph.globals["bond_orders"].tolist() == [False]
    expected = molecule_graph(PROGESTERONE)
    for name in ("element", "ring"):
        assert sorted(graph.nodes[name][ligand].tolist()) == sorted(expected.nodes[name].tolist())
    bonds = graph.edges["bond"][graph.edges["kind"][:, COVALENT]]
    assert len(bonds) == expected.num_edges
    assert (bonds == BONDS.index("other")).all()
    assert graph.nodes["charge"].unique().tolist() == [ATOM["charge"].index("+0")]


def test_bonds_of_pocket_atoms_are_those_of_residues(receptor):
    """Every polymer residue is a connected piece, and neighbours along the chain are bonded once."""
    graph = complex_graph(receptor, "A/STR 1", level="atoms")
    sender, receiver = graph.edge_index[:, graph.edges["kind"][:, COVALENT]]
    number, kind = graph.nodes["number"], graph.nodes["kind"]
    pocket = (kind[sender] == POCKET_ATOM) & (kind[receiver] == POCKET_ATOM)
    sender, receiver = sender[pocket], receiver[pocket]
    between = (number[receiver] - number[sender]).abs()
    assert between.max() == 1
    name = graph.nodes["atom_name"]
    peptide = between == 1
    pack = lambda text: int.from_bytes(text.encode().ljust(8, b"\0"), "little")
    ends = {frozenset((int(a), int(b))) for a, b in zip(name[sender[peptide]], name[receiver[peptide]])}
    assert ends == {frozenset((pack("C"), pack("N")))}
    degree = torch.bincount(receiver, minlength=graph.num_nodes)
    assert degree[kind == POCKET_ATOM].min() >= 1
    assert degree.max() <= 4


def test_a_covalent_inhibitor_is_bonded_to_its_serine():
    """1GBT: guanidinobenzoyl on Ser 195 of trypsin, an acyl-enzyme."""
    for level in ("residues", "atoms"):
        graph = complex_graph(TRYPSIN, "GBS", level=level)
        both = edges(graph, COVALENT) & edges(graph, CROSS)
        assert len(both) == 2
        ((sender, _),) = [pair for pair in both if pair[0] < pair[1]]
        assert residue_labels(graph)[sender].endswith("SER 195")


def test_dna_and_cofactors_are_part_of_the_surroundings():
    """Type of every neighbour as in the structure; a cofactor beside the ligand is a residue of its own."""
    graph = complex_graph(METHYLASE, pocket=12.0)  # AdoHcy beside protein and DNA
    types = {TYPES[t] for t in graph.nodes["type"][graph.nodes["kind"] == RESIDUE]}
    assert types & {"DA", "DC", "DG", "DT"}
    haem = complex_graph(f"{ENTRIES}19hc.pdb.gz", "A/HEM 301", pocket=10.0)
    assert "HEM" in "".join(residue_labels(haem)[:-43])
    assert (haem.nodes["element"][-43:] == 26).sum() == 1


def test_a_molecule_given_from_outside(tmp_path, receptor):
    """As a docking program gives it: with hydrogens, in the frame of the structure, as Mol or SDF."""
    inside = find_ligand(receptor, "A/STR 1", PROGESTERONE)
    mol = Chem.AddHs(inside.mol, addCoords=True)
    path = tmp_path / "pose.sdf"
    with Chem.SDWriter(str(path)) as writer:
        writer.write(mol)
    expected = complex_graph(receptor, "A/STR 1", template=PROGESTERONE)
    for given in (mol, path, str(path)):
        graph = complex_graph(receptor, given, pocket=8.0)
        ligand = graph.nodes["kind"] == LIGAND_ATOM
        assert ligand.sum() == 23
        # progesterone of the file is now part of the surroundings
        assert (graph.nodes["type"][~ligand] == TYPES.index("ligand")).sum() == 1
        for name in ATOM:
            here, there = (g.nodes[name][g.nodes["kind"] == LIGAND_ATOM] for g in (graph, expected))
            assert torch.equal(here, there), name
        torch.testing.assert_close(graph.nodes["pos"][ligand], expected.nodes["pos"][-23:], atol=1e-3, rtol=0)


def test_long_bonds_of_a_given_molecule_are_edges():
    """Bonds come from the molecule, not from distances, where a molecule is given."""
    table = read_residues(RECEPTOR, ligands="keep")[0]
    mol = Chem.Mol(find_ligand(table, "A/STR 1", PROGESTERONE).mol)
    atom = next(a.GetIdx() for a in mol.GetAtoms() if a.GetDegree() == 1)
    neighbour = mol.GetAtomWithIdx(atom).GetNeighbors()[0]
    rdMolTransforms.SetBondLength(mol.GetConformer(), neighbour.GetIdx(), atom, 6.0)
    graph = complex_graph(table, mol)
    within = graph.edges["bond"] != BONDS.index("none")
    kind = graph.nodes["kind"]
    ligand = within & (kind[graph.sender] == LIGAND_ATOM) & (kind[graph.receiver] == LIGAND_ATOM)
    assert ligand.sum() == 2 * mol.GetNumBonds()
    assert graph.edges["kind"][ligand, COVALENT].all()


def test_edges_go_both_ways_once(graph):
    pairs = [tuple(pair) for pair in graph.edge_index.T.tolist()]
    assert len(pairs) == len(set(pairs))
    there = dict(zip(pairs, zip(graph.edges["kind"].tolist(), graph.edges["bond"].tolist())))
    assert all(there[r, s] == value for (s, r), value in there.items())
    assert all(s != r for s, r in pairs)
    assert graph.edges["kind"].any(1).all()
    separation = dict(zip(pairs, graph.edges["separation"].tolist()))
    assert all(separation[r, s] == -value for (s, r), value in separation.items())


def test_turned_structures_give_turned_graphs(graph):
    structure = gemmi.read_structure(RECEPTOR)
    turn = gemmi.Transform()
    turn.mat.fromlist([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turn.vec.fromlist([5, -7, 11])
    structure[0].transform_pos_and_adp(turn)
    level = "residues" if (graph.nodes["kind"] == RESIDUE).any() else "atoms"
    turned = complex_graph(structure, "A/STR 1", template=PROGESTERONE, level=level, dtype=torch.float64)
    R, t = torch.tensor(turn.mat.tolist()).double(), torch.tensor(turn.vec.tolist()).double()
    torch.testing.assert_close(turned.nodes["pos"], graph.nodes["pos"] @ R.T + t, rtol=0, atol=1e-9)
    assert torch.equal(turned.edge_index, graph.edge_index)
    assert torch.equal(turned.edges["kind"], graph.edges["kind"])
    for name in ATOM:
        assert torch.equal(turned.nodes[name], graph.nodes[name])


def test_the_mirror_image_is_the_other_enantiomer(receptor):
    mirrored = replace(receptor, atom_pos=receptor.atom_pos * np.array([1.0, 1.0, -1.0]))
    ours, theirs = (
        complex_graph(r, "A/STR 1", template=PROGESTERONE).nodes["chirality"][-23:]
        for r in (receptor, mirrored)
    )
    R, S = ATOM["chirality"].index("R"), ATOM["chirality"].index("S")
    assert torch.equal(torch.where(ours == R, S, torch.where(ours == S, R, ours)), theirs)
    assert (ours != theirs).sum() == 6


def test_batches(receptor):
    graphs = [complex_graph(receptor, name, template=PROGESTERONE) for name in ("A/STR 1", "B/STR 2")]
    for one, two in zip(graphs, unbatch(batch(graphs))):
        assert torch.equal(one.nodes["pos"], two.nodes["pos"])


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("source", "options", "error"),
    [
        ("1ake.pdb.gz", {}, "holds no ligand.*give one as an RDKit Mol"),
        ("1a28.pdb.gz", {}, r"holds 2 ligands: A/STR 1 \(23 atoms\), B/STR 2.*ligand='A/STR 1'"),
        ("1a28.pdb.gz", {"ligand": "STR"}, "holds 2 ligands 'STR'"),
        ("1a28.pdb.gz", {"ligand": "HEM"}, "no ligand 'HEM'; it has A/STR 1"),
        ("3mht.pdb.gz", {"template": "CCO"}, "3 heavy atoms, ligand A/SAH 328 in the structure 26"),
        ("3mht.pdb.gz", {"template": PROGESTERONE}, r"\(C21O2 without hydrogens\).*C14N6O5S"),
        ("3mht.pdb.gz", {"pocket": -1.0}, "pocket is -1.0"),
        ("3mht.pdb.gz", {"cross": float("nan")}, "cross is nan"),
        ("3mht.pdb.gz", {"level": "residue"}, "did you mean 'residues'"),
        ("3mht.pdb.gz", {"pocket": 0.5}, r"nothing is within 0\.5 Å of ligand A/SAH 328"),
        ("1as5.cif.gz", {"model": "all"}, "models; choose one"),
    ],
)
def test_bad_input(source, options, error):
    with pytest.raises(ValueError, match=error):
        complex_graph(ENTRIES + source, **options)


def test_bad_molecules(tmp_path, receptor):
    flat = Chem.MolFromSmiles("CCO")
    with pytest.raises(ValueError, match=r"\(CCO\) has no coordinates in space"):
        complex_graph(receptor, flat)
    AllChem.Compute2DCoords(flat)
    with pytest.raises(ValueError, match="no coordinates in space"):
        complex_graph(receptor, flat)
    far = Chem.AddHs(Chem.MolFromSmiles("CCO"))
    AllChem.EmbedMolecule(far, randomSeed=1)
    with pytest.raises(ValueError, match=r"the nearest atom is .* Are its coordinates in the frame"):
        complex_graph(receptor, far)
    with pytest.raises(ValueError, match="a template is for"):
        complex_graph(receptor, far, template="CCO")
    with pytest.raises(MoleculeError, match="CC"):
        complex_graph(receptor, "A/STR 1", template="CC(")
    two = tmp_path / "two.sdf"
    with Chem.SDWriter(str(two)) as writer:
        writer.write(far)
        writer.write(far)
    with pytest.raises(ValueError, match="holds 2 molecules; expected one"):
        complex_graph(receptor, two)
    with pytest.raises(FileNotFoundError):
        complex_graph(receptor, tmp_path / "none.sdf")


def test_the_builder_is_found_by_name():
    assert sciml.builders.complex_graph is complex_graph
    with pytest.raises(AttributeError, match="complex_grap"):
        _ = sciml.builders.complex_grap


# ------------------------------------------------------------------- the network


def test_network_on_a_complex(graph):
    torch.manual_seed(0)
    model = ComplexNetwork({"affinity": 1}, heads={"site": 3}, channels=8, edge_channels=4, layers=2).double()
    result = model(graph)
    assert result.globals["predicted_affinity"].shape == (1,)
    assert result.nodes["predicted_site"].shape == (graph.num_nodes, 3)
    check(model, graph, samples=1).raise_if_failed()


def test_every_edge_within_or_across_is_of_its_relation(graph):
    found = dict(zip(RELATIONS, relations(graph).T))
    ligand = graph.nodes["kind"] == LIGAND_ATOM
    assert (ligand[graph.receiver] & ~ligand[graph.sender])[found["to the ligand"]].all()
    assert (ligand[graph.sender] & ~ligand[graph.receiver])[found["to the pocket"]].all()
    assert (ligand[graph.sender] & ligand[graph.receiver])[found["in the ligand"]].all()
    assert (~ligand[graph.sender] & ~ligand[graph.receiver])[found["in the pocket"]].all()
    assert torch.equal(found["to the ligand"] | found["to the pocket"], graph.edges["kind"][:, CROSS])


def test_kinds_have_weights_of_their_own(graph):
    """What is learned for pocket nodes alone leaves the ligand's own tables and matrices as they were."""
    torch.manual_seed(0)
    model = ComplexNetwork(heads={"y": 1}, channels=8, edge_channels=4, layers=1).double()
    inside = graph.nodes["kind"] != LIGAND_ATOM
    alone = graph.replace(
        edge_index=graph.edge_index[:, :0],
        edges={name: value[:0] for name, value in graph.edges.items()},
        edge_counts=torch.zeros_like(graph.edge_counts),
    )
    model(alone).nodes["predicted_y"][inside].sum().backward()
    own = model.layers[0].convolution.own.all.weight.grad.unflatten(0, (len(NODE_KINDS), -1))
    assert own[LIGAND_ATOM].eq(0).all()
    assert own.ne(0).any()
    table = model.embedding.tables["of_type"].weight.grad.unflatten(0, (len(NODE_KINDS), -1))
    assert table[LIGAND_ATOM].eq(0).all()


def test_network_needs_a_complex():
    with pytest.raises(ValueError, match="predicts nothing"):
        ComplexNetwork()
    with pytest.raises(ValueError, match=r"reads nodes\.kind, which the graph lacks"):
        ComplexNetwork({"a": 1})(sciml.builders.residue_graph(f"{ENTRIES}1ubi.pdb.gz"))
