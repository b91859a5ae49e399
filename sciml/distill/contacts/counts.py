"""How often do residues of each pair of types touch, and how often could they?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from sciml.builders.residue.chemistry import AMINO
from sciml.graph import Graph

TYPES = len(AMINO)
FIRST, SECOND = np.triu_indices(TYPES)  # the 210 pairs of types
PAIR = np.zeros((TYPES, TYPES), dtype=np.int64)
PAIR[FIRST, SECOND] = PAIR[SECOND, FIRST] = np.arange(len(FIRST))
# First separation of each stratum: near ones one by one, since helices and turns make their contacts.
SEPARATIONS = (3, 4, 5, 7, 11, 21, 41)
FEWEST = 2000  # contacts; with fewer, a pair of types has not ten of them


class TooFewContactsError(ValueError):
    """The structures hold too few contacts for 210 pairs of types; the message says how many there are."""


@dataclass(frozen=True)
class ContactCounts:
    """Contacts in strata: one for each structure and class of separation along the chain.

    Attributes:
        observed: (strata, 210) contacts of each pair of types.
        possible: (strata, 210) pairs of residues of these types and this separation, touching or not.
        structure: (strata,) number of the structure.
        family: (structures,) number of its family.
        weight: (structures,) of each; the structures of a family weigh one together.
    """

    observed: Float[np.ndarray, "strata 210"]
    possible: Float[np.ndarray, "strata 210"]
    structure: Int[np.ndarray, "strata"]
    family: Int[np.ndarray, "structures"]
    weight: Float[np.ndarray, "structures"]

    @property
    def contacts(self) -> int:
        """All contacts, unweighted."""
        return int(self.observed.sum())

    def weighted(
        self, weight: Float[np.ndarray, "structures"] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return observed and possible numbers under the structures' weights (their own if None)."""
        factor = (self.weight if weight is None else weight)[self.structure][:, None]
        return factor * self.observed, factor * self.possible


def count_contacts(
    graphs: Graph, family: Int[np.ndarray, "structures"] | None = None, fewest: int = FEWEST
) -> ContactCounts:
    """Count contacts of amino acids of one chain, at least three places apart.

    Contacts between chains are left out: whether two chains meet is not a matter of single residues.

    Args:
        graphs: residue graphs with edges by contact, as ``residue_graph(..., contact="centroid",
            cutoff=6.5)``; edges of other kinds are not looked at.
        family: number of the family of each structure; all different if None.
        fewest: contacts that there must be.

    Raises:
        TooFewContactsError: there are fewer.
    """
    family = np.arange(len(graphs)) if family is None else np.asarray(family)
    rows, bins = len(graphs), len(SEPARATIONS)
    observed, possible = np.zeros((2, rows * bins, len(FIRST)))
    for number, graph in enumerate(graphs):
        touching, all_pairs = _of_structure(graph)
        observed[number * bins : (number + 1) * bins] = touching
        possible[number * bins : (number + 1) * bins] = all_pairs
    if observed.sum() < fewest:
        raise TooFewContactsError(
            f"{rows} structures hold {int(observed.sum())} contacts of amino acids at least {SEPARATIONS[0]} "
            f"places apart in one chain; {len(FIRST)} pairs of types need at least {fewest}. Add structures."
        )
    structure = np.repeat(np.arange(rows), bins)
    filled = possible.sum(1) > 0
    weight = 1.0 / np.bincount(family)[family]
    return ContactCounts(observed[filled], possible[filled], structure[filled], family, weight)


# -------------------------------------------------------------------- details


def _of_structure(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    nodes = {name: graph.nodes[name].numpy() for name in ("type", "chain", "place")}
    amino = nodes["type"] < TYPES
    sender, receiver = graph.edge_index.numpy()
    contact = graph.edges["kind"][:, 0].numpy() & (sender < receiver)
    i, j = sender[contact], receiver[contact]
    touching = _table(nodes, amino, i, j)
    total = np.zeros_like(touching)
    for chain in np.unique(nodes["chain"][amino]):
        rows = np.flatnonzero(amino & (nodes["chain"] == chain))
        a, b = np.triu_indices(len(rows), 1)
        total += _table(nodes, amino, rows[a], rows[b])
    return touching, total


def _table(nodes: dict[str, np.ndarray], amino: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Count pairs by stratum of separation and by types."""
    separation = np.abs(nodes["place"][i] - nodes["place"][j])
    same = (nodes["chain"][i] == nodes["chain"][j]) & amino[i] & amino[j] & (separation >= SEPARATIONS[0])
    i, j, separation = i[same], j[same], separation[same]
    stratum = np.searchsorted(SEPARATIONS, separation, side="right") - 1
    code = stratum * len(FIRST) + PAIR[nodes["type"][i], nodes["type"][j]]
    return np.bincount(code, minlength=len(SEPARATIONS) * len(FIRST)).reshape(len(SEPARATIONS), len(FIRST))
