"""Compute what others find in the shipped structures: python tests/builders/make_residue_reference.py.

Writes tests/builders/residue_reference.json, which the tests hold sciml to. Needs the program mkdssp (package
``dssp`` of Debian) and Biotite (``pip install biotite``), neither of which sciml depends on; nothing here
uses sciml.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import tempfile
from io import StringIO
from itertools import groupby
from pathlib import Path

import biotite
import biotite.structure as struc
import numpy as np
from biotite.structure.io import pdb, pdbx
from scipy.spatial import cKDTree

ROOT = Path(__file__).parents[2]
ENTRIES = ("1a8o", "1ake", "1as5", "1ejg", "1gbt", "1lcd", "1lzh", "1orc", "1ubi", "2ofg", "3mht", "4cup")
ENTRIES += ("4zhl", "5pti")
CHAINS = 14
RADII = {"N": 1.65, "CA": 1.87, "C": 1.76, "O": 1.40}  # DSSP's; side chains 1.80
HEADER = f"{'HEADER    PROTEIN':50}01-JAN-00   1XXX\n"  # which mkdssp asks for


def read(path: Path) -> struc.AtomArray:
    """Atoms of the first model, without hydrogens."""
    text = StringIO(gzip.decompress(path.read_bytes()).decode())
    if ".cif" in path.name:
        atoms = pdbx.get_structure(pdbx.CIFFile.read(text), model=1, altloc="occupancy")
    else:
        atoms = pdb.PDBFile.read(text).get_structure(model=1, altloc="occupancy")
    return atoms[~np.isin(atoms.element, ["H", "D"])]


def repeats(path: Path) -> bool:
    """Whether atoms of one residue share a name, which programs take for one or for several."""
    atoms = read(path)
    names = {(a.chain_id, a.res_id, a.ins_code, a.atom_name) for a in atoms}
    return len(names) < len(atoms)


def dssp(path: Path) -> dict[str, str]:
    """Mkdssp's letters by label; polyproline helices and blanks are loops."""
    text = gzip.decompress(path.read_bytes()).decode()
    suffix = ".cif" if ".cif" in path.name else ".pdb"
    if suffix == ".pdb" and not text.startswith("HEADER"):
        text = HEADER + text
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / f"a{suffix}", Path(folder) / "out"
        source.write_text(text)
        command = ["mkdssp", "--quiet", "--output-format", "dssp", source, target]
        subprocess.run(command, check=True, capture_output=True)
        lines = iter(target.read_text().splitlines())
    while not next(lines).startswith("  #  RESIDUE"):
        pass
    rows = [line for line in lines if line[13] != "!"]
    return {f"{r[11]}{int(r[5:10])}{r[10].strip()}": r[16].translate({32: "-", 80: "-"}) for r in rows}


def degrees(angles: np.ndarray) -> list[float | None]:
    return [None if np.isnan(a) else round(float(np.degrees(a)), 1) for a in angles]


def pairs(residue: np.ndarray, points: np.ndarray, cutoff: float) -> list[int]:
    """Number of pairs of residues in contact, and the sum of the products of their numbers (from 1)."""
    i, j = residue[cKDTree(points).query_pairs(cutoff, output_type="ndarray")].T
    unique = np.unique(np.stack([np.minimum(i, j), np.maximum(i, j)])[:, i != j], axis=1) + 1
    return [unique.shape[1], int((unique[0] * unique[1]).sum())]


def short(labels: list[str]) -> list[str]:
    """Write A1, A2, A3 as A1-3."""
    out = []
    steps = [
        (k, label[0], int(label[1:]) - k if label[1:].lstrip("-").isdigit() else label)
        for k, label in enumerate(labels)
    ]
    for _, group in groupby(steps, key=lambda step: step[1:]):
        run = [labels[k] for k, *_ in group]
        out.append(run[0] if len(run) == 1 else f"{run[0]}:{run[-1][1:]}")
    return out


def reference(path: Path) -> dict:
    everything = read(path)
    nucleic = struc.filter_nucleotides(everything) & (everything.atom_name == "C1'")
    atoms = everything[struc.filter_amino_acids(everything) & struc.filter_polymer(everything, min_size=2)]
    start = struc.get_residue_starts(atoms)
    residue = struc.get_residue_positions(atoms, np.arange(len(atoms)))
    labels = [f"{a.chain_id}{a.res_id}{a.ins_code.strip()}" for a in atoms[start]]
    ca = atoms.atom_name == "CA"
    found: dict = {
        "labels": short(labels),
        "contacts_ca_8": pairs(residue[ca], atoms.coord[ca], 8.0),
        "contacts_heavy_5": pairs(residue, atoms.coord, 5.0),
        "psea": "".join({"a": "H", "b": "E", "c": "-", "": "?"}[s] for s in struc.annotate_sse(atoms)),
    }
    if nucleic.any():
        reach = cKDTree(everything.coord[nucleic]), cKDTree(atoms.coord[ca])
        found["nucleotides"] = int(nucleic.sum())
        found["contacts_c1_ca_10"] = int(reach[0].count_neighbors(reach[1], 10.0))
    if ca.all():
        return found
    letters = dssp(path)
    found["dssp"] = "".join(letters.get(label, "?") for label in labels)
    for name, angles in zip(("phi", "psi", "omega"), struc.dihedral_backbone(atoms)):
        found[name] = degrees(angles)
    for k, angles in enumerate(struc.dihedral_side_chain(atoms).T, start=1):
        found[f"chi{k}"] = degrees(angles)
    radius = np.array([RADII.get(name, 1.80) for name in atoms.atom_name])
    area = struc.sasa(atoms, vdw_radii=radius, point_number=2000, ignore_ions=False)
    found["surface"] = np.round(np.bincount(residue, area), 1).tolist()
    return found


def main() -> None:
    folder = ROOT / "data" / "structures"
    paths = [next((folder / "entries").glob(f"{name}.*")) for name in ENTRIES]
    chains = sorted((folder / "chains").glob("*.gz"))
    paths += [path for path in chains if not repeats(path)][:CHAINS]
    version = subprocess.run(["mkdssp", "--version"], capture_output=True, text=True, check=True).stdout
    result = {
        "made_by": "tests/builders/make_residue_reference.py",
        "biotite": biotite.__version__,
        "dssp": version.split()[-1],
        "units": "degrees; square angstroms; cutoffs in angstroms",
        "structures": {str(p.relative_to(folder)): reference(p) for p in paths},
    }
    target = ROOT / "tests" / "builders" / "residue_reference.json"
    target.write_text(json.dumps(result, separators=(",", ":")).replace('"entries/', '\n"entries/'))
    assert len(paths) == len(ENTRIES) + CHAINS


if __name__ == "__main__":
    main()
