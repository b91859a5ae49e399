"""The Transformer on molecules: what it can tell apart, and that pairs need not be found out twice."""

import pytest
import torch

from sciml.builders import molecule_graph
from sciml.models import GIN, MoleculeTransformer, PropertyPredictor
from sciml.training.run import build

# Every atom of a ring of six, and of two rings of three, has the same neighbours however far one asks: rounds
# of messages cannot tell them apart, distances and walks can.
ALIKE = ["C1CCCCC1", "C1CC1.C1CC1"]


def vectors(model, smiles=ALIKE):
    torch.manual_seed(0)
    return model().double().eval()(molecule_graph(smiles)).globals["x"]


def test_distances_tell_apart_what_messages_cannot():
    messages = vectors(lambda: GIN(16, steps=6))
    attention = vectors(lambda: MoleculeTransformer(16, steps=1, heads=2))
    torch.testing.assert_close(messages[0], messages[1])
    assert (attention[0] - attention[1]).abs().max() > 1e-3


def test_pairs_know_hops_bonds_and_walks():
    pairs = MoleculeTransformer.prepare(molecule_graph(["CCO", "[Na+].[Cl-]"]))
    assert pairs.edge_counts.tolist() == [9, 4]
    hops = pairs.edges["hops"]
    assert hops[:9].reshape(3, 3).tolist() == [[0, 1, 2], [1, 0, 1], [2, 1, 0]]
    assert hops[9:].reshape(2, 2).tolist() == [[0, 9], [9, 0]]  # no path
    assert (pairs.edges["e"].any(1) == (hops == 1)).all()
    torch.testing.assert_close(pairs.nodes["walks"][0, :4], torch.tensor([0.0, 0.5, 0.0, 0.5]))
    assert MoleculeTransformer.prepare(pairs) is pairs


def test_members_share_pairs_and_say_what_each_would_alone():
    graph = molecule_graph(["CCO", "c1ccccc1", "C"])
    model = PropertyPredictor(["y"], encoder="transformer", channels=16, members=2).eval()
    found = model(graph).globals["predicted"]
    for i, member in enumerate(model.members):
        torch.testing.assert_close(member(graph, None), found[:, i])
    with pytest.raises(ValueError, match="heads"):
        PropertyPredictor(["y"], encoder="transformer", channels=12)


def test_it_is_a_choice_of_the_commands():
    from common import _compose
    from omegaconf import open_dict

    config = _compose("config", ["experiment=molecules", "model=graph_transformer"])
    with open_dict(config):
        config.model.targets = ["y"]
    model = build(config.model, "model")
    assert isinstance(model.members[0].encoder, MoleculeTransformer)
