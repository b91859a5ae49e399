"""How good is a ranking? Recall, NDCG and reciprocal rank, for all users at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def ranking_metrics(
    scores: Float[Tensor, "users items"], relevant: Bool[Tensor, "users items"], k: Sequence[int] = (20,)
) -> dict[str, float]:
    """Return means over users with at least one relevant item, by name.

    - ``recall@k``: share of the user's relevant items among the first k.
    - ``ndcg@k``: Σ 1/log₂(1 + rank) over relevant items among the first k, over the largest possible
      (Järvelin & Kekäläinen 2002).
    - ``mrr``: one over the rank of the first relevant item.

    Items with a score of minus infinity are not ranked: they must not be relevant. Equal scores are put in a
    random order, the same each time.

    Raises:
        ValueError: shapes that differ, scores that are NaN, no user with a relevant item.
    """
    if scores.shape != relevant.shape or scores.ndim != 2:
        raise ValueError(
            f"scores have shape {tuple(scores.shape)} and relevant {tuple(relevant.shape)}; expected both "
            "(users, items)."
        )
    if bool(scores.isnan().any()):
        raise ValueError("A score is NaN: the model has diverged.")
    hits, number = ranked_hits(scores, relevant)
    used = number > 0
    if not bool(used.any()):
        raise ValueError("No user has a relevant item: there is nothing to judge by.")
    hits, number = hits[used].double(), number[used].double()
    discount = 1 / torch.log2(torch.arange(hits.shape[1], dtype=torch.float64) + 2)
    result = {}
    for limit in k:
        best = discount[:limit].cumsum(0)[number.clamp(max=min(limit, len(discount))).long() - 1]
        result[f"recall@{limit}"] = float((hits[:, :limit].sum(1) / number).mean())
        result[f"ndcg@{limit}"] = float(((hits[:, :limit] * discount[:limit]).sum(1) / best).mean())
    first = hits.argmax(1) + 1  # a relevant item is always among the ranked
    result["mrr"] = float((1 / first).mean())
    return result


def ranked_hits(
    scores: Float[Tensor, "users items"], relevant: Bool[Tensor, "users items"]
) -> tuple[Bool[Tensor, "users items"], Int[Tensor, "users"]]:
    """Return whether the item at each rank is relevant, and the number of relevant items of each user."""
    shuffled = torch.randperm(scores.shape[1], generator=torch.Generator().manual_seed(0))
    order = scores[:, shuffled].argsort(dim=1, descending=True, stable=True)
    return relevant[:, shuffled].gather(1, order), relevant.sum(1)


def recall_curve(
    scores: Float[Tensor, "users items"], relevant: Bool[Tensor, "users items"]
) -> Float[Tensor, "items"]:
    """Return recall@k for k = 1, 2, … items: what `sciml.plotting.ranking_curve` draws."""
    hits, number = ranked_hits(scores, relevant)
    used = number > 0
    return (hits[used].cumsum(1).double() / number[used][:, None]).mean(0)
