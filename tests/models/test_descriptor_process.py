"""The Gaussian process on descriptors and counts: held to scikit-learn, and to what its kernels mean."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import DotProduct, Matern

from sciml.builders.molecule import molecule_descriptors, molecule_graph, parse_molecules
from sciml.models import PropertyPredictor
from sciml.models.descriptor_process import (
    AMPLITUDES,
    LENGTH,
    LINEAR,
    NOISES,
    PARTS,
    DescriptorProcess,
    kernel,
    laplace,
    similarity,
)


def test_the_process_is_that_of_scikit_learn():
    """Same kernel and noise: the same mean; and no other noise of the list is more likely."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(30, 4, generator=random, dtype=torch.float64)
    y = torch.stack([x[:, 0] - x[:, 1].square(), x[:, 2].sin()], dim=1)
    y += 0.1 * torch.randn(30, 2, generator=random, dtype=torch.float64)
    y[3:9, 1] = torch.nan  # was not measured
    process = DescriptorProcess(30, 4, 2).double()
    process.fit(x, y)
    new = torch.randn(7, 4, generator=random, dtype=torch.float64)
    length = LENGTH * 4**0.5
    for target in range(2):
        known = y[:, target].isfinite().numpy()
        points, values = x.numpy()[known], y[:, target].numpy()[known]
        mean, found = values.mean(), []
        for noise in NOISES:
            # scikit-learn's product is sigma_0^2 + x·x'; the amplitude is what the data say, in closed form.
            linear = LINEAR / 4 * DotProduct(sigma_0=1e-9)
            plain = GaussianProcessRegressor(linear + Matern(length, nu=1.5), alpha=noise, optimizer=None)
            plain.fit(points, values - mean)
            table = plain.kernel_(points) + noise * np.eye(len(points))
            amplitude = (values - mean) @ np.linalg.solve(table, values - mean) / len(points)
            likelihood = multivariate_normal(np.zeros(len(points)), amplitude * table).logpdf(values - mean)
            found.append((likelihood, plain.predict(new.numpy()) + mean))
        expected = max(found, key=lambda pair: pair[0])[1]
        np.testing.assert_allclose(process(new)[:, target].numpy(), expected, rtol=1e-6)


def test_groups_of_descriptors_have_kernels_of_their_own():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(20, 5, generator=random, dtype=torch.float64)
    y = torch.randn(20, 1, generator=random, dtype=torch.float64)
    both, swapped = DescriptorProcess(20, [3, 2], 1).double(), DescriptorProcess(20, [2, 3], 1).double()
    both.fit(x, y)
    swapped.fit(x[:, [3, 4, 0, 1, 2]], y)
    new = torch.randn(6, 5, generator=random, dtype=torch.float64)
    torch.testing.assert_close(both(new), swapped(new[:, [3, 4, 0, 1, 2]]))
    parts = [kernel(new[:, own], x[:, own], torch.tensor(n)) for own, n in ((slice(3), 3), (slice(3, 5), 2))]
    torch.testing.assert_close(both(new), both.offset + (parts[0] + parts[1]) / 2 @ both.weights)
    one = DescriptorProcess(20, 5, 1).double()
    one.fit(x, y)
    assert (one(new) - both(new)).abs().max() > 1e-3


@given(seed=st.integers(0, 10_000), rows=st.integers(2, 8))
def test_counts_are_compared_by_what_molecules_have_in_common(seed, rows):
    """One for equals, zero for strangers, between 0 and 1, and a covariance: no eigenvalue is negative."""
    counts = np.random.default_rng(seed).poisson(0.7, (rows, 6)).astype(float)
    found = similarity(*2 * [torch.from_numpy(counts)]).numpy()
    for i, j in itertools.product(range(rows), repeat=2):
        most = np.maximum(counts[i], counts[j]).sum()
        expected = np.minimum(counts[i], counts[j]).sum() / most if most else 1.0
        assert found[i, j] == pytest.approx(expected)
    assert np.linalg.eigvalsh(found).min() > -1e-12


def test_fragments_of_a_molecule_are_its_own_kind():
    """Counts grow with the chain, are of the atoms with their neighbours, and tell isomers apart."""
    mols = parse_molecules(["CCCCCC", "CCCCCCCC", "CC(C)CCC", "c1ccccc1"]).mols
    made = torch.from_numpy(molecule_descriptors(mols, ["fragments"]))
    assert made.sum(1).tolist() == [6 + 6, 8 + 8, 6 + 6, 6 + 6]  # each atom, and each with its neighbours
    alike = similarity(made, made)
    assert alike[0, 1] > alike[0, 2] > alike[0, 3] == 0


