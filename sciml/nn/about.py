"""What a layer says of itself, for the gallery of layers in the docs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """A layer in a few words; its group is in its ``symmetry``.

    Attributes:
        domain: what its nodes are, as ``grids`` or ``points in space``.
        content: what a message carries of what is *at* a node.
        geometry: what a message knows of *where* nodes stand.
        equation: the layer in LaTeX.
        cost: how many multiplications it takes, in words.
        fused: the fast path beside the edge form; empty where there is none.
        source: the paper, with its arXiv number or doi, and the number of the equation.
    """

    domain: str
    content: str
    geometry: str
    equation: str
    cost: str
    fused: str = ""
    source: str = ""
