"""Write docs/gallery.md, every layer on one page, from the layers themselves: python docs/gallery.py."""

import sys
from pathlib import Path

from torch import nn

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from cases import CASES

from sciml.nn import About

HEAD = """# Gallery of layers

<!-- made by docs/gallery.py from the layers themselves; change them, not this page -->

Every layer is one operation,

$$x_i' = \\mathrm{update}\\Big(x_i,\\ \\underset{j}{\\mathrm{aggregate}}\\ \\
\\mathrm{weight}(x_i, x_j, \\mathrm{geometry}_{ij}) \\cdot
\\mathrm{message}(x_j, \\mathrm{geometry}_{ij})\\Big),$$

over another domain. It splits what is at a node (content) from where the node stands (geometry), and owes its
power to a group under which it is equivariant. For each layer below, the tests check on an example that the
group holds, that something outside the group breaks it, that the fast path equals the edge form in value and
gradient, and that a batch equals its graphs one by one; `sciml.symmetry.check(layer, graph)` prints the same
for a layer of your own ([symmetry.md](symmetry.md)). How fast the fast paths are beside their peers,
`scripts/bench_layers.py` says.
"""


def layers() -> dict[type[nn.Module], list[str]]:
    """Return every layer of the contract's list with the groups that its examples declare."""
    found: dict[type[nn.Module], list[str]] = {}
    for case in CASES:
        model = case.model()
        if type(model).__module__.startswith("sciml.nn"):
            groups = " × ".join(group.name for group in model.symmetry.resolved)
            found.setdefault(type(model), []).append(groups)
    return found


def page() -> str:
    """Return the page."""
    shelves: dict[str, list[str]] = {}
    for layer, groups in layers().items():
        shelves.setdefault(layer.__module__.split(".")[2], []).append(entry(layer, groups))
    return HEAD + "".join(f"\n## {NAMES.get(s, s)}\n" + "".join(entries) for s, entries in shelves.items())


def entry(layer: type[nn.Module], groups: list[str]) -> str:
    """Return what is said of one layer."""
    about: About = layer.about
    rows = {
        "domain": about.domain,
        "group": "; ".join(dict.fromkeys(groups)),
        "content": about.content,
        "geometry": about.geometry,
        "cost": about.cost,
        "fast path": about.fused or "–",
        "source": about.source,
    }
    table = "".join(f"| {name} | {cell(value)} |\n" for name, value in rows.items() if value)
    first = (layer.__doc__ or "").split("\n\n")[0].replace("\n    ", " ").strip()
    return f"\n### {layer.__name__}\n\n{first}\n\n$${about.equation}$$\n\n| | |\n|---|---|\n{table}"


def cell(text: str) -> str:
    """Keep bars from ending a cell of a table."""
    return text.replace("|", "\\|")


# Folders and files of sciml/nn, as headings.
NAMES = {
    "interaction": "Particles",
    "edge_mlp": "Any graph",
    "equivariant": "Tensors at atoms",
    "normalized_sum": "Neighbours",
    "embedding": "Labels",
    "edge_readout": "Edges",
    "chain": "Sequences",
    "convolution": "Grids",
    "groups": "Groups of turns and mirrors",
    "attention": "Attention",
    "residue": "Residues",
    "spectral": "Spectra of graphs",
    "scattering": "Wavelets and scattering",
}


if __name__ == "__main__":
    path = Path(__file__).with_name("gallery.md")
    path.write_text(page(), encoding="utf-8")
    print(path)
