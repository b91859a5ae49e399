"""Sums along edges that are sorted both ways once: the same as gathering each time, in all derivatives."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from sciml.nn import gather_sum
from sciml.nn.gather import Gathering


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 15), st.integers(0, 99))
def test_sums_and_gradients_are_those_of_gather_sum(senders, receivers, edges, seed):
    random = torch.Generator().manual_seed(seed)
    draw = lambda most, size: torch.randint(most, (size,), generator=random)
    sender, receiver = draw(senders, edges), draw(receivers, edges).sort().values
    found = Gathering.of(sender, receiver, senders, receivers)
    values = torch.randn(senders, 3, generator=random, dtype=torch.float64, requires_grad=True)
    dense = torch.zeros(receivers, senders, dtype=torch.float64)
    dense.index_put_((receiver, sender), torch.ones(edges, dtype=torch.float64), accumulate=True)
    torch.testing.assert_close(found.sum(values), dense @ values)
    torch.testing.assert_close(found.sum(values), gather_sum(values, sender, receiver, receivers))
    assert torch.autograd.gradcheck(found.sum, values)
    assert torch.autograd.gradgradcheck(lambda v: found.sum(v).square(), values)
