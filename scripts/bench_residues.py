"""Residue graphs beside their peers, in one run: python scripts/bench_residues.py [repeats=15] [FILES ...].

    python scripts/bench_residues.py graphein=/path/to/its/python

From file to graph, in one thread. Ours has all its features (secondary structure, torsions, accessible
surface, frames, and edges with their relative frames); the peers read the file and find the contacts of Cβ
within 8 Å, and do nothing else except where the row says so. Each pair is timed in turn, A B A B ..., by
the time of the processor, and the ratio is the median over pairs, so that a drift of the machine's speed
does no harm. The peers are not dependencies: where one is missing its rows say so. To have them:

    pip install biotite biopython

graphein needs an older NumPy than sciml, so it has an environment of its own, whose Python is named; it
runs between our own turns. It makes a node per residue, with edges of peptide bonds and within 8 Å.
"""

from __future__ import annotations

import importlib
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from scipy.spatial import cKDTree

from sciml.builders.residue import read_residues, residue_graph

STRUCTURES = Path(__file__).parents[1] / "data" / "structures" / "entries"
FILES = ("1gbt.cif.gz", "7cth.cif.gz")
CUTOFF = 8.0
ROWS = 100_000  # a mmCIF of about so many atoms is made of copies, for the last row
Work = Callable[[Path], Any]


class Peer(NamedTuple):
    """What another program does, and how many times faster we mean to be, if we said so."""

    name: str
    work: Work
    goal: str = ""


def biotite(path: Path, features: bool = False) -> Any:
    structure = importlib.import_module("biotite.structure")
    pdbx = importlib.import_module("biotite.structure.io.pdbx")
    atoms = pdbx.get_structure(pdbx.CIFFile.read(path), model=1)
    amino = atoms[structure.filter_amino_acids(atoms)]
    if features:
        structure.annotate_sse(amino)
        structure.dihedral_backbone(amino)
        structure.dihedral_side_chain(amino)
        structure.sasa(amino, point_number=100, vdw_radii="Single")
    chosen = amino[(amino.atom_name == "CB") | ((amino.res_name == "GLY") & (amino.atom_name == "CA"))]
    return structure.CellList(chosen, CUTOFF).create_adjacency_matrix(CUTOFF)


def biopython(path: Path) -> Any:
    parser = importlib.import_module("Bio.PDB.MMCIFParser").MMCIFParser(QUIET=True)
    search = importlib.import_module("Bio.PDB").NeighborSearch
    model = parser.get_structure("x", path)[0]
    chosen = [
        residue["CB" if "CB" in residue else "CA"]
        for residue in model.get_residues()
        if residue.id[0] == " " and "CA" in residue
    ]
    return search(chosen).search_all(CUTOFF, level="R")


def bare_ours(path: Path) -> Any:
    """What the peers do, by our reader: residues and the contacts of Cβ."""
    from sciml.builders.residue.contacts import contact_points

    (residues,) = read_residues(path)
    return cKDTree(contact_points(residues, "cb")).query_pairs(CUTOFF, output_type="ndarray")


