"""The best pairs of columns from Gram matrices: NumPy and torch say the same, and nothing waits."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sciml.distill.structured.gram import Columns, pair_scores
from sciml.distill.structured.subsets import Subsets


@given(seed=st.integers(0, 10_000), number=st.integers(1, 400), beside=st.booleans())
def test_pairs_on_a_device_of_torch_are_those_of_numpy(seed, number, beside):
    """Asked of the processor as torch's device, since there may be no GPU; a device is a device."""
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((20, 60))
    F[3] = F[5]  # one says nothing beside the other
    F = (F / np.linalg.norm(F, axis=1, keepdims=True)).astype(np.float32)
    basis = np.linalg.qr(rng.standard_normal((60, 2)))[0] if beside else None
    target = rng.standard_normal(60)
    target = target - basis @ (basis.T @ target) if beside else target
    k, cost = rng.permutation(20)[:15], rng.uniform(1, 3, 15)
    found = [
        {tuple(pair) for pair in Columns(F, device).best_pairs(k, target, cost, number, basis)}
        for device in (None, "cpu")
    ]
    assert len(found[0]) == min(number, 15 * 14 // 2)
    assert all(i < j for i, j in found[0])
    assert len(found[0] ^ found[1]) <= 2  # the last one may be another by rounding
    np.testing.assert_allclose(Columns(F, "cpu").overlap(target[:, None]), F @ target[:, None], atol=1e-6)


def test_scores_ask_nothing_of_the_device():
    """On the meta device there are no numbers: whatever looked at one would fail."""
    gram, b = torch.empty(9, 9, device="meta"), torch.empty(9, device="meta")
    assert pair_scores(gram, b, 2.0, b, 100).shape == (9, 9)


def test_a_search_on_a_device_finds_the_same():
    rng = np.random.default_rng(2)
    F = rng.standard_normal((30, 80))
    target = F[3] - 0.7 * F[11] + 0.4 * F[17] + 0.05 * rng.standard_normal(80)
    best = lambda device: Subsets(F, target, np.ones(80), np.ones(30), device=device).best(3, 5, small=30)
    assert best("cpu")[:6] == best(None)[:6]
