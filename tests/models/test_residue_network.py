import copy
import io
import math

import pytest
import torch
from cases.residue import EVERYTHING, RESIDUES, residues

from sciml.builders import residue_graph, residue_pairs
from sciml.builders.residue import TYPES, read_residues
from sciml.graph import Complete, Graph, Spec, batch
from sciml.models import ResidueNetwork
from sciml.symmetry import check

UBIQUITIN = "data/structures/entries/1ubi.pdb.gz"
SMALL = {"channels": 16, "vectors": 4, "edge_channels": 8, "layers": 2}
KINDS = ("gvp", "ipa", "relational")


def made(*args, dtype=torch.float64, **options):
    torch.manual_seed(0)
    return ResidueNetwork(*args, **SMALL | options).to(dtype).eval()


def mirrored(graph):
    """The graph of the mirror image: e3 of a frame is e1 × e2 again, and torsions turn the other way."""
    mirror = torch.tensor([-1.0, 1.0, 1.0], dtype=graph.nodes["pos"].dtype)
    frame = graph.nodes["frame"].unflatten(1, (3, 3)) * mirror
    frame = torch.cat([frame[:, :2], -frame[:, 2:]], dim=1)
    nodes = {name: graph.nodes[name] * mirror for name in ("pos", "cb")}
    return graph.with_nodes(None, **nodes, frame=frame.flatten(1), torsion=-graph.nodes["torsion"])


def helix(turn, n=12):
    """CA trace of a helix, right- or left-handed (``turn`` ±1): radius 2.3 Å, 1.5 Å and 100° a residue."""
    angle = turn * math.radians(100) * torch.arange(n, dtype=torch.float64)
    pos = torch.stack([2.3 * angle.cos(), 2.3 * angle.sin(), 1.5 * torch.arange(n)], dim=1)
    i = torch.arange(n)
    near = ((i[:, None] - i).abs() <= 4) & (i[:, None] != i)
    sender, receiver = near.nonzero().T
    step = receiver - sender
    edges = {
        "kind": torch.stack([step == step, step != step, step.abs() == 1], dim=1),
        "same_chain": step == step,
        "separation": step,
    }
    return Graph.create(torch.stack([sender, receiver]), {"pos": pos}, edges)


# ---------------------------------------------------------------- real structures


@pytest.mark.parametrize("kind", KINDS)
def test_one_line_on_a_structure(kind):
    graph = residue_graph(UBIQUITIN)
    result = ResidueNetwork({"secondary": 8, "exposure": 1}, graph_heads={"class": 4}, kind=kind)(graph)
    assert result.nodes["predicted_secondary"].shape == (76, 8)
    assert result.nodes["predicted_exposure"].shape == (76,)
    assert result.globals["predicted_class"].shape == (1, 4)
    assert result.nodes["predicted_secondary"].isfinite().all()
    assert result.nodes.keys() - graph.nodes.keys() == {"predicted_secondary", "predicted_exposure"}


@pytest.mark.parametrize("kind", KINDS)
def test_ligands_ions_and_nucleotides_are_residues_too(kind):
    graph = residue_graph("data/structures/entries/3mht.pdb.gz", ligands="keep")
    assert not graph.nodes["frame_mask"].all()
    result = made({"exposure": 1}, kind=kind, dtype=torch.float32)(graph)
    assert result.nodes["predicted_exposure"].isfinite().all()


def test_turned_structures_and_permuted_chains():
    graph = residue_graph(UBIQUITIN, dtype=torch.float64)
    for kind in KINDS:
        check(made({"exposure": 1}, kind=kind), graph, samples=1).raise_if_failed()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_symmetry_of_a_network_on_ca_traces(dtype):
    check(made({"exposure": 1}, inputs=("place",), dtype=dtype), residues(9).to(dtype)).raise_if_failed()


def test_a_trace_of_ca_has_frames_of_its_own():
    graph = residue_graph("data/structures/entries/1lzh.pdb.gz", frame="trace")
    assert graph.nodes["frame_mask"].float().mean() > 0.95
    result = made({"x": 3}, kind="ipa", inputs=("place", "frame"), dtype=torch.float32)(graph)
    assert result.nodes["predicted_x"].isfinite().all()


