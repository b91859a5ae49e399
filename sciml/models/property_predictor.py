"""Molecules to measured properties, with intervals: an ensemble of encoders and readouts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sciml.builders.atoms import ELEMENTS
from sciml.builders.molecule import Molecules, molecule_graph, parse_molecules, without_hydrogens
from sciml.builders.molecule.descriptors import CHUNK, DESCRIPTORS, descriptor_tables
from sciml.graph import Graph, Spec
from sciml.models.descriptor_process import DescriptorProcess
from sciml.models.dmpnn import DMPNN
from sciml.models.gin import GIN
from sciml.models.molecule_transformer import MoleculeTransformer
from sciml.models.pooling import Pool
from sciml.nn.mlp import mlp
from sciml.symmetry import Symmetry

if TYPE_CHECKING:
    import pandas as pd

ENCODERS = {"dmpnn": DMPNN, "gin": GIN, "transformer": MoleculeTransformer}
PREDICTED = 512  # molecules at a time
FAR = 5.0  # standard deviations beyond which a descriptor counts as no further away


class Member(nn.Module):
    """One network of an ensemble: encoder, and a readout of one hidden layer.

    Descriptors stand beside the encoder's vector; dropout is of all that the readout reads.
    """

    symmetry = Symmetry(("S",))

    def __init__(self, encoder: nn.Module, channels: int, descriptors: int, outputs: int, dropout: float):
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.readout = mlp(channels + descriptors, (channels,), outputs, "relu")

    def forward(
        self, graph: Graph, descriptors: Float[Tensor, "graphs descriptors"] | None, *prepared: Any
    ) -> Float[Tensor, "graphs outputs"]:
        """Return what the readout says; ``prepared`` is what the encoder need not find out again."""
        x = self.encoder(graph, *prepared).globals["x"]
        return self.readout(self.dropout(x if descriptors is None else torch.cat([x, descriptors], dim=1)))


class PropertyPredictor(nn.Module):
    """An ensemble of molecular networks for one or several properties, measured or predicted.

    Args:
        targets: names of the properties.
        kind: "regression", numbers; or "classification", labels 0 and 1.
        encoder: "dmpnn" (`DMPNN`), "gin" (`GIN`) or "transformer" (`MoleculeTransformer`).
        channels: of bonds, atoms and molecules.
        steps: how many bonds far is heard.
        dropout: in training.
        pool: "mean", or "sum" for properties that grow with the molecule.
        descriptors: how many are read beside the graph, by group (`sciml.builders.molecule.DESCRIPTORS`); a
            number counts RDKit's, and 0 reads none. Counts come last, and only the process reads them.
        members: networks; the prediction is their mean.
        points: training molecules that a Gaussian process on the descriptors remembers beside the networks
            (`DescriptorProcess`); 0 has none.
        mean, scale: of each property in training, for regression.
        class_weights: how much labels 0 and 1 of each property count in training, for classification. They
            raise the odds that the networks learn by their ratio, and predictions are divided by it again,
            so that they stay probabilities (Elkan 2001). None: all labels alike.
        coverage: of the intervals that `predict` gives.

    Attributes:
        half_width: of the interval of each property (infinite until it has been measured on molecules that
            were not trained on).
        share: of the process in the prediction of each property; the rest is the networks'.
        seen: elements that training saw. What is said of others is not known to mean anything.

    Input: graphs of `molecule_graph`, with ``globals["descriptors"]`` (graphs, descriptors) if they are read.
    Output: ``globals["predicted"]`` of shape (graphs, members, targets), standardized; the logarithm of the
    odds for labels.

    Raises:
        ValueError: an unknown kind or encoder, no target, statistics for another number of targets, a process
            without descriptors, counts before other descriptors.
    """

    symmetry = Symmetry(("S",))
    mean: Tensor
    scale: Tensor
    descriptor_mean: Tensor
    descriptor_scale: Tensor
    half_width: Tensor
    share: Tensor
    seen: Tensor
    class_weights: Tensor

    def __init__(
        self,
        targets: Sequence[str],
        *,
        kind: Literal["regression", "classification"] = "regression",
        encoder: Literal["dmpnn", "gin", "transformer"] = "dmpnn",
        channels: int = 300,
        steps: int = 2,
        dropout: float = 0.0,
        pool: Pool = "mean",
        descriptors: int | Mapping[str, int] = 0,
        members: int = 1,
        points: int = 0,
        mean: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        class_weights: Sequence[Sequence[float]] | None = None,
        coverage: float = 0.9,
    ) -> None:
        super().__init__()
        targets = list(targets)
        mean, scale = list(mean or [0.0] * len(targets)), list(scale or [1.0] * len(targets))
        if kind not in ("regression", "classification") or encoder not in ENCODERS:
            raise ValueError(
                f"kind={kind!r}, encoder={encoder!r}: choose regression or classification, and one of "
                f"{', '.join(ENCODERS)}."
            )
        if not targets or not len(targets) == len(mean) == len(scale) or members < 1:
            raise ValueError(
                f"{len(targets)} targets with {len(mean)} means and {len(scale)} scales, {members} members: "
                "expected one mean and scale for each target, and at least one of all."
            )
        groups = {"rdkit": descriptors} if isinstance(descriptors, int) else dict(descriptors)
        groups = {group: size for group, size in groups.items() if size}
        counted = [group for group in groups if DESCRIPTORS[group].counts]
        if list(groups)[len(groups) - len(counted) :] != counted:
            raise ValueError(f"descriptors={list(groups)}: {', '.join(counted)} are counts and come last.")
        sizes = [size for group, size in groups.items() if group not in counted]
        number, counts = sum(sizes), sum(groups[group] for group in counted)
        if points and not groups:
            raise ValueError(f"points={points}: a Gaussian process needs descriptors.")
        weights = torch.tensor(class_weights or [[1.0, 1.0]] * len(targets), dtype=torch.get_default_dtype())
        if weights.shape != (len(targets), 2) or not bool((weights > 0).all()):
            raise ValueError(
                f"class_weights={class_weights}: expected two positive numbers for each of {len(targets)} "
                "targets."
            )
        self.targets, self.kind, self.coverage = targets, kind, coverage
        self.groups, self.num_descriptors = groups, number
        make = lambda: ENCODERS[encoder](channels, steps, dropout, pool)
        self.members = nn.ModuleList(
            Member(make(), channels, number, len(targets), dropout) for _ in range(members)
        )
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("scale", torch.tensor(scale), persistent=False)
        self.register_buffer("class_weights", weights, persistent=False)
        self.register_buffer("descriptor_mean", torch.zeros(number))
        self.register_buffer("descriptor_scale", torch.ones(number))
        self.register_buffer("half_width", torch.full((len(targets),), torch.inf))
        self.process = DescriptorProcess(points, sizes, len(targets), counts) if points else None
        self.register_buffer("share", torch.zeros(len(targets)))
        self.register_buffer("seen", torch.zeros(ELEMENTS, dtype=torch.bool))

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with what each member says of each property."""
        given = self._descriptors(graph, counts=False)
        prepare = getattr(self.members[0].encoder, "prepare", None)
        prepared = () if prepare is None else (prepare(graph),)
        predicted = torch.stack([member(graph, given, *prepared) for member in self.members], dim=1)
        return graph.with_globals({"predicted": Spec()}, predicted=predicted)

    def _descriptors(self, graph: Graph, counts: bool) -> Float[Tensor, "graphs descriptors"] | None:
        """Return descriptors, standardized, and behind them the counts, if wanted, as they are."""
        if not self.groups:
            return None
        given, expected = graph.globals["descriptors"], sum(self.groups.values())
        if given.shape[1] != expected:
            raise ValueError(
                f"The graphs have {given.shape[1]} descriptors, and the model reads {expected} "
                f"({self.groups}): make it with the groups of the data (descriptors=data.groups)."
            )
        given, counted = given.tensor_split([self.num_descriptors], 1)
        scaled = (given - self.descriptor_mean) / self.descriptor_scale
        scaled = torch.nan_to_num(scaled, nan=0.0).clamp(-FAR, FAR)  # what is not defined is the mean
        return torch.cat([scaled, counted], 1) if counts else scaled

    @torch.no_grad()
    def learn_scales(self, graphs: Graph) -> None:
        """Take the scales of the descriptors, and the elements, from the training graphs."""
        self.seen[graphs.nodes["element"].unique()] = True
        if self.num_descriptors:
            given = graphs.globals["descriptors"][:, : self.num_descriptors].double()
            count = given.isfinite().sum(0).clamp(min=1)
            mean = given.nan_to_num(0.0).sum(0) / count
            spread = ((given - mean).nan_to_num(0.0).square().sum(0) / count).sqrt()
            self.descriptor_mean.copy_(mean)
            # What is the same in all of training says nothing.
            self.descriptor_scale.copy_(torch.where(spread > 1e-8, spread, torch.inf))

    def answer(self, graph: Graph) -> Float[Tensor, "graphs targets"]:
        """Return the ensemble's predictions: in the units of training, or probabilities."""
        predicted, labels = self(graph).globals["predicted"], self.kind == "classification"
        if labels:
            zero, one = self.class_weights.unbind(1)
            predicted = (predicted - (one / zero).log()).sigmoid()
        mean, given = predicted.mean(1), self._descriptors(graph, counts=True)
        if self.process is not None and given is not None:
            said = self.process(given)
            mean = torch.lerp(mean, said.sigmoid() if labels else said, self.share)
        return mean if labels else mean * self.scale + self.mean

    @torch.no_grad()
    def fit_process(self, graphs: Graph) -> None:
        """Fit the process, if there is one, to training graphs with ``globals["y"]``, evenly taken."""
        if self.process is not None:
            taken = torch.linspace(0, len(graphs) - 1, len(self.process.points)).round().long()
            graphs = graphs[taken.to(graphs.device)]
            given = self._descriptors(graphs, counts=True)
            assert given is not None
            labels, y = self.kind == "classification", graphs.globals["y"]
            self.process.fit(given, y if labels else self.standardized(y), labels)

    def standardized(self, values: Float[Tensor, "... targets"]) -> Float[Tensor, "... targets"]:
        """Return values in units of their spread in training."""
        return (values - self.mean) / self.scale

    @torch.no_grad()
    def predict(self, molecules: str | Any | Iterable[Any] | Molecules) -> pd.DataFrame:
        """Predict properties of molecules, one row for each, in order.

        Args:
            molecules: SMILES or an RDKit Mol, a list of these, or what `read_sdf` returns.

        Returns:
            A table with ``smiles``, ``prediction``, ``note``, and for regression ``lower`` and ``upper`` (see
            `coverage`). With several targets the columns are NAME, NAME_lower and NAME_upper. A molecule that
            cannot be read, or has an element that training has not seen, has NaN, and a note that says why.
        """
        import pandas as pd
        from rdkit import Chem

        single = isinstance(molecules, str | Chem.Mol)
        items = [molecules] if single else molecules
        if not isinstance(items, Molecules):
            items = list(items)
        parsed = items if isinstance(items, Molecules) else parse_molecules(items)
        parsed = without_hydrogens(parsed)
        size = max([*parsed.rows, *(failure.row for failure in parsed.failures), -1]) + 1
        values = np.full((size, len(self.targets)), np.nan)
        texts, notes = [""] * size, [""] * size
        for failure in parsed.failures:
            texts[failure.row], notes[failure.row] = failure.text, failure.reason
        for row, mol in zip(parsed.rows, parsed.mols):
            texts[row] = Chem.MolToSmiles(mol)
        if parsed.mols:
            graph = molecule_graph(Molecules(parsed.mols, parsed.rows))
            known = self._known(graph)
            values[list(parsed.rows)] = np.where(known[:, None], self._values(graph, parsed.mols), np.nan)
            for i in np.flatnonzero(~known):
                notes[parsed.rows[i]] = self._strange(parsed.mols[i])
        if not isinstance(items, Molecules):  # what was asked, as it was asked
            texts = [item if isinstance(item, str) else text for item, text in zip(items, texts)]
        return pd.DataFrame({"smiles": texts} | self._columns(values) | {"note": notes})

    def _columns(self, values: Float[np.ndarray, "rows targets"]) -> dict[str, np.ndarray]:
        alone, columns = len(self.targets) == 1, {}
        for i, name in enumerate(self.targets):
            columns["prediction" if alone else name] = values[:, i]
            if self.kind == "regression":
                half = float(self.half_width[i])
                columns["lower" if alone else f"{name}_lower"] = values[:, i] - half
                columns["upper" if alone else f"{name}_upper"] = values[:, i] + half
        return columns

    def _values(self, graph: Graph, mols: Sequence[Any]) -> Float[np.ndarray, "molecules targets"]:
        self.eval()
        like = self.descriptor_mean
        parts = []
        tables = descriptor_tables(mols, list(self.groups)) if self.groups else repeat(None)
        for given, rows in zip(tables, torch.arange(len(graph)).split(CHUNK if self.groups else PREDICTED)):
            part = graph[rows]
            if given is not None:
                part = part.with_globals(descriptors=torch.from_numpy(given).to(like.dtype))
            parts.append(self.answer(part.to(like.device)).double().cpu())
        return torch.cat(parts).numpy()

    def _known(self, graph: Graph) -> Bool[np.ndarray, "molecules"]:
        """Return which molecules have only elements that training saw."""
        strange = (~self.seen.cpu())[graph.nodes["element"]].long()
        number = strange.new_zeros(len(graph)).index_add(0, graph.node_graph, strange)
        return (number == 0).numpy()

    def _strange(self, mol: Any) -> str:
        names = {a.GetSymbol() for a in mol.GetAtoms() if not self.seen[a.GetAtomicNum()]}
        return f"not predicted: training had no molecule with {', '.join(sorted(names))}"
