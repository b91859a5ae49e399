"""Residue graphs: what becomes a node, how fields turn, and what is said of bad input."""

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sciml.builders.residue import (
    KINDS,
    SECONDARY,
    TYPES,
    Rules,
    read_residues,
    residue_graph,
    residue_labels,
    sequences,
)
from sciml.builders.residue.aligned import read_aligned
from sciml.builders.residue.atoms import Table, from_gemmi
from sciml.builders.residue.chemistry import pack, unpack
from sciml.graph import batch, unbatch
from sciml.symmetry.space import Orthogonal, Rotation, Translation

gemmi = pytest.importorskip("gemmi")
STRUCTURES = Path(__file__).parents[2] / "data" / "structures"
ENTRIES = sorted((STRUCTURES / "entries").glob("*.gz"))


def entry(name):
    return next((STRUCTURES / "entries").glob(f"{name}.*"))


def atom(number, name, residue, at, *, chain="A", seq=1, alt=" ", code=" ", occ=1.0, het=False, b=10.0):
    """A line of a PDB file."""
    record, element = ("HETATM" if het else "ATOM"), name[0]
    x, y, z = (f"{v:8.3f}" if isinstance(v, int | float) else f"{v:>8}" for v in at)
    return (
        f"{record:6}{number:5d}  {name:3}{alt}{residue:>3} {chain}{seq:4d}{code}   {x}{y}{z}"
        f"{occ:6.2f}{b:6.2f}          {element:>2}\n"
    )


BACKBONE = {"N": (0.0, 1.4, 0.0), "CA": (0.0, 0.0, 0.0), "C": (1.4, -0.5, 0.0), "O": (2.3, 0.3, 0.0)}


def write(path, *lines):
    path.write_text("".join(lines) + "END\n")
    return path


def alanine(seq=1, shift=0.0, **options):
    places = BACKBONE | {"CB": (-0.7, -0.6, 1.2)}
    return "".join(
        atom(k, name, "ALA", (x + shift, y, z), seq=seq, **options)
        for k, (name, (x, y, z)) in enumerate(places.items(), start=1)
    )


# ------------------------------------------------------------------ the whole


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.name[:4])
def test_every_atom_is_kept_or_accounted_for(path):
    for residues in read_residues(path, model="all"):
        report = residues.report
        assert report.kept_atoms + report.left_out_atoms.total() == report.atoms
        assert report.kept_residues + report.left_out_residues.total() == report.residues
        assert report.kept_residues == len(residues)
        assert report.kept_atoms == len(residues.atom_pos)


@pytest.mark.parametrize("path", [p for p in ENTRIES if ".cif" in p.name], ids=lambda path: path.name[:4])
def test_the_fast_path_reads_what_gemmi_reads(path):
    found = read_aligned(gzip.decompress(path.read_bytes()))
    if path.name.startswith("2ofg"):
        assert found is None  # its rows are not aligned
        return
    fast, slow = Table(**found), from_gemmi(gemmi.read_structure(str(path)), "")
    assert fast.columns.keys() == slow.columns.keys()
    for name, column in slow.columns.items():
        assert np.array_equal(fast.columns[name], column), name
    assert np.array_equal(fast.model, slow.model)
    assert fast[2:] == slow[2:]


def test_the_fast_path_leaves_what_is_unusual_to_gemmi():
    text = gzip.decompress(entry("1yjp").read_bytes())
    assert read_aligned(text) is not None
    for other in (b" ?     ", b" -9.e09", b" (-9.9)"):
        assert read_aligned(text.replace(b" -9.009", other, 1)) is None
    assert read_aligned(text.replace(b"\nATOM   1 ", b"\nATOM    1 ", 1)) is None
    assert read_aligned(text.replace(b"_atom_site.", b"_atom_sight.")) is None
    assert read_aligned(b"") is None


