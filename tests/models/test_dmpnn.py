"""D-MPNN and GIN against dense implementations written from the papers, and what they see of a molecule."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from sciml.builders import molecule_graph
from sciml.builders.molecule import ATOM, BOND, one_hot
from sciml.graph import Graph, Spec
from sciml.models import DMPNN, GIN
from sciml.nn import recording
from sciml.nn.directed_messages import reverse_edges
from sciml.nn.environments import environments

SMILES = ["OC(=O)c1ccccc1", "C", "CC#N", "[Na+].[Cl-]", "C1CC1C(F)Cl"]


def model(kind=DMPNN, **options):
    torch.manual_seed(0)
    return kind(**{"channels": 7} | options).double().eval()


def table(embedding):
    """The matrix that a sum of looked up rows is, on one-hot columns."""
    labels = BOND if embedding.place == "edges" else ATOM
    return torch.cat([embedding.tables[name] for name in labels])


def dense_dmpnn(net, smiles):
    """Equations 1 to 7 with an array over all ordered pairs of atoms: h[v, w] is of the bond from v to w."""
    mol = Chem.MolFromSmiles(smiles)
    graph = one_hot(molecule_graph(mol))
    n, channels = mol.GetNumAtoms(), net.channels
    x = graph.nodes["x"].double()
    e, bonded = torch.zeros(n, n, sum(map(len, BOND.values())), dtype=torch.float64), torch.zeros(n, n)
    for k, (v, w) in enumerate(graph.edge_index.T.tolist()):
        e[v, w] = graph.edges["e"][k]
    for bond in mol.GetBonds():
        v, w = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        bonded[v, w] = bonded[w, v] = 1
    first = torch.relu((x @ table(net.sending))[:, None] + e @ table(net.bonds)) * bonded[..., None]
    h = first
    for _ in range(net.steps):
        message = torch.zeros(n, n, channels, dtype=torch.float64)
        for v in range(n):
            for w in range(n):
                for k in range(n):
                    if bonded[v, w] and bonded[k, v] and k != w:
                        message[v, w] += h[k, v]
        h = torch.relu(first + message @ net.step.linear.weight.T) * bonded[..., None]
    atoms = torch.relu(x @ table(net.atoms) + h.sum(0) @ net.last.weight.T + net.last.bias)
    return atoms.mean(0)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_directed_network_is_that_of_the_paper(steps):
    net = model(steps=steps)
    found = net(molecule_graph(SMILES)).globals["x"]
    expected = torch.stack([dense_dmpnn(net, smiles) for smiles in SMILES])
    torch.testing.assert_close(found, expected)


def outcome(net, graph, fused):
    """Vectors of atoms and molecules, and the gradients of all weights."""
    net.fused = fused
    net.zero_grad()
    found = net(graph)
    weight = torch.linspace(-1, 2, found.globals["x"].numel(), dtype=torch.float64)
    (found.globals["x"].flatten() * weight).sum().backward()
    return [found.nodes["x"], *(p.grad for p in net.parameters() if p.grad is not None)]


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_each_kind_of_bond_computed_once_is_each_bond_computed(steps):
    chains = [a + "C" * n + b for n in range(1, 7) for a in ("", "O", "F") for b in ("", "Cl", "c1ccccc1C")]
    graph = molecule_graph([*SMILES, *chains])
    net = model(steps=steps)
    fused, edges = outcome(net, graph, True), outcome(net, graph, False)
    for one, other in zip(fused, edges, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def labelled(random, nodes, edges):
    """Any graph with few labels: with edges that have no reverse, and nodes that are alike."""
    pairs = sorted({(random.randrange(nodes), random.randrange(nodes)) for _ in range(edges)})
    draw = lambda size, most: torch.tensor([random.randrange(most) for _ in range(size)])
    specs = {("nodes", "kind"): Spec(classes=2), ("edges", "sort"): Spec(classes=2)}
    index = torch.tensor(pairs).T
    return Graph.create(index, {"kind": draw(nodes, 2)}, {"sort": draw(len(pairs), 2)}, specs=specs)


@given(st.randoms(use_true_random=False), st.integers(1, 8), st.integers(1, 20), st.integers(0, 3))
def test_edges_are_of_one_kind_where_the_unfolded_trees_are_equal(random, nodes, edges, steps):
    graph = labelled(random, nodes, edges)
    pairs = graph.edge_index.T.tolist()
    kind, sort = graph.nodes["kind"].tolist(), graph.edges["sort"].tolist()

    def tree(e, depth):
        v, w = pairs[e]
        own = (kind[v], sort[e])
        if not depth:
            return own
        heard = (k for k, (x, y) in enumerate(pairs) if y == v and (x, y) != (w, v))
        return own, tuple(sorted(tree(k, depth - 1) for k in heard))

    found = environments(graph, {"kind": range(2)}, {"sort": range(2)}, steps)
    for depth, kinds in enumerate(found.edges):
        trees = [tree(e, depth) for e in range(len(pairs))]
        assert len(set(trees)) == len(kinds) == len(set(zip(trees, kinds.of.tolist())))
    for depth, heard in enumerate(found.steps):
        for number, e in enumerate(found.edges[depth + 1].row.tolist()):
            senders = heard.sender[heard.pointer[number] : heard.pointer[number + 1]].tolist()
            v, w = pairs[e]
            expected = [k for k, (x, y) in enumerate(pairs) if y == v and (x, y) != (w, v)]
            assert sorted(senders) == sorted(found.edges[depth].of[expected].tolist())


def test_dropout_and_records_are_of_each_bond():
    net = model(dropout=0.5).train()
    torch.manual_seed(1)
    pair = net(molecule_graph(["CCO", "CCO"])).globals["x"]
    assert (pair[0] - pair[1]).abs().max() > 1e-6  # each has its own
    graph = molecule_graph(SMILES)
    net = model()
    with recording(net) as tape:
        recorded = net(graph).globals["x"]
    assert [len(m) for m in tape.messages["step"]] == [graph.num_edges] * net.steps
    torch.testing.assert_close(recorded, net(graph).globals["x"])


def test_messages_do_not_come_back():
    """On a chain a state that goes right never hears what is on its right; undirected messages would."""
    net = model(steps=4)
    chain = molecule_graph(["CCCCCC", "CCCCCN"])
    inner = net.bonds(net.sending(chain))
    first = torch.relu(inner.nodes["x_sending"].index_select(0, chain.sender) + inner.edges["e"])
    inner = inner.with_edges(h=first, h0=first)
    for _ in range(4):
        inner = net.step(inner)
    states = [{(s, r): h for (s, r), h in zip(g.edge_index.T.tolist(), g.edges["h"])} for g in inner]
    right = torch.stack([(states[0][i, i + 1] - states[1][i, i + 1]).abs().max() for i in range(4)])
    left = torch.stack([(states[0][i + 1, i] - states[1][i + 1, i]).abs().max() for i in range(4)])
    assert right.max() < 1e-12  # the nitrogen at the right end is not heard by what moves right ...
    assert left.min() > 1e-9  # ... and is by all that moves left


def test_gin_is_that_of_the_paper():
    net = model(GIN, steps=2, pool="sum")
    with torch.no_grad():
        net.layers[0].epsilon.fill_(0.3)
    for smiles in SMILES:
        graph = one_hot(molecule_graph(smiles))
        x = graph.nodes["x"].double() @ table(net.atoms)
        e = graph.edges["e"].double() @ table(net.bonds)
        n = graph.num_nodes
        edge = torch.zeros(n, n, 7, dtype=torch.float64)
        bonded = torch.zeros(n, n, 1, dtype=torch.float64)
        edge[graph.receiver, graph.sender] = e
        bonded[graph.receiver, graph.sender] = 1
        for layer, norm in zip(net.layers, net.norms):
            heard = (bonded * torch.relu(x[None] + edge)).sum(1)
            x = torch.relu(norm(layer.mlp((1 + layer.epsilon) * x + heard)))
        found = net(molecule_graph(smiles)).globals["x"][0]
        torch.testing.assert_close(found, x.sum(0) / 20)


def test_reverse_edges_of_any_graph():
    edges = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 0, 3]])  # 2 → 0 has none, 3 → 3 is its own
    graph = Graph.create(edges, {"x": torch.zeros(4)})
    reverse, known = reverse_edges(graph)
    for k, (v, w) in enumerate(graph.edge_index.T.tolist()):
        there = [w, v] in graph.edge_index.T.tolist()
        assert bool(known[k]) == there
        if there:
            assert graph.edge_index[:, reverse[k]].tolist() == [w, v]


@pytest.mark.parametrize("kind", [DMPNN, GIN])
def test_the_numbering_of_atoms_means_nothing_and_stereo_does(kind):
    net = model(kind)
    mol = Chem.MolFromSmiles(SMILES[0])
    shuffled = Chem.RenumberAtoms(mol, [3, 8, 0, 5, 2, 7, 1, 6, 4])
    one, other = (net(molecule_graph(m)).globals["x"] for m in (mol, shuffled))
    torch.testing.assert_close(one, other)
    hands = net(molecule_graph(["N[C@@H](C)C(=O)O", "N[C@H](C)C(=O)O"])).globals["x"]
    assert (hands[0] - hands[1]).abs().max() > 1e-6
    isomers = net(molecule_graph(["CCCO", "CC(C)O"])).globals["x"]
    assert (isomers[0] - isomers[1]).abs().max() > 1e-6


def test_a_sum_grows_with_the_molecule_and_a_mean_does_not():
    pair = ["c1ccccc1", "c1ccccc1.c1ccccc1"]
    for pool, ratio in (("mean", 1.0), ("sum", 2.0)):
        x = model(pool=pool)(molecule_graph(pair)).globals["x"]
        torch.testing.assert_close(x[1], ratio * x[0])
    with pytest.raises(ValueError, match="pool='max'"):
        model(pool="max")(molecule_graph(pair))


def test_all_labels_are_read():
    net = model()
    for embedding, labels in ((net.atoms, ATOM), (net.sending, ATOM), (net.bonds, BOND)):
        assert {name: len(t) for name, t in embedding.tables.items()} == {
            k: len(v) for k, v in labels.items()
        }