def test_counts_are_listened_to_where_they_say_more():
    """A property of counts is learned better with them; one of descriptors is learned as without them."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(60, 3, generator=random, dtype=torch.float64)
    n = torch.poisson(torch.ones(60, 12, dtype=torch.float64), generator=random)
    y = torch.cat([n[:, :1] - n[:, 1:2], x[:, :1] * x[:, 1:2]], 1)
    seen, new = torch.cat([x, n], 1)[:40], torch.cat([x, n], 1)[40:]
    both, blind = DescriptorProcess(40, 3, 2, counts=12).double(), DescriptorProcess(40, 3, 2).double()
    both.fit(seen, y[:40])
    blind.fit(seen[:, :3], y[:40])
    assert both.part.tolist() == [PARTS[-1], 0.0]
    errors = lambda said: (said - y[40:]).square().mean(0)
    assert errors(both(new))[0] < 0.7 * errors(blind(new[:, :3]))[0]
    torch.testing.assert_close(both(new)[:, 1], blind(new[:, :3])[:, 1])
    half = (kernel(new[:, :3], seen[:, :3], torch.tensor(3)) + similarity(new[:, 3:], seen[:, 3:])) / 2
    torch.testing.assert_close(both(new)[:, 0], both.offset[0] + half @ both.weights[:, 0])
    alone = DescriptorProcess(40, [], 2, counts=12).double()
    alone.fit(seen[:, 3:], y[:40])
    alike = similarity(new[:, 3:], seen[:, 3:])
    torch.testing.assert_close(alone(new[:, 3:]), alone.offset + alike @ alone.weights)


def test_the_process_of_labels_is_that_of_scikit_learn():
    """Same kernel and labels: the same odds and likelihood, of which that of no other amplitude is higher."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(40, 3, generator=random, dtype=torch.float64)
    y = (x[:, 0] + x[:, 1].square() + 0.5 * torch.randn(40, generator=random) > 0.5).double()
    new = torch.randn(7, 3, generator=random, dtype=torch.float64)
    balanced = torch.cat([y, 1 - y])  # scikit-learn's mean is that of equal odds
    points = torch.cat([x, x + 3])
    found, likelihoods = [], []
    for amplitude in AMPLITUDES:
        plain = amplitude * LINEAR / 3 * DotProduct(sigma_0=1e-9) + amplitude * Matern(
            LENGTH * 3**0.5, nu=1.5
        )
        model = GaussianProcessClassifier(plain, optimizer=None).fit(points.numpy(), balanced.numpy())
        inner = model.base_estimator_
        latent = inner.kernel_(new.numpy(), points.numpy()) @ (balanced.numpy() - inner.pi_)
        found.append(latent)
        likelihoods.append(model.log_marginal_likelihood_value_)
        table = amplitude * kernel(points, points, torch.tensor(3))
        assert laplace(table, balanced, torch.tensor(0.0))[1] == pytest.approx(likelihoods[-1], rel=1e-6)
    process = DescriptorProcess(80, 3, 2).double()
    both = torch.stack([balanced, torch.where(torch.arange(80) < 40, torch.nan, balanced)], dim=1)
    process.fit(points, both, labels=True)
    np.testing.assert_allclose(process(new)[:, 0], found[int(np.argmax(likelihoods))], rtol=1e-4)
    alike = DescriptorProcess(80, 3, 1).double()
    alike.fit(points, torch.ones(80, 1, dtype=torch.float64), labels=True)
    assert (alike(new) > 10).all()  # nothing else was ever seen


def test_networks_do_not_read_counts():
    """They have no part in the networks' input, must come last, and are all that a process needs."""
    model = PropertyPredictor(["y"], channels=4, points=3, descriptors={"rdkit": 2, "fragments": 5})
    assert model.members[0].readout[0].in_features == 4 + 2
    assert model.process is not None
    assert model.process.points.shape == (3, 2 + 5)
    alone = PropertyPredictor(["y"], channels=4, points=3, descriptors={"fragments": 5})
    assert alone.members[0].readout[0].in_features == 4
    few = molecule_graph("CCO").with_globals(descriptors=torch.zeros(1, 3))
    with pytest.raises(ValueError, match="have 3 descriptors, and the model reads 2"):
        PropertyPredictor(["y"], channels=8, descriptors=2)(few)
    with pytest.raises(ValueError, match="fragments are counts and come last"):
        PropertyPredictor(["y"], channels=4, descriptors={"fragments": 5, "rdkit": 2})
