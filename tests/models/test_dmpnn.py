"""D-MPNN and GIN against dense implementations written from the papers, and what they see of a molecule."""

import pytest
import torch
from rdkit import Chem

from sciml.builders import molecule_graph
from sciml.builders.molecule import ATOM, BOND, one_hot
from sciml.graph import Graph
from sciml.models import DMPNN, GIN
from sciml.nn.directed_messages import reverse_edges

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