# ------------------------------------------------------------- what is not read


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inputs", [("place", "frame"), ("place", "type", "frame"), EVERYTHING])
def test_what_is_not_an_input_changes_nothing(kind, inputs):
    """Every field that is not read, drawn anew (numbers not even finite), leaves every output as it was."""
    model = made({"answer": 3}, kind=kind, inputs=inputs)
    expected = model(RESIDUES).nodes["predicted_answer"]
    changed = RESIDUES
    for place in ("nodes", "edges"):
        for name, value in getattr(RESIDUES, place).items():
            if (place, name) in model.reads:
                continue
            other = torch.full_like(value, math.nan) if value.is_floating_point() else value.flip(0)
            changed = getattr(changed, f"with_{place}")(None, **{name: other})
    assert torch.equal(model(changed).nodes["predicted_answer"], expected)


def test_the_answers_are_not_among_the_inputs_of_the_trace():
    reads = made({"secondary": 8}, inputs=("place",)).reads
    assert reads == {
        ("nodes", "pos"),
        ("edges", "kind"),
        ("edges", "separation"),
        ("edges", "same_chain"),
    }
    folding = made({"type": len(TYPES)}, inputs=("place", "frame")).reads
    assert not {name for _, name in folding} & {"type", "name", "cb", "torsion", "exposure", "secondary"}


@pytest.mark.parametrize("name", ["type", "frame", "torsion", "secondary", "exposure", "cb"])
def test_every_input_makes_a_difference(name):
    model = made({"y": 1}, inputs=EVERYTHING)
    value = RESIDUES.nodes[name]
    other = value.flip(0) if value.is_floating_point() else (value + 1) % 9
    changed = model(RESIDUES.with_nodes(None, **{name: other})).nodes["predicted_y"]
    assert not torch.allclose(changed, model(RESIDUES).nodes["predicted_y"], rtol=1e-6)


# ------------------------------------------------------------------- handedness


@pytest.mark.parametrize(
    ("options", "chiral"),
    [
        ({"kind": "gvp"}, True),
        ({"kind": "gvp", "inputs": ("place",)}, True),
        ({"kind": "gvp", "inputs": EVERYTHING, "reflections": True}, False),
        ({"kind": "ipa"}, True),
        ({"kind": "relational"}, True),
        ({"kind": "relational", "reflections": True}, False),
        ({"kind": "relational", "inputs": ("place", "type")}, False),
    ],
)
def test_mirror_images(options, chiral):
    """Told apart exactly where SO(3) is declared; where O(3) is, equal to the last digit but rounding."""
    model = made({"y": 2}, **options)
    here, there = (model(g).nodes["predicted_y"] for g in (RESIDUES, mirrored(RESIDUES)))
    difference = float(((here - there).abs().max() / here.abs().max()).detach())
    assert ("SO" in model.symmetry.groups) == chiral
    assert difference > 1e-4 if chiral else difference < 1e-13


