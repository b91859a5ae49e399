"""Directed edges that a network cannot tell apart, so that each kind is computed once.

In a batch of molecules most bonds look like another one as far as a few rounds of messages see: of the 3,900
directed bonds of 64 drug-like molecules 90 have different labels, and 530 different surroundings one bond
further. What a network of messages says of an edge follows from its surroundings alone; so it is computed for
one edge of each kind, and the same numbers come out. (This is colour refinement: Weisfeiler & Leman 1968; for
what networks see, Xu et al. 2019, arXiv 1810.00826.)

Surroundings are compared by sums of 64-bit hashes. Two that differ have the same sum with probability 2⁻⁶⁴; a
batch with a million edges meets such a pair once in ten million batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sciml.graph import Graph
from sciml.nn.directed_messages import reverse_edges
from sciml.nn.gather import Gathering


@dataclass(frozen=True)
class Kinds:
    """Rows by what they have in common.

    Attributes:
        of: the kind of each row, from 0.
        row: one row of each kind.
    """

    of: Int[Tensor, "rows"]
    row: Int[Tensor, "kinds"]

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True)
class Environments:
    """The kinds of a graph's atoms and directed edges.

    Attributes:
        atoms, bonds: by their labels.
        atom_labels, bond_labels: of each of these kinds, as columns of 0 and 1 in the order of the labels.
        edges: by the labels of their senders and their own, then by what they have heard after each step.
        steps: what the edges of each step hear of those of the step before: all that come into their sender,
            but the reverse edge.
        nodes: by their labels, and the edges of the last step that come in.
        last: what these hear.
    """

    atoms: Kinds
    bonds: Kinds
    atom_labels: Float[Tensor, "atoms values"]
    bond_labels: Float[Tensor, "bonds values"]
    edges: tuple[Kinds, ...]
    steps: tuple[Gathering, ...]
    nodes: Kinds
    last: Gathering


def environments(
    graph: Graph, atoms: Mapping[str, Sized], bonds: Mapping[str, Sized], steps: int
) -> Environments:
    """Sort a graph's directed edges and nodes by their surroundings.

    Args:
        graph: on the CPU: how many kinds there are must be known.
        atoms, bonds: names of the label fields at nodes and edges, and the values that each has.
        steps: rounds of messages.
    """
    pointer, (reverse, known) = graph.row_pointer, reverse_edges(graph)
    node, bond = _by_labels(graph.nodes, atoms), _by_labels(graph.edges, bonds)
    first = kinds(node.of.index_select(0, graph.sender) * max(len(bond), 1) + bond.of)
    own_hash = hashed = _hash(first.of)
    edges, heard = [first], []
    total = _sum(hashed, graph)
    for _ in range(steps):
        before = edges[-1]
        echo = hashed.index_select(0, reverse) * known
        now = kinds(own_hash + _hash(total.index_select(0, graph.sender) - echo))
        place, by = _incoming(pointer, graph.sender.index_select(0, now.row))
        own = reverse.index_select(0, now.row).index_select(0, by)
        other = (place != own) | ~known.index_select(0, now.row).index_select(0, by)
        sender = before.of.index_select(0, place[other])
        heard.append(Gathering.of(sender, by[other], len(before), len(now)))
        edges.append(now)
        hashed = _hash(now.of)
        total = _sum(hashed, graph)
    nodes = kinds(_hash(node.of) + _hash(total))
    place, by = _incoming(pointer, nodes.row)
    last = Gathering.of(edges[-1].of.index_select(0, place), by, len(edges[-1]), len(nodes))
    columns = _columns(graph.nodes, atoms, node), _columns(graph.edges, bonds, bond)
    return Environments(node, bond, *columns, tuple(edges), tuple(heard), nodes, last)


def kinds(key: Int[Tensor, "rows"]) -> Kinds:
    """Return the rows by their key."""
    values, of = torch.unique(key, return_inverse=True)
    row = torch.empty_like(values).scatter_(0, of, torch.arange(len(of), device=key.device))
    return Kinds(of, row)


# -------------------------------------------------------------------- details


def _by_labels(fields: Mapping[str, Tensor], labels: Mapping[str, Sized]) -> Kinds:
    """Return rows by all of their labels, read as the digits of one number."""
    key = torch.zeros_like(fields[next(iter(labels))])
    for name, values in labels.items():
        key = key * len(values) + fields[name]
    return kinds(key)


def _columns(
    fields: Mapping[str, Tensor], labels: Mapping[str, Sized], kinds: Kinds
) -> Float[Tensor, "kinds values"]:
    """Return the labels of each kind as columns of 0 and 1."""
    sizes = torch.tensor([len(values) for values in labels.values()], device=kinds.row.device)
    place = torch.stack([fields[name].index_select(0, kinds.row) for name in labels], dim=1)
    place = place + (sizes.cumsum(0) - sizes)
    empty = torch.zeros(len(kinds), sum(map(len, labels.values())), device=kinds.row.device)
    return empty.scatter_(1, place, 1.0)


def _sum(hashed: Int[Tensor, "edges"], graph: Graph) -> Int[Tensor, "nodes"]:
    """Return the sum of the hashes that come into each node."""
    return hashed.new_zeros(graph.num_nodes).index_add(0, graph.receiver, hashed)


def _incoming(
    pointer: Int[Tensor, "nodes+1"], nodes: Int[Tensor, "rows"]
) -> tuple[Int[Tensor, "pairs"], Int[Tensor, "pairs"]]:
    """Return the edges that come into each of these nodes, and which of the rows each belongs to."""
    start = pointer.index_select(0, nodes)
    count = pointer.index_select(0, nodes + 1) - start
    row = torch.repeat_interleave(torch.arange(len(nodes), device=nodes.device), count)
    moved = start - (count.cumsum(0) - count)
    return torch.arange(len(row), device=nodes.device) + moved.index_select(0, row), row


def _hash(value: Int[Tensor, "rows"]) -> Int[Tensor, "rows"]:
    """Scatter integers over 64 bits (splitmix64: Steele et al. 2014, doi 10.1145/2660193.2660195)."""
    value = (value + 1) * -7046029254386353131
    value = (value ^ _shifted(value, 30)) * -4658895280553007687
    value = (value ^ _shifted(value, 27)) * -7723592293110705685
    return value ^ _shifted(value, 31)


def _shifted(value: Int[Tensor, "rows"], bits: int) -> Int[Tensor, "rows"]:
    return (value >> bits) & ((1 << (64 - bits)) - 1)  # as if there were no sign
