"""Tensor products with harmonics: against e3nn, and compiled against plain to third order."""

import pytest
import torch
from cases.atoms import tensorial
from e3nn import o3

from sciml.nn.equivariant import TensorConvolution, harmonics, product
from sciml.nn.equivariant.form import CONVOLUTION, Term, derivative
from sciml.nn.equivariant.paths import features, kinds, tensor_paths

NODES, EDGES = 5, 14


def example(lmax, parity, channels, dtype=torch.float64):
    torch.manual_seed(0)
    irreps = features(lmax, parity)
    paths = tensor_paths(irreps, lmax, irreps, channels, parity != "none")
    draw = lambda *shape: torch.randn(*shape, dtype=dtype, requires_grad=True)
    x = [draw(NODES, kind.size, channels) for kind in irreps]
    sender, receiver = torch.randint(NODES, (EDGES,)), torch.randint(NODES, (EDGES,)).sort().values
    return paths, x, draw(EDGES, (lmax + 1) ** 2), draw(EDGES, len(paths.paths) * channels), sender, receiver


def plainly(paths, x, y, w, sender, receiver):
    products = product.edge_products(paths, [t.index_select(0, sender) for t in x], y, w)
    return [t.new_zeros(NODES, *t.shape[1:]).index_add(0, receiver, t) for t in products]


def fused(*arguments):
    return product.fused_convolution(*arguments, NODES)


@pytest.mark.parametrize("lmax", [0, 1, 2, 3])
def test_harmonics_are_e3nns(lmax):
    points = torch.nn.functional.normalize(torch.randn(20, 3, dtype=torch.float64), dim=1)
    expected = o3.spherical_harmonics(list(range(lmax + 1)), points, True, "component")
    torch.testing.assert_close(harmonics(points, lmax), expected)


@pytest.mark.parametrize(("lmax", "parity"), [(1, "both"), (2, "natural"), (2, "none")])
def test_products_are_e3nns(lmax, parity):
    paths, x, y, w, *_ = example(lmax, parity, 3)
    senders = torch.randint(NODES, (EDGES,))
    irreps = lambda found: o3.Irreps([(3, (k.degree, 1 if k.parity == "e" else -1)) for k in found])
    pieces = [paths.out[path.out] for path in paths.paths]
    theirs = o3.TensorProduct(
        irreps(paths.left),
        o3.Irreps.spherical_harmonics(lmax, p=-1 if parity != "none" else 1),
        irreps(pieces),
        [(path.left, path.degree, n, "uvu", True) for n, path in enumerate(paths.paths)],
        shared_weights=False,
        internal_weights=False,
    ).double()
    flat = torch.cat([t.index_select(0, senders).transpose(1, 2).flatten(1) for t in x], dim=1)
    result = theirs(flat, y, w).split([3 * kind.size for kind in pieces], dim=1)
    ours = product.edge_products(paths, [t.index_select(0, senders) for t in x], y, w)
    for path, expected in zip(paths.paths, result):
        block = ours[path.out].unflatten(2, (-1, 3))[:, :, path.slot]
        torch.testing.assert_close(block, expected.unflatten(1, (3, -1)).transpose(1, 2))


