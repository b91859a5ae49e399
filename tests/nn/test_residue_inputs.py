import pytest
import torch
from cases.residue import EVERYTHING, RESIDUES, residues

from sciml.builders.residue import TYPES
from sciml.nn.residue import ResidueInputs


def made(*args, **options):
    torch.manual_seed(0)
    return ResidueInputs(*args, **options).double().eval()


@pytest.mark.parametrize("inputs", [(), ("place",), ("place", "frame"), ("torsion",), EVERYTHING])
def test_inputs_read_what_they_say(inputs):
    """Fields that are not named may be anything, or not there at all."""
    layer = made(inputs, 6, 3, 5, types=len(TYPES))
    expected = layer(RESIDUES)
    bare = RESIDUES
    for place in ("nodes", "edges"):
        unread = set(getattr(RESIDUES, place)) - {n for p, n in layer.reads if p == place}
        bare = bare.without(place, *unread)
    got = layer(bare)
    for place, name in (("nodes", "x"), ("nodes", "v"), ("edges", "e"), ("edges", "relation")):
        assert torch.equal(getattr(got, place)[name], getattr(expected, place)[name])
    for place, name in layer.reads:
        with pytest.raises((ValueError, KeyError), match=name):
            layer(bare.without(place, name))


def test_far_residues_and_other_chains_have_classes_of_their_own():
    graph = residues(6)
    layer = made(("place",), 6, 3, 5, types=len(TYPES))
    edges = graph.edges | {"same_chain": torch.ones_like(graph.edges["same_chain"])}
    far, farther = (
        graph.with_edges(None, **edges | {"separation": torch.full_like(edges["separation"], n)})
        for n in (40, 400)
    )
    assert torch.equal(layer(far).edges["e"], layer(farther).edges["e"])
    apart = far.with_edges(None, same_chain=torch.zeros_like(edges["same_chain"]))
    assert not torch.equal(layer(far).edges["e"], layer(apart).edges["e"])


def test_unknown_inputs():
    with pytest.raises(ValueError, match="did you mean 'torsion'"):
        ResidueInputs(("torsions",), types=33)
    with pytest.raises(TypeError, match="not a string"):
        ResidueInputs("type", types=33)
