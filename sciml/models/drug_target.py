"""Drugs and targets: how strongly each pair binds, or whether it does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sciml.builders import molecule_graph, protein_sequence_graph
from sciml.graph import Graph
from sciml.models.molecule_encoder import MoleculeEncoder
from sciml.models.sequence_encoder import SequenceEncoder
from sciml.nn.edge_readout import EdgeReadout
from sciml.symmetry import Symmetry

PREDICTED = 512  # pairs at a time


class PairGraphs(NamedTuple):
    """Pairs of molecules and sequences, each molecule and sequence once.

    Attributes:
        drugs: of `molecule_graph`.
        targets: of `protein_sequence_graph`.
        pairs: number of the drug above that of the target.
    """

    drugs: Graph
    targets: Graph
    pairs: Int[Tensor, "2 pairs"]

    def chosen(self, columns: Int[Tensor, "chosen"]) -> PairGraphs:
        """Return some of the pairs, with the drugs and targets that they have."""
        drugs, left = self.pairs[0, columns].unique(return_inverse=True)
        targets, right = self.pairs[1, columns].unique(return_inverse=True)
        return PairGraphs(self.drugs[drugs], self.targets[targets], torch.stack([left, right]))

    def to(self, device: torch.device | str) -> PairGraphs:
        """Return the pairs on another device."""
        return PairGraphs(self.drugs.to(device), self.targets.to(device), self.pairs.to(device))


class DrugTarget(nn.Module):
    """A molecule's vector and a sequence's vector on a two-sided graph, and a value for each of its edges.

    Both sides are read by what they are and not by name, so that drugs and targets that no pair of the
    training has can be predicted.

    Args:
        channels: of both sides.
        drug_layers, target_layers, kernel: of `MoleculeEncoder` and `SequenceEncoder`. One layer finds words;
            more layers see further, and need more targets to learn from.
        dropout: in both encoders, in training.
        kind: "affinity", values in the unit of the table; or "link", the probability that the pair binds.
        mean, scale: of the affinities, set from the training data.

    Raises:
        ValueError: another kind.
    """

    symmetry = Symmetry(("S",))

    def __init__(
        self,
        channels: int = 64,
        drug_layers: int = 3,
        target_layers: int = 1,
        kernel: int = 5,
        dropout: float = 0.1,
        kind: Literal["affinity", "link"] = "affinity",
        mean: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        if kind not in ("affinity", "link"):
            raise ValueError(f"kind={kind!r}: expected affinity or link.")
        self.kind, self.mean, self.scale = kind, mean, scale
        self.drug = MoleculeEncoder(channels, drug_layers, dropout)
        self.target = SequenceEncoder(channels, target_layers, kernel, dropout)
        self.readout = EdgeReadout(channels, hidden=channels)

    def forward(self, batch: PairGraphs) -> Float[Tensor, "pairs"]:
        """Return the affinity of each pair, or the logarithm of the odds that it binds."""
        graph = Graph(  # drugs send, targets receive; readouts need no order of edges
            batch.pairs,
            {"x": self.target(batch.targets).globals["x"]},
            {},
            {},
            node_counts=batch.targets.node_counts.new_full((1,), batch.targets.num_graphs),
            edge_counts=batch.pairs.new_full((1,), batch.pairs.shape[1]),
            senders={"x": self.drug(batch.drugs).globals["x"]},
            sender_counts=batch.drugs.node_counts.new_full((1,), batch.drugs.num_graphs),
        )
        value = self.readout(graph).edges["y"]
        return self.mean + self.scale * value if self.kind == "affinity" else value

    @torch.no_grad()
    def predict(self, pairs: Iterable[Sequence[str]]) -> Float[Tensor, "pairs"]:
        """Return the affinity (or the probability that it binds) of each pair.

        Args:
            pairs: SMILES and amino-acid sequence of each pair.

        Raises:
            MoleculeError, SequenceError: text that cannot be read; rows are counted among the different
                drugs or targets, in order of their first appearance.
        """
        table = [tuple(pair) for pair in pairs]
        wrong = next((i for i, pair in enumerate(table) if len(pair) != 2), None)
        if wrong is not None:
            raise ValueError(f"pair {wrong} is {table[wrong]!r}; expected SMILES and sequence.")
        if not table:
            return torch.zeros(0)
        drugs, left = _different([pair[0] for pair in table])
        targets, right = _different([pair[1] for pair in table])
        everything = PairGraphs(
            molecule_graph(drugs, strict=True), protein_sequence_graph(targets), torch.stack([left, right])
        )
        device = next(self.parameters()).device
        self.eval()
        parts = [
            self(everything.chosen(columns).to(device))
            for columns in torch.arange(len(table)).split(PREDICTED)
        ]
        value = torch.cat(parts).cpu()
        return value if self.kind == "affinity" else value.sigmoid()


def _different(texts: Sequence[str]) -> tuple[list[str], Int[Tensor, "texts"]]:
    """Return the different texts in order of appearance, and which of them each text is."""
    number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    return list(number), torch.tensor([number[text] for text in texts])
