"""Who will like what: a light collaborative filter on a table of pairs."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sciml.graph import Graph, Spec
from sciml.nn.normalized_sum import NormalizedSum, turned
from sciml.symmetry import Symmetry


class CollaborativeFilter(nn.Module):
    """LightGCN: embeddings of users and items, averaged over what they reach in the table of pairs.

    x⁰ are free vectors; x^{k+1} of a user is the normalized sum of x^k of the items (and the other way
    round); the result is the mean over k = 0 … layers, and the score of a pair the product of both sides
    (He et al. 2020, arXiv 2002.02126, equations 3, 4 and 7). With no layers it is a matrix factorization.

    Args:
        users, items: how many there are.
        channels: of the embeddings.
        layers: how many pairs far a user sees.

    Input: a two-sided graph with ``senders["user"]`` and ``nodes["item"]``, numbers of users and items, and
    an edge for each known pair (see `preference_graph`). Output: ``senders["z"]`` and ``nodes["z"]``.
    """

    symmetry = Symmetry(("S",))

    def __init__(self, users: int, items: int, channels: int = 64, layers: int = 3) -> None:
        super().__init__()
        if min(users, items, channels) < 1 or layers < 0:
            raise ValueError(f"users={users}, items={items}, channels={channels}, layers={layers}: too few.")
        self.users = nn.Parameter(0.1 * torch.randn(users, channels))
        self.items = nn.Parameter(0.1 * torch.randn(items, channels))
        self.sum, self.layers = NormalizedSum("z"), layers
        self.known: Known | None = None

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with the vectors of its users and items.

        Raises:
            ValueError: the graph has one node set.
        """
        if graph.senders is None:
            raise ValueError("CollaborativeFilter takes a two-sided graph: users send, items receive.")
        user = self.users.index_select(0, graph.senders["user"])
        item = self.items.index_select(0, graph.nodes["item"])
        back = turned(graph)
        users, items = [user], [item]
        for _ in range(self.layers):
            user, item = self._heard(back, item, user), self._heard(graph, user, item)
            users.append(user)
            items.append(item)
        mean = lambda parts: torch.stack(parts).mean(0)
        spec = {"z": Spec(f"{self.users.shape[1]}x0e")}
        return graph.with_nodes(spec, z=mean(items)).with_senders(spec, z=mean(users))

    def _heard(self, graph: Graph, sender: Tensor, receiver: Tensor) -> Tensor:
        return self.sum(graph.with_senders(z=sender).with_nodes(z=receiver)).nodes["z"]

    # ----------------------------------------------------------------- names

    def remember(self, users: Sequence[str], items: Sequence[str], pairs: Int[np.ndarray, "2 pairs"]) -> None:
        """Keep names and known pairs with the weights, so that a loaded run can be asked by name."""
        self.known = Known(list(users), list(items), np.asarray(pairs))

    def get_extra_state(self) -> Tensor:
        """Return names and known pairs as bytes: checkpoints hold tensors only."""
        return self.known.to_bytes() if self.known else torch.zeros(0, dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Take names and known pairs from a checkpoint."""
        self.known = Known.from_bytes(state) if len(state) else None

    @torch.no_grad()
    def predict(self, pairs: Iterable[Sequence[str]]) -> Float[Tensor, "pairs"]:
        """Return the score of each pair of names, user and item; larger is better.

        Raises:
            ValueError: a name that the training did not have (the nearest is named), or a model that was
                not trained from a table.
        """
        known, (users, items) = self._asked()
        table = list(pairs)
        left = torch.tensor([known.user(u) for u, _ in table], dtype=torch.long)
        right = torch.tensor([known.item(i) for _, i in table], dtype=torch.long)
        return (users[left] * items[right]).sum(1)

    @torch.no_grad()
    def recommend(self, user: str, number: int = 20, known: bool = False) -> list[tuple[str, float]]:
        """Return the best items of a user with their scores, without those that are known."""
        memory, (users, items) = self._asked()
        row = memory.user(user)
        scores = items @ users[row]
        if not known:
            scores[torch.from_numpy(memory.pairs[1, memory.pairs[0] == row])] = -torch.inf
        best = scores.topk(min(number, len(scores)))
        found = zip(best.indices.tolist(), best.values.tolist())
        return [(memory.items[i], score) for i, score in found if score > -torch.inf]

    def _asked(self) -> tuple[Known, tuple[Tensor, Tensor]]:
        if self.known is None:
            raise ValueError("This model knows no names: train it by scripts/train.py experiment=recommend.")
        graph = preference_graph(len(self.users), len(self.items), torch.from_numpy(self.known.pairs))
        result = self.eval()(graph.to(self.users.device))
        assert result.senders is not None
        return self.known, (result.senders["z"].cpu(), result.nodes["z"].cpu())


def preference_graph(users: int, items: int, pairs: Int[Tensor, "2 pairs"]) -> Graph:
    """Build the graph of a table: users send, items receive, an edge for each pair."""
    return Graph.create(
        pairs,
        {"item": torch.arange(items)},
        senders={"user": torch.arange(users)},
        specs={("nodes", "item"): Spec(classes=items), ("senders", "user"): Spec(classes=users)},
    )


class Known:
    """Names of users and items, and the pairs that a model was trained on."""

    def __init__(self, users: list[str], items: list[str], pairs: Int[np.ndarray, "2 pairs"]) -> None:
        self.users, self.items, self.pairs = users, items, pairs
        self._user, self._item = ({name: i for i, name in enumerate(names)} for names in (users, items))

    def user(self, name: str) -> int:
        """Return the number of a user."""
        return _number(str(name), self._user, "user")

    def item(self, name: str) -> int:
        """Return the number of an item."""
        return _number(str(name), self._item, "item")

    def to_bytes(self) -> Tensor:
        """Pack into a tensor of bytes."""
        content = {"users": self.users, "items": self.items, "pairs": self.pairs.tolist()}
        packed = zlib.compress(json.dumps(content, ensure_ascii=False).encode())
        return torch.from_numpy(np.frombuffer(packed, dtype=np.uint8).copy())

    @classmethod
    def from_bytes(cls, state: Tensor) -> Known:
        """Unpack what `to_bytes` packed."""
        content = json.loads(zlib.decompress(state.cpu().numpy().tobytes()))
        pairs = np.array(content["pairs"], dtype=np.int64).reshape(2, -1)
        return cls(content["users"], content["items"], pairs)


def _number(name: str, numbers: dict[str, int], what: str) -> int:
    if name not in numbers:
        near = get_close_matches(name, numbers, n=1)
        hint = f"; the nearest name is {near[0]!r}" if near else ""
        raise ValueError(
            f"The {what} {name!r} was not in the training table{hint}. A model of names knows no others."
        )
    return numbers[name]
