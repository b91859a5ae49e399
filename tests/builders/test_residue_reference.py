"""Features of real structures against other programs: Biotite and DSSP, by the numbers in the JSON file.

Made by make_residue_reference.py, which states the programs' versions.
"""

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from sciml.builders.residue import SECONDARY, TORSIONS, read_residues, residue_graph, residue_labels

gemmi = pytest.importorskip("gemmi")
ROOT = Path(__file__).parents[2]
STRUCTURES = ROOT / "data" / "structures"
REFERENCE = json.loads((Path(__file__).parent / "residue_reference.json").read_text())["structures"]
WHOLE = [name for name, found in REFERENCE.items() if "dssp" in found]


@cache
def ambiguous(name):
    """Residues with alternates of which programs take different ones, and those beside them."""
    unclear = []
    for residue in (r for chain in gemmi.read_structure(str(STRUCTURES / name))[0] for r in chain):
        names = [(atom.name, residue.name) for atom in residue]
        if any(atom.has_altloc() for atom in residue) or len(set(names)) < len(names):
            unclear.append(f"{residue.seqid}")
    ours = [label.split(" ")[1] for label in residue_labels(graph_of(name))]
    mask = np.isin(ours, unclear)
    return mask | np.roll(mask, 1) | np.roll(mask, -1)


@cache
def graph_of(name):
    return residue_graph(STRUCTURES / name, nucleic="drop", cutoff=None)


def labels_of(name):
    """Labels of the reference, written out."""
    labels = []
    for run in REFERENCE[name]["labels"]:
        chain, first, last = re.fullmatch(r"(.)([^:]+)(?::(.+))?", run).groups()
        numbers = [first] if last is None else range(int(first), int(last) + 1)
        labels += [f"{chain}{number}" for number in numbers]
    return labels


def rows_of(name):
    """Nodes in the order of the reference, and which of them can be compared."""
    ours = [re.sub(r"/\w+ ", "", label) for label in residue_labels(graph_of(name))]
    assert ours == labels_of(name)
    return ~ambiguous(name)


def pairs(i, j, distance, cutoff):
    """Number of pairs, and the sum of the products of their numbers from 1."""
    near = (i < j) & (distance <= cutoff)
    return [int(near.sum()), int(((i + 1) * (j + 1))[near].sum())]


@pytest.mark.parametrize("name", REFERENCE)
@pytest.mark.parametrize(("contact", "cutoff"), [("ca", 8.0), ("heavy", 5.0)])
def test_contacts(name, contact, cutoff):
    if contact == "heavy" and ambiguous(name).any():
        pytest.skip("programs take different side chains of its alternates")
    graph = residue_graph(STRUCTURES / name, contact, cutoff, sequence=0, nucleic="drop")
    i, j, d = graph.sender.numpy(), graph.receiver.numpy(), graph.edges["distance"].numpy()
    assert pairs(i, j, d, np.inf) == REFERENCE[name][f"contacts_{contact}_{cutoff:.0f}"]


@pytest.mark.parametrize("name", WHOLE)
def test_secondary_structure_is_that_of_dssp(name):
    known = rows_of(name)
    ours = np.array(SECONDARY)[graph_of(name).nodes["secondary"]]
    theirs = np.array(list(REFERENCE[name]["dssp"]))
    known &= theirs != "?"
    assert "".join(ours[known]) == "".join(theirs[known])


@pytest.mark.parametrize("name", REFERENCE)
def test_secondary_structure_of_the_trace_is_that_of_psea(name):
    graph = residue_graph(STRUCTURES / name, nucleic="drop", cutoff=None, secondary="psea")
    known = rows_of(name)
    ours = np.array(SECONDARY)[graph.nodes["secondary"]][known]
    theirs = np.array(list(REFERENCE[name]["psea"]))[known]
    jumps = len(REFERENCE[name]["labels"]) - len(set(graph_of(name).nodes["chain"].tolist()))
    assert (ours == theirs).mean() >= (0.92 if jumps else 0.999)  # a jump in numbers is a break to Biotite


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("torsion", TORSIONS)
def test_torsions(name, torsion):
    known, column = rows_of(name), TORSIONS.index(torsion)
    nodes = graph_of(name).nodes
    mask = nodes["torsion_mask"][:, column].numpy()
    ours = np.degrees(nodes["torsion"][:, column].double().numpy())
    listed = REFERENCE[name][torsion]
    if torsion == "omega":  # Biotite's is about the bond to the residue after, ours to the one before
        listed = [None, *listed[:-1]]
    theirs = np.array([np.nan if value is None else value for value in listed])
    both = known & mask & np.isfinite(theirs)
    apart = np.abs((ours - theirs + 180) % 360 - 180)[both]
    standard = ~nodes["modified"].numpy()  # Biotite gives no χ of the others
    assert both.sum() >= 0.98 * (mask & known & standard).sum() - 1
    assert not both.any() or apart.max() < 0.11  # the reference is rounded to a tenth of a degree


@pytest.mark.parametrize("name", WHOLE)
def test_surface(name):
    """Both place points on spheres: ours 256, the reference 2000."""
    known = rows_of(name)
    error = (graph_of(name).nodes["surface"].numpy() - REFERENCE[name]["surface"])[known]
    assert abs(error.mean()) < 0.7
    assert error.std() < 2.5
    assert np.abs(error).max() < 10 or ambiguous(name).any()  # which also hide what is near them


@pytest.mark.parametrize("name", [n for n, found in REFERENCE.items() if "nucleotides" in found])
def test_nucleotides_stand_at_c1(name):
    residues = read_residues(STRUCTURES / name)[0]
    pos = residue_graph(residues).nodes["pos"].numpy()
    nucleic, amino = (cKDTree(pos[residues.kind == kind]) for kind in (1, 0))
    assert nucleic.n == REFERENCE[name]["nucleotides"]
    assert nucleic.count_neighbors(amino, 10.0) == REFERENCE[name]["contacts_c1_ca_10"]
