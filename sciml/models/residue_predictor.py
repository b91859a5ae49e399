"""One task on residues, from a structure file to predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from sciml.builders.residue import residue_graph, residue_labels
from sciml.datasets.contact_maps import PAIR, hide_contacts
from sciml.datasets.residue_tasks import ResidueTask, task_named, visible
from sciml.graph import Graph
from sciml.models.contact_network import ContactNetwork
from sciml.models.residue_network import ResidueNetwork

if TYPE_CHECKING:
    import pandas as pd

INPUTS = {
    "trace": ("place", "type", "frame"),
    "backbone": ("place", "frame", "torsion"),
    "noisy trace": ("place", "type", "frame"),
}
"""What a `ResidueNetwork` reads under each view; contacts have a network of their own."""


class ResiduePredictor(nn.Module):
    """A network for one of `sciml.datasets.residue_tasks.TASKS`, which sees what the task may show.

    Args:
        task: its name.
        kind: of `ResidueNetwork`; of no meaning for contacts, which have a `ContactNetwork`.
        channels, vectors, edge_channels, layers, dropout: of the network.
        scale: standard deviation and mean of the target, where it is a number: (mean, deviation).

    Input: residue graphs under the task's options. Output: the same with ``predicted_TASK``, on nodes or, for
    contacts, on edges.
    """

    def __init__(
        self,
        task: str,
        kind: str = "gvp",
        channels: int = 64,
        vectors: int = 16,
        edge_channels: int = 32,
        layers: int = 3,
        dropout: float = 0.1,
        scale: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        super().__init__()
        self.task: ResidueTask = task_named(task)
        self.mean, self.deviation = map(float, scale)
        name, outputs = self.task.name, self.task.outputs
        if self.task.kind == "pairs":
            self.network: nn.Module = ContactNetwork(len(PAIR), channels, layers, dropout)
        else:
            self.network = ResidueNetwork(
                None if self.task.kind == "vectors" else {name: outputs},
                vector_heads=(name,) if self.task.kind == "vectors" else (),
                kind=kind,  # type: ignore[arg-type]
                inputs=INPUTS[self.task.view],
                channels=channels,
                vectors=vectors,
                edge_channels=edge_channels,
                layers=layers,
                dropout=dropout,
            )
        self.symmetry = self.network.symmetry

    def forward(self, graph: Graph) -> Graph:
        """Return the graph with the predicted field; only what the task shows is read."""
        place = "edges" if self.task.kind == "pairs" else "nodes"
        name = f"predicted_{self.task.name}"
        found = self.network(visible(graph, self.task.shows))
        value = getattr(found, place)[name]
        if self.task.kind == "number":
            value = self.mean + self.deviation * value
        spec = {name: found.spec(place, name)}  # type: ignore[arg-type]
        return getattr(graph, f"with_{place}")(spec, **{name: value})

    @torch.no_grad()
    def predict(self, source: Any, **options: Any) -> pd.DataFrame:
        """Return predictions for a structure, a row for each residue (for contacts: for each pair).

        Columns are ``residue`` (as ``A/GLY 42``), ``chain``, ``number`` and: for numbers ``predicted``; for
        classes ``predicted`` and the probability of each; for vectors ``dx``, ``dy``, ``dz`` in Å, towards
        where the network thinks each CA belongs; for contacts ``residue``, ``other`` and ``probability`` of
        pairs that are not in contact, likeliest first. Residues that are no amino acids are left out.

        Args:
            source: path, gemmi.Structure, or what else `sciml.builders.residue_graph` takes.
            options: of `sciml.builders.residue_graph`, as ``model=2``.

        Raises:
            FileNotFoundError, ValueError: as `sciml.builders.residue_graph`.
        """
        import pandas as pd

        source = Path(source).expanduser() if isinstance(source, str) else source
        graph = residue_graph(source, **{**self.task.shows.options, **options})
        labels = np.array(residue_labels(graph))
        dtype = next(self.parameters()).dtype
        training, _ = self.training, self.eval()
        try:
            if self.task.kind == "pairs":
                return self._pairs(graph.to(dtype), labels)
            found = self(graph.to(dtype)).nodes[f"predicted_{self.task.name}"]
        finally:
            self.train(training)
        amino = (graph.nodes["type"] < 20).numpy()
        columns: dict[str, Any] = {
            "residue": labels,
            "chain": [label.split("/")[0] for label in labels],
            "number": graph.nodes["number"].numpy(),
        }
        columns |= self._columns(found)
        return pd.DataFrame(columns)[amino].reset_index(drop=True)

    def _columns(self, found: Tensor) -> dict[str, Any]:
        if self.task.kind == "number":
            return {"predicted": found.numpy()}
        if self.task.kind == "vectors":
            return dict(zip(("dx", "dy", "dz"), found.numpy().T))
        share = found.softmax(-1).numpy()
        names = np.array(self.task.classes)
        return {"predicted": names[share.argmax(1)]} | dict(zip(self.task.classes, share.T))

    def _pairs(self, graph: Graph, labels: np.ndarray) -> pd.DataFrame:
        import pandas as pd

        asked = self(hide_contacts(graph, share=0.0))
        rows = asked.edges["candidate"]
        i, j = asked.edge_index[:, rows].numpy()
        probability = asked.edges["predicted_contacts"][rows].sigmoid().numpy()
        table = pd.DataFrame({"residue": labels[i], "other": labels[j], "probability": probability})
        return table.sort_values("probability", ascending=False, kind="stable", ignore_index=True)