def test_left_and_right_helices_can_be_learned_from_ca_alone():
    """And cannot where mirror images are the same: the loss stays at log 2, that of a coin."""
    graph = batch([helix(1), helix(-1)])
    target = torch.tensor([0, 1])
    final = {}
    for reflections in (False, True):
        model = made(graph_heads={"hand": 2}, inputs=("place",), reflections=reflections).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(60):
            loss = torch.nn.functional.cross_entropy(model(graph).globals["predicted_hand"], target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        final[reflections] = float(loss.detach())
    assert final[False] < 0.2
    assert final[True] > math.log(2) - 1e-3


def test_the_direction_of_the_chain_is_known_with_place_only():
    """A straight trace read backwards is the same set of points."""
    line = helix(1)
    back = line.with_edges(None, separation=-line.edges["separation"])
    for inputs, same in ((("place",), False), ((), True)):
        model = made({"y": 1}, inputs=inputs)
        a, b = (model(g).nodes["predicted_y"] for g in (line, back))
        assert torch.allclose(a, b) == same


# ------------------------------------------------------------------------ pairs


def test_residue_pairs_are_tables_with_the_edges_of_the_graph():
    graph = residues(6, 4)
    pairs = residue_pairs(graph)
    assert isinstance(pairs.layout, Complete)
    assert pairs.edge_counts.tolist() == [36, 16]
    place, chain = graph.nodes["place"], graph.nodes["chain"]
    there = {(s, r): k for (s, r), k in zip(graph.edge_index.T.tolist(), graph.edges["kind"].tolist())}
    for e, (s, r) in enumerate(pairs.edge_index.T.tolist()):
        same = bool(chain[s] == chain[r])
        assert pairs.edges["kind"][e].tolist() == there.get((s, r), [False] * 3)
        assert bool(pairs.edges["same_chain"][e]) == same
        polymer = max(graph.nodes["type"][s], graph.nodes["type"][r]) < TYPES.index("ligand")
        assert pairs.edges["separation"][e] == (place[r] - place[s] if same and polymer else 0)
    for one, two in zip(pairs, [residue_pairs(g) for g in graph]):
        assert torch.equal(one.edge_index, two.edge_index)
        assert torch.equal(one.edges["kind"], two.edges["kind"])


def test_pairs_of_a_real_structure_agree_with_the_builder():
    graph = residue_graph(UBIQUITIN, cutoff=1e3)  # all pairs but those of a residue with itself
    pairs = residue_pairs(residue_graph(UBIQUITIN))
    apart = pairs.sender != pairs.receiver
    key = lambda g: g.receiver * g.num_nodes + g.sender
    order = key(graph).argsort()
    assert torch.equal(key(pairs)[apart], key(graph)[order])
    for name in ("separation", "same_chain"):
        assert torch.equal(pairs.edges[name][apart], graph.edges[name][order])


def test_pairs_need_a_residue_graph():
    with pytest.raises(ValueError, match=r"lacks nodes\.chain"):
        residue_pairs(RESIDUES.without("nodes", "chain"))


def test_third_residues_tell_of_pairs():
    """With a triangle update what is known of (i, k) and (j, k) reaches (i, j), without it cannot."""
    graph = residue_pairs(residues(6))
    for blocks, moved in ((0, False), (1, True)):
        model = made(edge_heads={"contact": 1}, inputs=("place",), layers=0, pair_blocks=blocks)
        kind = graph.edges["kind"].clone()
        kind[2] = ~kind[2]  # the pair (0, 2)
        before = model(graph).edges["predicted_contact"]
        after = model(graph.with_edges(None, kind=kind)).edges["predicted_contact"]
        changed = (before != after).reshape(6, 6)
        assert changed[0, 2]
        assert changed[0, 5] == moved  # they share residue 0
        assert changed[2, 5] == moved


# ------------------------------------------------------------------------ manners


def test_checkpoints_hold_plain_tensors():
    model = made({"y": 2}, vector_heads=("shift",))
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = made({"y": 2}, vector_heads=("shift",))
    for p in other.parameters():
        p.data.add_(1)
    other.load_state_dict(torch.load(file, weights_only=True))
    for twin in (other, copy.deepcopy(model)):
        assert torch.equal(twin(RESIDUES).nodes["predicted_y"], model(RESIDUES).nodes["predicted_y"])


def test_heads_may_be_called_as_fields_are():
    result = made({"type": 20, "pos": 1})(RESIDUES)
    assert result.nodes["predicted_type"].shape == (RESIDUES.num_nodes, 20)
    assert result.spec("nodes", "predicted_pos") == Spec("0e")
    assert torch.equal(result.nodes["pos"], RESIDUES.nodes["pos"])


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, "nothing to predict"),
        ({"heads": {"y": 0}}, "'y' has size 0"),
        ({"heads": {"y": 1}, "kind": "gnn"}, "choose from gvp, ipa, relational"),
        ({"heads": {"y": 1}, "inputs": ("plase",)}, "did you mean 'place'"),
        ({"heads": {"y": 1}, "kind": "ipa", "inputs": ("place",)}, "add 'frame'"),
        ({"heads": {"y": 1}, "kind": "ipa", "reflections": True}, "needs kind='gvp'"),
        ({"vector_heads": ("v",), "kind": "relational"}, "has no vectors"),
    ],
)
def test_options_that_cannot_be(options, error):
    with pytest.raises(ValueError, match=error):
        ResidueNetwork(**options)


def test_a_graph_that_lacks_an_input():
    with pytest.raises(ValueError, match=r"read nodes\.type, which the graph lacks"):
        made({"y": 1})(RESIDUES.without("nodes", "type"))


def test_one_residue():
    table = read_residues(UBIQUITIN)[0]
    graph = residue_graph(table, dtype=torch.float64)
    one = Graph.create(
        torch.zeros(2, 0),
        {name: value[:1] for name, value in graph.nodes.items()},
        {name: value[:0] for name, value in graph.edges.items()},
        graph.globals,
        specs=graph.specs,
    )
    for kind in KINDS:
        assert made({"y": 1}, kind=kind)(one).nodes["predicted_y"].isfinite().all()