class Graphein:
    """A process that builds one graph for each line that it is sent, and answers by its milliseconds."""

    CODE = """
import sys, time
from functools import partial
from graphein.protein.config import ProteinGraphConfig
from graphein.protein.edges.distance import add_distance_threshold, add_peptide_bonds
from graphein.protein.graphs import construct_graph
near = partial(add_distance_threshold, long_interaction_threshold=0, threshold=8.0)
config = ProteinGraphConfig(edge_construction_functions=[add_peptide_bonds, near])
for line in sys.stdin:
    start = time.process_time()
    construct_graph(config=config, path=line.strip(), verbose=False)
    print("ms", 1e3 * (time.process_time() - start), flush=True)
"""

    def __init__(self, python: str) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen([python, "-c", self.CODE], text=True, **pipes)

    def milliseconds(self, path: Path) -> float:
        """Return the time of the processor that one graph took."""
        print(path, file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("ms "):
                return float(line.split()[1])
        raise RuntimeError("graphein ended; import it by its own python to see why.")


PEERS = (
    Peer("Biotite: read, contacts", biotite, "3"),
    Peer("Biotite: also torsions, P-SEA, surface", partial(biotite, features=True)),
    Peer("Biopython: read, contacts", biopython),
)


def unpacked(path: Path, folder: Path) -> Path:
    """Return the file without compression, since peers read it faster so."""
    if path.suffix != ".gz":
        return path
    import gzip

    target = folder / path.stem
    target.write_bytes(gzip.decompress(path.read_bytes()))
    return target


def timed(function: Work, path: Path) -> float:
    start = time.process_time()
    function(path)
    return 1e3 * (time.process_time() - start)


def compare(path: Path, repeats: int, table: Table) -> None:
    residues = len(read_residues(path)[0])
    rows = [("all features", residue_graph, peer) for peer in PEERS]
    for what, ours, peer in [*rows, ("read, contacts", bare_ours, PEERS[0])]:
        name = f"{path.name[:4]}, {residues} residues: {what}"
        try:
            peer.work(path)
        except ImportError as error:
            table.add_row(name, peer.name, "", "", f"no {error.name}", peer.goal)
            continue
        ours(path)
        pairs = [(timed(ours, path), timed(peer.work, path)) for _ in range(repeats)]
        a, b = (statistics.median(column) for column in zip(*pairs))
        ratio = statistics.median(y / x for x, y in pairs)
        table.add_row(name, peer.name, f"{a:.1f}", f"{b:.1f}", f"{ratio:.1f}", peer.goal)


def compare_graphein(path: Path, repeats: int, peer: Graphein, table: Table) -> None:
    peer.milliseconds(path)
    residue_graph(path)
    pairs = [(timed(residue_graph, path), peer.milliseconds(path)) for _ in range(max(3, repeats // 3))]
    a, b = (statistics.median(column) for column in zip(*pairs))
    ratio = statistics.median(y / x for x, y in pairs)
    residues = len(read_residues(path)[0])
    name = f"{path.name[:4]}, {residues} residues: all features"
    table.add_row(name, "graphein: read, contacts", f"{a:.1f}", f"{b:.1f}", f"{ratio:.1f}", "10")


def large(folder: Path, console: Console) -> None:
    """Ten thousand residues and more: copies of the largest shipped structure, far apart, in one file."""
    import gemmi

    structure = gemmi.read_structure(str(STRUCTURES / FILES[1]))
    structure.setup_entities()
    first = [chain.clone() for chain in structure[0]]
    copies = -(-ROWS // structure[0].count_atom_sites())
    for copy in range(1, copies):
        for chain in first:
            other = chain.clone()
            other.name = f"{chain.name}{copy}"
            for residue in other:
                residue.subchain += str(copy)
                for atom in residue:
                    atom.pos += gemmi.Position(1000.0 * copy, 0, 0)
            structure[0].add_chain(other)
    path = folder / "large.cif"
    structure.make_mmcif_document().write_file(str(path))
    seconds = timed(residue_graph, path) / 1e3
    graph = residue_graph(path)
    console.print(f"{graph.num_nodes} residues, {graph.num_edges} edges from mmCIF: {seconds:.2f} s")
    for source in (STRUCTURES / FILES[1], path):
        (residues,) = read_residues(source)
        tracemalloc.start()
        built = residue_graph(residues)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        each = peak / built.num_edges / 1e3
        console.print(f"  {built.num_edges} edges: peak {peak / 1e6:.0f} MB, {each:.2f} kB an edge")


def main() -> None:
    options = dict(a.split("=", 1) for a in sys.argv[1:] if "=" in a)
    arguments = [a for a in sys.argv[1:] if "=" not in a]
    repeats = int(options.get("repeats", 15))
    peer = Graphein(options["graphein"]) if "graphein" in options else None
    torch.set_num_threads(1)
    console = Console(width=140)
    table = Table("sciml", "peer", "ms", "peer's ms", "times faster", "goal")
    with tempfile.TemporaryDirectory() as name:
        for path in [Path(a) for a in arguments] or [STRUCTURES / f for f in FILES]:
            file = unpacked(path, Path(name))
            compare(file, repeats, table)
            if peer:
                compare_graphein(file, repeats, peer, table)
        console.print(table)
        large(Path(name), console)


if __name__ == "__main__":
    main()
