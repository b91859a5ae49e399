"""Negative pairs: never a known one, and all others alike."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sciml.datasets.negatives import NegativeSampler


def random(seed=0):
    return torch.Generator().manual_seed(seed)


@given(
    st.integers(1, 6),
    st.integers(2, 9),
    st.sampled_from([0.0, 0.75]),
    st.integers(0, 99),
    st.floats(0.05, 0.95),
)
def test_no_known_pair_is_drawn(users, items, power, seed, share):
    known = torch.rand(users, items, generator=random(seed)) < share
    known[:, 0] &= ~known.all(1)  # nobody has all
    sampler = NegativeSampler(known.nonzero().T, users, items, power=power)
    asked = torch.arange(users).repeat_interleave(20)
    if power and not known.any():
        return  # nothing is popular
    drawn = sampler.sample(asked, random(seed))
    assert not known[asked, drawn].any()
    assert sampler.known(asked, drawn).sum() == 0
    assert sampler.known(*known.nonzero().T).all()


def test_uniform_draws_are_uniform_over_what_is_free():
    pairs = torch.tensor([[0, 0, 0, 1, 2, 2], [1, 2, 5, 0, 6, 0]])
    sampler = NegativeSampler(pairs, 4, 7)
    for user in range(4):
        drawn = sampler.sample(torch.full((7000,), user), random(user))
        free = sorted(set(range(7)) - set(pairs[1, pairs[0] == user].tolist()))
        count = torch.bincount(drawn, minlength=7)
        assert count.sum() == count[free].sum()
        assert stats.chisquare(count[free].numpy()).pvalue > 1e-4


def test_popular_items_are_drawn_more_often():
    pairs = torch.tensor([[0, 1, 2, 3, 0, 1, 0], [0, 0, 0, 0, 1, 1, 2]])
    sampler = NegativeSampler(pairs, 5, 4, power=1.0)
    count = torch.bincount(sampler.sample(torch.full((7000,), 4), random()), minlength=4)
    expected = np.array([4, 2, 1]) / 7 * 7000
    assert count[3] == 0  # nobody has it
    assert stats.chisquare(count[:3].numpy(), expected).pvalue > 1e-4


def test_a_user_of_all_items_is_named():
    with pytest.raises(ValueError, match="User 1 has all 2 items"):
        NegativeSampler(torch.tensor([[0, 1, 1], [0, 0, 1]]), 2, 2)
    with pytest.raises(ValueError, match="numbers below 2"):
        NegativeSampler(torch.tensor([[0], [2]]), 2, 2)
