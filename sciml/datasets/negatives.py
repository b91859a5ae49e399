"""Pairs that are not known: what a model that only sees what was chosen is taught against."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


class NegativeSampler:
    """Draw items that a user is not known to have: exactly, for any number of users at once.

    Uniform draws need no rejection: of the m − d items that are not among the user's d sorted ones
    p₀ < p₁ < … the r-th is r plus the number of k with p_k − k ≤ r, which one sorted search finds for
    all users. Draws by popularity take items in proportion to (number of users)^power, and again where the
    item is known.

    Args:
        pairs: number of the user above that of the item.
        users, items: how many there are.
        power: of the popularity; 0 is uniform, 0.75 is usual (Mikolov et al. 2013, arXiv 1310.4546).

    Raises:
        ValueError: pairs out of range, or a user who has all items: nothing is left to draw.
    """

    def __init__(self, pairs: Int[Tensor, "2 pairs"], users: int, items: int, *, power: float = 0.0) -> None:
        key = (pairs[0] * items + pairs[1]).unique()  # sorted by user, then item
        if bool(((pairs < 0) | (pairs >= torch.tensor([[users], [items]]))).any()):
            raise ValueError(f"pairs must be numbers below {users} (users) and {items} (items).")
        self.items, self.key = items, key
        user, item = key // items, key % items
        self.degree = torch.bincount(user, minlength=users)
        if len(self.degree) and int(self.degree.max()) >= items:
            full = int(self.degree.argmax())
            raise ValueError(
                f"User {full} has all {items} items: no pair is left that is not known. Leave the user out."
            )
        self.start = self.degree.cumsum(0) - self.degree
        rank = torch.arange(len(key)) - self.start[user]
        self.shifted = user * items + item - rank  # ascends within and across users
        count = torch.bincount(item, minlength=items).double()
        self.weight: Float[Tensor, "items"] | None = count**power if power else None

    def sample(self, users: Int[Tensor, "draws"], generator: torch.Generator) -> Int[Tensor, "draws"]:
        """Return one item for each user that is not known of the user."""
        if self.weight is None:
            return self._uniform(users, generator)
        drawn = self._popular(len(users), generator)
        for _ in range(20):  # a user of many popular items would take long: the rest is uniform
            again = self.known(users, drawn).nonzero()[:, 0]
            if not len(again):
                return drawn
            drawn[again] = self._popular(len(again), generator)
        again = self.known(users, drawn).nonzero()[:, 0]
        drawn[again] = self._uniform(users[again], generator)
        return drawn

    def known(self, users: Int[Tensor, "draws"], items: Int[Tensor, "draws"]) -> Tensor:
        """Return whether each pair is known."""
        if not len(self.key):
            return torch.zeros(len(users), dtype=torch.bool)
        key = users * self.items + items
        place = torch.searchsorted(self.key, key).clamp(max=len(self.key) - 1)
        return self.key[place] == key

    def _uniform(self, users: Tensor, generator: torch.Generator) -> Tensor:
        free = self.items - self.degree[users]
        rank = (torch.rand(len(users), generator=generator, dtype=torch.float64) * free).long()
        rank = torch.minimum(rank, free - 1)  # rounding
        before = torch.searchsorted(self.shifted, users * self.items + rank, right=True) - self.start[users]
        return rank + before

    def _popular(self, number: int, generator: torch.Generator) -> Tensor:
        assert self.weight is not None
        if not number:
            return torch.zeros(0, dtype=torch.long)
        return torch.multinomial(self.weight, number, replacement=True, generator=generator)
