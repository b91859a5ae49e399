"""Draw docs/images/residues.png: python docs/residues.py."""

from pathlib import Path

from matplotlib.figure import Figure

from sciml import plotting
from sciml.builders import residue_graph

docs = Path(__file__).parent
entries = docs.parent / "data" / "structures" / "entries"
trypsin, complex_ = residue_graph(entries / "1gbt.cif.gz"), residue_graph(entries / "3mht.pdb.gz")
figure = Figure(figsize=(15, 5.2), layout="constrained")
left, middle, right = figure.subplots(1, 3)
plotting.contact_map(trypsin, left)
plotting.trace(complex_, "chain", middle)
plotting.network(trypsin, "exposure", right)
middle.set_title("A methyltransferase on its DNA (3MHT)", fontsize=10)
right.set_title("Trypsin (1GBT): how exposed its residues are; left, their contacts", fontsize=10)
path = docs / "images" / "residues.png"
figure.savefig(path, dpi=100)
print(path)