@pytest.mark.parametrize(("lmax", "parity", "channels"), [(1, "both", 3), (2, "natural", 8)])
def test_fused_is_plain_to_third_order(lmax, parity, channels):
    arguments = example(lmax, parity, channels)
    _, x, y, w, *_ = arguments
    leaves = [*x, y, w]
    chains = []
    for path in (fused, plainly):
        values = path(*arguments)
        chain = [values]
        for _ in range(3):
            loss = sum((v.square() * (1 + 0.1 * v)).sum() for v in values)
            values = torch.autograd.grad(loss, leaves, create_graph=True)
            chain.append(values)
        chains.append([list(v) for v in chain])
    torch.testing.assert_close(chains[0], chains[1], rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize("channels", [3, 8])
def test_shared_weights_are_gathered_weights_to_third_order(channels):
    paths, x, y, w, sender, receiver = example(1, "natural", channels)
    row = torch.randint(5, (EDGES,))
    w = w.detach()[:6].requires_grad_()  # of which the last row is nobody's
    leaves = [*x, y, w]
    shared = product.fused_convolution(paths, x, y, w, sender, receiver, NODES, row)
    gathered = plainly(paths, x, y, w.index_select(0, row), sender, receiver)
    for _ in range(4):
        torch.testing.assert_close(list(shared), list(gathered), rtol=1e-9, atol=1e-7)
        shared, gathered = (
            torch.autograd.grad(
                sum((v.square() * (1 + 0.1 * v)).sum() for v in values), leaves, create_graph=True
            )
            for values in (shared, gathered)
        )
    assert (shared[-1][-1] == 0).all()


def test_gradients_by_single_outputs_in_any_layout():
    """What nobody asks for is left out; copies of strided features are part of the derivative."""
    paths, x, y, w, sender, receiver = example(1, "natural", 4)
    x = [t.detach().transpose(1, 2).contiguous().requires_grad_() for t in x]
    leaves = [*x, y, w]
    for o in range(len(paths.out)):
        first = [
            torch.autograd.grad(
                path(paths, [t.transpose(1, 2) for t in x], y, w, sender, receiver)[o].square().sum(),
                leaves,
                create_graph=True,
            )
            for path in (fused, plainly)
        ]
        torch.testing.assert_close(first[0], first[1])
        for i in range(len(leaves)):
            second = [
                torch.autograd.grad(f[i].square().sum(), leaves, retain_graph=True, materialize_grads=True)
                for f in first
            ]
            torch.testing.assert_close(second[0], second[1])


def test_single_precision_and_empty_graphs():
    paths, x, y, w, sender, receiver = example(2, "natural", 8)
    single = fused(paths, [t.float() for t in x], y.float(), w.float(), sender, receiver)
    for a, b in zip(single, fused(paths, x, y, w, sender, receiver)):
        torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-5)
    empty = fused(paths, x, y[:0], w[:0], sender[:0], receiver[:0])
    assert all(t.shape[0] == NODES and (t == 0).all() for t in empty)


def test_threads_change_nothing_but_rounding(monkeypatch):
    arguments = example(1, "both", 48)
    results = []
    for threads in (1, 2, 3, 2):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        values = fused(*arguments)
        results.append(
            torch.autograd.grad(sum(v.square().sum() for v in values), [arguments[2], *arguments[1]])
        )
    for other in results[1:]:
        torch.testing.assert_close(other, results[0])
    assert all(torch.equal(a, b) for a, b in zip(results[1], results[3]))


def test_without_llvm_the_plain_path_runs(monkeypatch):
    layer = TensorConvolution("0e+1o", "0e+1o", 1, 4, 5, (6,)).double()
    graph = tensorial("0e+1o", 1, 4, 5)
    with_llvm = layer(graph).nodes["x1o"]
    monkeypatch.setattr(product, "_has_llvm", lambda: False)
    assert layer.fused_forward(graph) is None
    torch.testing.assert_close(layer(graph).nodes["x1o"], with_llvm)


def test_derivatives_of_the_form():
    """F is linear in each argument: there are 3 slopes of a slope, and 3 · 3 of these."""
    first = derivative(CONVOLUTION, [0], [0, 1, 2])
    assert first.terms == (Term(0, y=1, w=2, g=3), Term(1, x=0, w=2, g=3), Term(2, x=0, y=1, g=3))
    second = derivative(first, [0, 1, 2], [0, 1, 2, 3])
    assert len(second.terms) == 9
    assert [sum(t.output == o for t in second.terms) for o in range(4)] == [2, 2, 2, 3]
    assert derivative(first, [0], [0]).terms == ()  # the slope by x does not depend on x


def test_irreps_are_named_once():
    with pytest.raises(ValueError, match="name each irrep once"):
        kinds("16x0e+1o")
    with pytest.raises(ValueError, match="both, natural or none"):
        features(1, "odd")
    assert [str(k) for k in features(2, "natural")] == ["0e", "1o", "2e"]
