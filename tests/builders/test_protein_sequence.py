"""Sequences to graphs: every residue in order, and each hears its window."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._pytree import tree_leaves

from sciml.builders import grid_graph, protein_sequence_graph
from sciml.builders.protein_sequence import RESIDUES, SequenceError
from sciml.graph import Chain, batch, unbatch

words = st.lists(st.text(RESIDUES, min_size=1, max_size=9), min_size=1, max_size=4)


@given(words, st.sampled_from([None, 1, 2, 3, 5]))
def test_a_batch_is_its_sequences(texts, kernel):
    graph = protein_sequence_graph(texts, kernel=kernel)
    assert ["".join(RESIDUES[i] for i in g.nodes["residue"]) for g in graph] == texts
    singles = [protein_sequence_graph(text, kernel=kernel) for text in texts]
    joined = batch(singles)
    assert joined.layout == graph.layout
    assert all(torch.equal(a, b) for a, b in zip(tree_leaves(graph), tree_leaves(joined), strict=True))
    parts = unbatch(graph)
    assert all(
        torch.equal(a, b) for p, s in zip(parts, singles) for a, b in zip(tree_leaves(p), tree_leaves(s))
    )
    chosen = graph[torch.arange(len(texts)).flip(0)]
    assert chosen.layout == graph.layout


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_windows_are_those_of_a_bounded_grid(kernel):
    chain, grid = (
        protein_sequence_graph("ACDEFG", kernel=kernel),
        grid_graph(torch.zeros(1, 1, 6), kernel=kernel),
    )
    assert chain.edge_index.equal(grid.edge_index)
    assert chain.edges["offset"].equal(grid.edges["offset"])
    assert chain.layout.offsets == tuple(o for (o,) in grid.layout.offsets)


def test_letters_of_the_code_are_known_and_others_are_named():
    graph = protein_sequence_graph([" acd\nE", "UOBZJX"])
    letters = ["".join(RESIDUES[i] for i in g.nodes["residue"]) for g in graph]
    assert letters == ["ACDE", "CKXXXX"]
    with pytest.raises(SequenceError, match=r"row 1: '1' at place 3 .* \(2 such"):
        protein_sequence_graph(["ACD", "AC1D-"])
    with pytest.raises(SequenceError, match=r"row 0: 'é' at place 1"):
        protein_sequence_graph("éA")
    with pytest.raises(SequenceError, match=r"row 1: the sequence is empty"):
        protein_sequence_graph(["A", " "])
    with pytest.raises(SequenceError, match=r"row 0: expected a sequence of letters, not float"):
        protein_sequence_graph([float("nan")])
    with pytest.raises(SequenceError, match="No sequences"):
        protein_sequence_graph([])
    with pytest.raises(ValueError, match="kernel=0"):
        protein_sequence_graph("A", kernel=0)


def test_the_layout_is_lost_where_nodes_are_renumbered():
    graph = protein_sequence_graph("ACD", kernel=3)
    assert graph.layout == Chain((-1, 0, 1))
    assert graph.replace(edge_index=graph.edge_index.flip(1)).layout is None