def test_fields_of_ubiquitin():
    graph = residue_graph(entry("1ubi"))
    assert sequences(graph) == [
        {"A": "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"}
    ]
    assert residue_labels(graph)[::75] == ["A/MET 1", "A/GLY 76"]
    assert "".join(SECONDARY[s] for s in graph.nodes["secondary"][:17]) == "-EEEEEETTS-EEEEE-"
    assert graph.nodes["place"].tolist() == list(range(76))
    frame = graph.nodes["frame"].view(-1, 3, 3).double()
    assert torch.allclose(frame @ frame.mT, torch.eye(3, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(torch.linalg.det(frame), torch.ones(76, dtype=torch.float64), atol=1e-6)
    assert graph.edges["kind"].any(dim=1).all()
    phi = torch.rad2deg(graph.nodes["torsion"][:, 0])[graph.nodes["torsion_mask"][:, 0]]
    assert (phi < 0).float().mean() > 0.85  # L-amino acids
    omega = torch.rad2deg(graph.nodes["torsion"][1:, 2]).abs()
    assert (omega > 160).all()  # all peptide bonds are trans
    assert not graph.globals["predicted"].any()
    assert graph.nodes["b_factor"].min() > 0


def test_edges_say_what_they_are():
    graph = residue_graph(entry("1ubi"), "ca", 6.0, k=3, sequence=2)
    contact, nearest, sequence = graph.edges["kind"].T
    assert len(KINDS) == 3
    assert torch.equal(contact, graph.edges["distance"] <= 6.0)
    assert torch.equal(torch.bincount(graph.receiver[nearest], minlength=76), torch.full((76,), 3))
    assert torch.equal(sequence, graph.edges["separation"].abs() <= 2)
    length = graph.edge_vectors().norm(dim=1)
    assert torch.allclose(graph.edges["distance"], length, atol=1e-4)
    own = graph.nodes["frame"].view(-1, 3, 3)[graph.receiver]
    along = (own @ -graph.edge_vectors()[:, :, None])[:, :, 0]
    assert torch.allclose(graph.edges["along"], along, atol=1e-4)
    turn = graph.edges["turn"].view(-1, 3, 3)
    assert torch.allclose(own.mT @ turn, graph.nodes["frame"].view(-1, 3, 3)[graph.sender].mT, atol=1e-5)


def test_several_sources_are_a_batch_and_models_are_graphs():
    two = residue_graph([entry("1yjp"), gemmi.read_structure(str(entry("1ubi")))])
    assert two.node_counts.tolist() == [7, 76]
    single = residue_graph(entry("1ubi"))
    assert unbatch(two)[1].edge_index.equal(single.edge_index)
    ensemble = residue_graph(entry("1lcd"), model="all")
    assert ensemble.globals["model"].tolist() == [1, 2, 3]
    assert residue_graph(entry("1lcd"), model=3).nodes["pos"].equal(unbatch(ensemble)[2].nodes["pos"])
    table = read_residues(entry("1lcd"))[0]
    assert table.report.models_left_out == 2
    assert "2 further models" in str(table.report)
    assert residue_graph(table).num_nodes == len(table)


# ------------------------------------------------------------------ symmetry


def moved(path, transform):
    """A structure with all its atoms moved."""
    structure = gemmi.read_structure(str(path))
    structure.setup_entities()
    for model in structure:
        for site in model.all():
            site.atom.pos = gemmi.Position(*transform(np.array(site.atom.pos.tolist())))
    return structure


@pytest.mark.parametrize(("determinant", "group"), [(1, Rotation()), (-1, Orthogonal())])
def test_fields_turn_as_their_specs_say(determinant, group):
    """Built of the turned (and mirrored) structure, or built and then turned: the same."""
    graph = residue_graph(entry("1a8o"), dtype=torch.float64)
    turn = group.sample(graph, torch.Generator().manual_seed(1))[:1].double()
    assert torch.linalg.det(turn).round().item() == determinant
    other = moved(entry("1a8o"), lambda x: turn[0].numpy() @ x)
    built, acted = residue_graph(other, dtype=torch.float64), group.act(turn, graph)
    for name, value in acted.nodes.items():
        # Cβ are built, and hydrogen bonds placed, as L-amino acids have them; the points on the spheres of
        # the surface do not turn with the molecule.
        if name in ("surface", "exposure") or (determinant < 0 and name in ("cb", "secondary")):
            assert value.shape == built.nodes[name].shape
        else:
            assert torch.allclose(built.nodes[name].double(), value.double(), atol=1e-5), name
    assert (built.nodes["surface"] - acted.nodes["surface"]).abs().max() < 10
    by_ca, other_by_ca = (residue_graph(s, "ca", dtype=torch.float64) for s in (entry("1a8o"), other))
    for name, value in group.act(turn, by_ca).edges.items():  # contacts of CA know no hand
        assert torch.allclose(other_by_ca.edges[name].double(), value.double(), atol=1e-5), name
    positive = [(g.nodes["torsion"][:, 0] > 0).double().mean() for g in (graph, built)]
    assert positive[0] < 0.2
    assert positive[1] > 0.8 or determinant > 0  # a mirror makes D-amino acids of L


def test_a_translation_moves_positions_only():
    graph = residue_graph(entry("1a8o"), dtype=torch.float64)
    step = torch.tensor([[11.0, -3.0, 5.0]], dtype=torch.float64)
    built = residue_graph(moved(entry("1a8o"), lambda x: x + step[0].numpy()), dtype=torch.float64)
    acted = Translation().act(step, graph)
    assert built.edge_index.equal(acted.edge_index)
    for place in ("nodes", "edges"):
        for name, value in getattr(acted, place).items():
            assert torch.allclose(getattr(built, place)[name].double(), value.double(), atol=1e-6), name


def test_permuting_chains_permutes_the_nodes():
    structure = gemmi.read_structure(str(entry("3mht")))
    structure.setup_entities()
    one = residue_graph(structure)
    model = structure[0]
    chains = [chain.clone() for chain in model]
    for chain in chains:
        model.remove_chain(chain.name)
    for chain in reversed(chains):
        model.add_chain(chain)
    other = residue_graph(structure)
    labels, reversed_ = residue_labels(one), residue_labels(other)
    assert labels != reversed_
    place = torch.tensor([reversed_.index(label) for label in labels])
    for name in one.nodes.keys() - {"chain"}:
        assert torch.allclose(one.nodes[name].double(), other.nodes[name][place].double(), atol=1e-4), name
    pairs = lambda graph, names: {(names[i], names[j]) for i, j in graph.edge_index.T.tolist()}
    assert pairs(one, labels) == pairs(other, reversed_)


# ------------------------------------------------------------------ rules


def test_microheterogeneity_of_crambin():
    """At 22 and 25 there are two residues each, PRO/SER and LEU/ILE, with 0.6 and 0.4 of the crystal."""
    residues = read_residues(entry("1ejg"))[0]
    assert sequences(residue_graph(residues)) == [{"A": "TTCCPSIVARSNFNVCRLPGTPEALCATYTGCIIIPGATCPGDYAN"}]
    assert residues.report.left_out_residues["alternate residues at one place"] == 2
    assert residues.report.left_out_atoms["hydrogens"] == 415


def test_alternate_locations(tmp_path):
    lines = [atom(k, n, "SER", at) for k, (n, at) in enumerate(BACKBONE.items())]
    lines += [
        atom(5, "CB", "SER", (-0.7, -0.6, 1.2), alt="A", occ=0.3),
        atom(6, "CB", "SER", (-0.9, -0.6, 1.2), alt="B", occ=0.7),
        atom(7, "OG", "SER", (-1.7, -0.6, 1.2), alt="A", occ=0.3),
        atom(8, "OG", "SER", (-1.9, -0.6, 1.2), alt="B", occ=0.7),
    ]
    path = write(tmp_path / "a.pdb", *lines)
    by_occupancy, first = read_residues(path)[0], read_residues(path, altloc="first")[0]
    assert by_occupancy.position("CB")[0][0, 0] == -0.9
    assert by_occupancy.position("OG")[0][0, 0] == -1.9
    assert first.position("OG")[0][0, 0] == -1.7
    assert by_occupancy.report.left_out_atoms == {"alternate locations": 2}
    path = write(tmp_path / "b.pdb", *lines[:4], *lines[5:7], lines[4])  # OG has A only, B is preferred
    mixed = read_residues(path)[0]
    assert mixed.position("CB")[0][0, 0] == -0.9
    assert mixed.position("OG")[0][0, 0] == -1.7


def test_repeated_atoms_are_counted_and_the_first_is_kept(tmp_path):
    lines = alanine()
    path = write(tmp_path / "a.pdb", lines, atom(9, "CB", "ALA", (5.0, 5.0, 5.0)))
    residues = read_residues(path)[0]
    assert residues.position("CB")[0][0].tolist() == [-0.7, -0.6, 1.2]
    assert residues.report.left_out_atoms == {"repeated atoms": 1}


def test_modified_residues():
    residues = read_residues(entry("1a8o"))[0]
    mse = residues.name == pack("MSE")
    assert mse.sum() == residues.modified.sum() == 4
    assert (residues.type[mse] == TYPES.index("MET")).all()
    chi3 = residue_graph(residues).nodes["torsion_mask"][torch.from_numpy(mse), 5]
    assert chi3.all()  # selenium stands in for sulphur
    unknown = read_residues(entry("1a8o"), modified="unknown")[0]
    assert (unknown.type[mse] == TYPES.index("UNK")).all()
    assert len(read_residues(entry("1a8o"), modified="drop")[0]) == len(residues) - 4


def test_nucleic_acids_waters_ions_and_ligands():
    kept = residue_graph(entry("1lcd"), waters="keep", ions="keep", ligands="keep")
    number = lambda name: int((kept.nodes["type"] == TYPES.index(name)).sum())
    assert (number("water"), number("ion"), number("ligand")) == (49, 1, 0)
    plain = residue_graph(entry("1lcd"))
    assert plain.num_nodes == kept.num_nodes - 50
    assert residue_graph(entry("1lcd"), nucleic="drop").num_nodes == 51
    assert [sequences(plain)[0][strand] for strand in "BC"] == ["aattgtgagcg", "cgctcacaatt"]
    pairs = plain.edges["kind"][:, 0] & ~plain.edges["same_chain"]
    assert pairs.any()  # the strands and the protein touch
    haem = residue_graph(entry("19hc"), ligands="keep")
    assert (haem.nodes["type"] == TYPES.index("ligand")).sum() >= 18
    assert (haem.edges["separation"][~haem.edges["same_chain"]] == 0).all()


def test_insertion_codes_and_gaps():
    graph = residue_graph(entry("1gbt"))
    inserted = [label for label in residue_labels(graph) if not label[-1].isdigit()]
    assert inserted == ["A/ARG 65A", "A/TYR 184A", "A/LYS 188A", "A/GLN 221A"]
    assert graph.nodes["place"].tolist() == list(range(223))  # unbroken, however it is numbered
    gapped = read_residues(entry("3hsy"))[0]
    breaks = np.flatnonzero(~gapped.bonded[1:] & (gapped.chain[1:] == gapped.chain[:-1])) + 1
    assert len(breaks) == gapped.report.noted["breaks in a chain"] == 1
    missing = gapped.number[breaks] - gapped.number[breaks - 1]
    assert (gapped.place[breaks] - gapped.place[breaks - 1] == missing).all()
    assert missing > 1
    assert "-" in sequences(residue_graph(gapped), gaps=True)[0]["B" if gapped.chain[breaks] else "A"]


def test_a_missing_backbone():
    residues = read_residues(entry("2xhe"))[0]
    lacking = residues.slot_of("CA") < 0
    assert lacking.sum() == 1
    graph = residue_graph(residues)
    assert not graph.nodes["frame_mask"][lacking].any()
    assert (graph.nodes["frame"][torch.from_numpy(lacking)] == 0).all()
    assert graph.nodes["secondary"][lacking].item() == SECONDARY.index("?")
    assert residue_graph(entry("2xhe"), unplaced="drop").num_nodes == len(residues) - 1


def test_a_trace_alone():
    """Two files that hold CA only, one in the format of before 1996."""
    for name, count in (("1lzh", 258), ("1gdr", 105)):
        graph = residue_graph(entry(name))
        assert graph.num_nodes == count
        assert not graph.nodes["frame_mask"].any()
        assert set(graph.nodes["secondary"].tolist()) <= {SECONDARY.index(s) for s in "-HE"}
        assert torch.equal(graph.nodes["cb"], graph.nodes["pos"])
        traced = residue_graph(entry(name), frame="trace")
        assert traced.nodes["frame_mask"].float().mean() > 0.9
    helices = (residue_graph(entry("1lzh")).nodes["secondary"] == SECONDARY.index("H")).float().mean()
    assert 0.25 < helices < 0.5  # lysozyme is a third helix


def test_confidence_of_predicted_models(tmp_path):
    line = "TITLE     ALPHAFOLD MONOMER V2.0 PREDICTION FOR A PROTEIN\n"
    path = write(tmp_path / "model.pdb", line, alanine(b=87.5))
    graph = residue_graph(path)
    assert graph.globals["predicted"].all()
    assert graph.nodes["plddt"].tolist() == [87.5]
    assert graph.nodes["b_factor"].tolist() == [0.0]
    assert residue_graph(path, predicted=False).nodes["b_factor"].tolist() == [87.5]
    block = gemmi.read_structure(str(path)).make_mmcif_document()
    block[0].set_pair("_struct.title", "'A model'")
    block[0].set_pair("_ma_qa_metric.mode", "local")
    block.write_file(str(tmp_path / "model.cif"))
    assert residue_graph(tmp_path / "model.cif").globals["predicted"].all()


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.pdb", "", "it is empty"),
        ("empty.cif", "", "it is empty"),
        ("page.pdb", "<!DOCTYPE html>\n<html><body>Not found</body></html>", "it is a web page"),
        ("page.cif", "<html>\nNot found</html>", "it is a web page"),
        ("text.pdb", "Dear colleague,\n", "holds no atoms; it starts with 'Dear colleague,'"),
        ("packed.cif", gzip.compress(b"data_x", mtime=0), "gzipped, but its name does not end in .gz"),
        ("broken.cif.gz", b"\x1f\x8b\x08 nothing", "cannot be read"),
        ("nan.pdb", alanine() + atom(7, "N", "GLY", ("nan", 0.0, 0.0), seq=2), r"not finite|Invalid|number"),
    ],
)
def test_files_that_are_no_structures(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as caught:
        residue_graph(path)
    assert name in str(caught.value)


def test_coordinates_that_are_not_finite():
    structure = gemmi.read_structure(str(entry("1yjp")))
    structure[0][0][2][1].pos = gemmi.Position(math.nan, 0, 0)
    with pytest.raises(ValueError, match=r"1 atoms have .* not finite, the first is CA of ASN 3"):
        residue_graph(structure)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_a_file_that_is_cut_off(tmp_path, part):
    text = gzip.decompress(entry("1gbt").read_bytes())
    start, end = text.index(b"\nATOM"), text.rindex(b"\nHETATM")
    cut = start + int(part * (end - start))
    path = tmp_path / "cut.cif"
    path.write_bytes(text[: text.index(b"\n", cut) + 20])
    with pytest.raises(ValueError, match=r"cut.cif cannot be read as PDB or mmCIF"):
        residue_graph(path)
    packed = entry("1gbt").read_bytes()
    (tmp_path / "cut.cif.gz").write_bytes(packed[: int(part * len(packed))])
    with pytest.raises(ValueError, match=r"cut.cif.gz cannot be read"):
        residue_graph(tmp_path / "cut.cif.gz")


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        residue_graph(tmp_path / "none.pdb")
    with pytest.raises(IsADirectoryError, match="residue_graphs"):
        residue_graph(tmp_path)
    with pytest.raises(TypeError, match="not int"):
        residue_graph(3)
    with pytest.raises(ValueError, match="empty list"):
        residue_graph([])


def test_models_of_one_number_stay_apart():
    structure = gemmi.read_structure(str(entry("1yjp")))
    structure.add_model(structure[0])
    structure[1].num = structure[0].num
    graph = residue_graph(structure, model="all")
    assert graph.node_counts.tolist() == [7, 7]
    assert graph.globals["model"].tolist() == [1, 2]


@pytest.mark.parametrize("name", ["a.CIF.GZ", "a.cif.gz", "a.txt"])
def test_names_of_files(tmp_path, name):
    content = entry("1yjp").read_bytes()
    (tmp_path / name).write_bytes(content if name.lower().endswith("gz") else gzip.decompress(content))
    assert residue_graph(tmp_path / name).num_nodes == 7
    assert residue_graph(iter([str(tmp_path / name)])).num_nodes == 7


def test_a_chain_without_residues():
    structure = gemmi.read_structure(str(entry("1yjp")))
    structure[0].add_chain(gemmi.Chain("Z"))
    assert residue_graph(structure).num_nodes == 7
    bare = gemmi.Structure()
    bare.add_model(gemmi.Model(1))
    with pytest.raises(ValueError, match="holds no atoms"):
        residue_graph(bare)


def test_only_water(tmp_path):
    path = write(tmp_path / "water.pdb", atom(1, "O", "HOH", (0.0, 0.0, 0.0), het=True))
    with pytest.raises(ValueError, match=r"Nothing is left to be a node(.|\n)*waters"):
        residue_graph(path)
    assert residue_graph(path, waters="keep").num_nodes == 1


def test_names_that_no_table_knows(tmp_path):
    lines = [alanine(), alanine(2, 3.8).replace("ALA", "QQQ"), alanine(3, 7.6)]
    graph = residue_graph(write(tmp_path / "odd.pdb", *lines))
    assert [TYPES[t] for t in graph.nodes["type"]] == ["ALA", "UNK", "ALA"]
    assert residue_labels(graph)[1] == "A/QQQ 2"


def test_one_residue(tmp_path):
    graph = residue_graph(write(tmp_path / "one.pdb", alanine()), k=5)
    assert (graph.num_nodes, graph.num_edges) == (1, 0)
    assert graph.nodes["frame_mask"].all()
    assert not graph.nodes["torsion_mask"].any()
    assert 150 < graph.nodes["surface"].item() < 260
    assert unpack(graph.nodes["name"].item()) == "ALA"


def test_a_hundred_chains_with_names_of_two_letters(tmp_path):
    structure = gemmi.read_structure(str(entry("5wkd")))
    structure.setup_entities()
    first = structure[0][0].clone()
    names = [f"{a}{b}" for a in "ABCDEFGHIJ" for b in "0123456789"]
    for k, name in enumerate(names):
        chain = first.clone()
        chain.name = name
        for residue in chain:
            residue.subchain = name
            for one in residue:
                one.pos += gemmi.Position(0.0, 0.0, 50.0 * k)
        structure[0].add_chain(chain)
    structure[0].remove_chain(first.name)
    structure.make_mmcif_document().write_file(str(tmp_path / "many.cif"))
    graph = residue_graph(tmp_path / "many.cif")
    assert graph.nodes["chain"].unique().tolist() == list(range(100))
    assert list(sequences(graph)[0]) == names
    assert graph.edges["same_chain"].all()
    structure[0][0].name = "far too long"
    with pytest.raises(ValueError, match="'far too long' is not of at most 7"):
        residue_graph(structure)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contact": "cbeta"}, "contact is 'cbeta'; did you mean 'cb'"),
        ({"contact": "CA"}, "contact is 'CA'"),
        ({"cutoff": 0.0}, "cutoff is 0.0; expected a positive distance"),
        ({"cutoff": -3}, "cutoff is -3"),
        ({"cutoff": math.nan}, "cutoff is nan"),
        ({"k": 0}, "k is 0"),
        ({"sequence": -1}, "sequence is -1"),
        ({"secondary": "dsp"}, "did you mean 'dssp'"),
        ({"frame": "backbones"}, "did you mean 'backbone'"),
        ({"predicted": "no"}, "predicted is 'no'"),
        ({"altloc": "B"}, "altloc is 'B'; choose one of 'occupancy', 'first'"),
        ({"model": 7}, "has no model 7; its models are 1 to 1"),
        ({"model": "frist"}, "did you mean 'first'"),
        ({"waters": True}, "waters is True"),
    ],
)
def test_options_that_do_not_exist(options, message):
    with pytest.raises(ValueError, match=message):
        residue_graph(entry("1yjp"), **options)


def test_unknown_and_double_options():
    with pytest.raises(TypeError, match="no option 'water'; did you mean waters"):
        residue_graph(entry("1yjp"), water="keep")
    with pytest.raises(TypeError, match="not both"):
        residue_graph(entry("1yjp"), rules=Rules(), waters="keep")


def test_graphs_go_into_batches_with_each_other():
    graphs = [residue_graph(entry(name)) for name in ("1yjp", "1lzh", "1lcd", "1ejg")]
    together = batch(graphs)
    assert together.num_nodes == sum(graph.num_nodes for graph in graphs)
    for one, other in zip(unbatch(together), graphs):
        assert all(one.nodes[name].equal(other.nodes[name]) for name in other.nodes)
