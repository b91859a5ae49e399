"""Contact maps with some contacts hidden, and coordinates with noise: what is drawn anew for each batch."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import cKDTree

from sciml.builders.residue import AMINO
from sciml.builders.residue.geometry import frames_of_three
from sciml.graph import Graph, Place, Spec, batch

FAR = 6  # places along the chain from which on a contact is one of the fold, and may be hidden
PAIR = (
    *("log separation", "common neighbours", "contacts of both"),
    *("one step aside", "parallel", "antiparallel", "parallel, two steps", "antiparallel, two steps"),
    *("window of 5", "window of 9"),
)
"""What a pair of residues is told by the contacts that are not hidden, in the order of ``edges["pair"]``."""


def hide_contacts(graph: Graph, share: float = 0.5, seed: int = 0, negatives: float | None = None) -> Graph:
    """Hide contacts of each structure, and ask for them among pairs of residues that are not in contact.

    Contacts of residues of one chain at least `FAR` places apart may be hidden. Candidates are these and the
    pairs of the same kind that touch nowhere; each stands in the graph once, as an edge.

    Args:
        graph: by ``residue_graph(..., contact="cb", cutoff=8.0)``.
        share: of contacts that are hidden.
        seed: of the draw.
        negatives: candidates without contact for each hidden contact; all if None.

    Returns:
        A graph whose edges have ``observed``, ``candidate``, ``pair`` (edges features; see `PAIR`) and
        ``label`` (whether a candidate is a contact), beside ``kind``, ``same_chain`` and ``separation``.
        Of edges that are shown, ``kind`` is as it was; of candidates it is False throughout.
    """
    rng = np.random.default_rng(seed)
    return batch([_hide(one, share, negatives, rng) for one in graph])


def pair_features(
    contact: Bool[np.ndarray, "n n"],
    separation: Int[np.ndarray, "n n"],
    i: Int[np.ndarray, "pairs"],
    j: Int[np.ndarray, "pairs"],
) -> Float[np.ndarray, "pairs features"]:
    """Return what shown contacts say of pairs, the same for (i, j) and (j, i); see `PAIR`.

    Residues aside are those next in the chain; counts are taken to their square root, which makes the
    spread of counts the same everywhere.
    """
    known = contact.astype(np.float32)
    padded = np.pad(known, 4)
    at = lambda a, b: padded[i + 4 + a, j + 4 + b]
    window = lambda r: sum(at(a, b) for a in range(-r, r + 1) for b in range(-r, r + 1))
    degree = known.sum(1)
    counts = [
        (known @ known)[i, j],
        degree[i] * degree[j] / 16.0,
        at(1, 0) + at(-1, 0) + at(0, 1) + at(0, -1),
        at(1, 1) + at(-1, -1),
        at(1, -1) + at(-1, 1),
        at(2, 2) + at(-2, -2),
        at(2, -2) + at(-2, 2),
        window(2),
        window(4),
    ]
    distant = np.log(np.maximum(np.abs(separation[i, j]), 1))
    return np.concatenate([distant[:, None], np.sqrt(np.stack(counts, axis=1))], axis=1, dtype=np.float32)


def shaken(graph: Graph, noise: float, seed: int = 0, cutoff: float = 10.0) -> Graph:
    """Add Gaussian noise of this standard deviation in Å to each coordinate, and find the edges anew.

    Contacts are those of the noisy positions: the clean ones would tell where residues were. Edges along
    the chain stay; frames are those of the noisy trace. ``nodes["target"]`` becomes the vector back to where
    each residue was.
    """
    rng = np.random.default_rng(seed)
    return batch([_shaken(one, noise, rng, cutoff) for one in graph])


# -------------------------------------------------------------------- details


def _hide(graph: Graph, share: float, negatives: float | None, rng: np.random.Generator) -> Graph:
    n = graph.num_nodes
    chain, place = graph.nodes["chain"].numpy(), graph.nodes["place"].numpy()
    amino = graph.nodes["type"].numpy() < len(AMINO)
    sender, receiver = graph.edge_index.numpy()
    touch = graph.edges["kind"][:, 0].numpy()
    contact = np.zeros((n, n), dtype=bool)
    contact[sender[touch], receiver[touch]] = True
    separation = np.where(chain[:, None] == chain, place - place[:, None], 0)  # sender (row) to receiver
    i, j = np.nonzero(np.triu(np.abs(separation) >= FAR, 1) & (amino[:, None] & amino))
    together = contact[i, j]
    hidden = np.flatnonzero(together)
    hidden = np.sort(rng.permutation(hidden)[: round(share * len(hidden))])
    apart = np.flatnonzero(~together)
    if negatives is not None:
        apart = np.sort(rng.permutation(apart)[: round(negatives * max(len(hidden), 1))])
    contact[i[hidden], j[hidden]] = contact[j[hidden], i[hidden]] = False
    asked = np.concatenate([hidden, apart])
    i, j = i[asked], j[asked]
    sequence = graph.edges["kind"][:, 2].numpy()
    stays = contact[sender, receiver] | sequence
    kind = graph.edges["kind"][torch.from_numpy(stays)].clone()
    kind[:, 0] = torch.from_numpy(contact[sender, receiver][stays])
    shown, count = int(stays.sum()), len(i)
    ends = np.concatenate([[sender[stays], receiver[stays]], [i, j]], axis=1)
    features = pair_features(contact, separation, i, j)
    flags = np.arange(shown + count) >= shown
    edges = {
        "kind": torch.cat([kind, torch.zeros(count, 3, dtype=torch.bool)]),
        "same_chain": torch.from_numpy(chain[ends[0]] == chain[ends[1]]),
        "separation": torch.from_numpy(separation[ends[0], ends[1]]),
        "observed": torch.from_numpy(~flags),
        "candidate": torch.from_numpy(flags),
        "pair": torch.from_numpy(np.concatenate([np.zeros((shown, len(PAIR)), np.float32), features])),
        "label": torch.from_numpy(np.concatenate([np.zeros(shown, bool), np.arange(count) < len(hidden)])),
    }
    nodes = {name: graph.nodes[name] for name in ("type", "chain", "place")}
    types: dict[tuple[Place, str], Spec] = {("nodes", "type"): graph.spec("nodes", "type")}
    return Graph.create(torch.from_numpy(ends), nodes, edges, specs=types)


def _shaken(graph: Graph, noise: float, rng: np.random.Generator, cutoff: float) -> Graph:
    clean = graph.nodes["pos"]
    shift = torch.from_numpy(rng.normal(0.0, noise, clean.shape)).to(clean.dtype)
    pos = clean + shift
    pairs = cKDTree(pos.numpy()).query_pairs(cutoff, output_type="ndarray")
    sequence = graph.edges["kind"][:, 2].numpy()
    n = graph.num_nodes
    code = lambda a, b: a.astype(np.int64) * n + b
    near = np.concatenate([code(*pairs.T), code(*pairs.T[::-1])])
    sender, receiver = graph.edge_index.numpy()
    along = code(sender[sequence], receiver[sequence])
    both = np.union1d(near, along)
    kind = np.stack([np.isin(both, near), np.zeros(len(both), bool), np.isin(both, along)], axis=1)
    i, j = np.divmod(both, max(n, 1))
    chain, place = graph.nodes["chain"].numpy(), graph.nodes["place"].numpy()
    same = chain[i] == chain[j]
    edges = {
        "kind": torch.from_numpy(kind),
        "same_chain": torch.from_numpy(same),
        "separation": torch.from_numpy(np.where(same, place[j] - place[i], 0)),
    }
    frame = _trace_frames(pos.numpy(), i, j, kind[:, 2] & same & (place[j] - place[i] == 1))
    nodes = {name: graph.nodes[name] for name in ("type", "chain", "place", "target_mask")}
    nodes |= {"pos": pos, "target": -shift, "frame": torch.from_numpy(frame).to(pos.dtype)}
    nodes["frame_mask"] = (nodes["frame"] != 0).any(1)
    specs: dict[tuple[Place, str], Spec] = {
        ("nodes", "type"): graph.spec("nodes", "type"),
        ("nodes", "target"): Spec("1o", "angstrom"),
        ("nodes", "pos"): graph.spec("nodes", "pos"),
        ("nodes", "frame"): graph.spec("nodes", "frame"),
    }
    return Graph.create(torch.from_numpy(np.stack([i, j])), nodes, edges, specs=specs)


def _trace_frames(
    pos: Float[np.ndarray, "n 3"],
    sender: Int[np.ndarray, "edges"],
    receiver: Int[np.ndarray, "edges"],
    bond: Bool[np.ndarray, "edges"],
) -> Float[np.ndarray, "n 9"]:
    """Frames of three CA in a row, as ``residue_graph(..., frame="trace")`` makes them."""
    before, after = np.full((2, len(pos)), -1)
    before[receiver[bond]], after[sender[bond]] = sender[bond], receiver[bond]
    rows = np.flatnonzero((before >= 0) & (after >= 0))
    result = np.zeros((len(pos), 9))
    result[rows] = frames_of_three(pos[before[rows]], pos[rows], pos[after[rows]]).reshape(-1, 9)
    return result
