"""What can be asked of residues, and what an answer may be read from.

A task has a view, which lists the fields that a network is shown, and a target. `visible` makes the graph
that is shown: fields that are not of the view are not in it, so that no answer leaks through an input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sciml.builders.residue import AMINO, SECONDARY
from sciml.graph import Graph
from sciml.nn.message_passing import segment_reduce

Kind = Literal["number", "classes", "pairs", "vectors"]
Target = tuple[Tensor, Bool[Tensor, "nodes"]]
STATES = ("helix", "strand", "coil")
_STATE = {"H": 0, "G": 0, "I": 0, "E": 1, "B": 1}
_BACKBONE_TORSIONS = 3  # φ, ψ, ω come first; χ tell the type


@dataclass(frozen=True)
class View:
    """What a network is shown of a structure.

    Attributes:
        options: for `sciml.builders.residue_graph`, so that edges and frames come from what is shown.
        nodes, edges: fields that are shown.
        says: the same for people.
    """

    options: Mapping[str, Any]
    nodes: tuple[str, ...]
    edges: tuple[str, ...]
    says: str


_EDGES = ("kind", "same_chain", "separation")
_COMMON = {"contact": "ca", "cutoff": 10.0, "sequence": 4, "secondary": "dssp"}
VIEWS = {
    "trace": View(
        _COMMON | {"frame": "trace"},
        ("pos", "frame", "frame_mask", "type", "chain", "place"),
        _EDGES,
        "CA positions and residue types",
    ),
    "backbone": View(
        _COMMON | {"frame": "backbone"},
        ("pos", "frame", "frame_mask", "torsion", "torsion_mask", "chain", "place"),
        _EDGES,
        "N, CA and C, with φ, ψ, ω; no type, no side chain, no Cβ of the file",
    ),
    "sequence": View(
        {"contact": "cb", "cutoff": 8.0, "sequence": 4, "secondary": "dssp"},
        ("type", "chain", "place"),
        ("kind", "same_chain", "separation", "observed", "candidate", "pair"),
        "residue types and the contacts that are not hidden; no coordinates",
    ),
    "noisy trace": View(
        _COMMON | {"frame": "trace"},
        ("pos", "frame", "frame_mask", "type", "chain", "place"),
        _EDGES,
        "CA positions with noise on them, frames and edges found among these, and residue types",
    ),
}


@dataclass(frozen=True)
class ResidueTask:
    """A question about residues.

    Attributes:
        name, question: for the command line and for people.
        kind: ``number`` or ``classes`` for each residue, ``pairs`` of residues, ``vectors`` at residues.
        view: name in `VIEWS`.
        target: from a residue graph to values and where they are known.
        classes: names of the classes.
        unit: of the values.
        epochs: of training on some 70 structures, where nothing else is said.
    """

    name: str
    question: str
    kind: Kind
    view: str
    target: Callable[[Graph], Target]
    classes: tuple[str, ...] = field(default=())
    unit: str = ""
    epochs: int = 20

    @property
    def outputs(self) -> int:
        """Channels that a network gives for each residue or pair."""
        return len(self.classes) or 1

    @property
    def shows(self) -> View:
        """The view itself."""
        return VIEWS[self.view]


def visible(graph: Graph, view: View) -> Graph:
    """Return the graph with the fields of the view and no others; torsions of side chains are blank.

    Raises:
        ValueError: a field of the view that is not there.
    """
    shown: dict[str, dict[str, Tensor]] = {}
    for place, wanted in (("nodes", view.nodes), ("edges", view.edges)):
        fields = getattr(graph, place)
        missing = [name for name in wanted if name not in fields]
        if missing:
            raise ValueError(
                f"The graph has no {place}.{', '.join(missing)}, which this task reads; build it by "
                f"residue_graph(..., {', '.join(f'{k}={v!r}' for k, v in view.options.items())})."
            )
        shown[place] = {name: fields[name] for name in wanted}
    specs = {key: spec for key, spec in graph.specs.items() if key[1] in shown.get(key[0], {})}
    for name in ("torsion", "torsion_mask"):
        if name in shown["nodes"]:
            backbone = shown["nodes"][name][:, :_BACKBONE_TORSIONS]
            shown["nodes"][name] = torch.nn.functional.pad(backbone, (0, shown["nodes"][name].shape[1] - 3))
    return graph.replace(**shown, globals={}, specs=specs, layout=None)


# -------------------------------------------------------------------- targets


def _whole(graph: Graph) -> Bool[Tensor, "nodes"]:
    """Amino acids with their whole backbone: of others neither surface nor hydrogen bonds are known."""
    nodes = graph.nodes
    return (nodes["type"] < len(AMINO)) & (nodes["secondary"] != SECONDARY.index("?"))


def exposure(graph: Graph) -> Target:
    """Return the solvent-accessible surface relative to the type's largest (Tien et al. 2013)."""
    return graph.nodes["exposure"], _whole(graph)


def secondary(graph: Graph) -> Target:
    """Return DSSP's states in three classes: helix (H, G, I), strand (E, B), coil."""
    states = torch.tensor([_STATE.get(letter, 2) for letter in SECONDARY], device=graph.device)
    return states[graph.nodes["secondary"]], _whole(graph)


def b_factor(graph: Graph) -> Target:
    """Return B-factors of CA, in standard deviations of their structure from its mean.

    Structures whose B-factors are all alike (NMR, models) or are pLDDT have none.
    """
    amino = graph.nodes["type"] < len(AMINO)
    values, owner = graph.nodes["b_factor"], graph.node_graph
    count = segment_reduce(amino.to(values.dtype), owner, len(graph)).clamp(min=1)
    mean_of = lambda x: segment_reduce(x, owner, len(graph)) / count
    mean = mean_of(values * amino)
    variance = mean_of(((values - mean[owner]) ** 2) * amino)
    varied = (variance > 0.01) & ~graph.globals["predicted"]
    z = (values - mean[owner]) / variance.clamp(min=1e-6).sqrt()[owner]
    return z * varied[owner], amino & varied[owner]


def residue_type(graph: Graph) -> Target:
    """Return the type of each amino acid whose backbone is whole."""
    known = _whole(graph) & graph.nodes["frame_mask"]
    return graph.nodes["type"].clamp(max=len(AMINO) - 1), known


def _none(graph: Graph) -> tuple[Float[Tensor, "nodes"], Bool[Tensor, "nodes"]]:
    """Return where there is an amino acid; hidden contacts and noise are drawn anew each time."""
    return torch.zeros(graph.num_nodes, device=graph.device), graph.nodes["type"] < len(AMINO)


TASKS = {
    task.name: task
    for task in (
        ResidueTask("exposure", "How much of each residue does water reach?", "number", "trace", exposure),
        ResidueTask("secondary", "Helix, strand or coil?", "classes", "trace", secondary, classes=STATES),
        ResidueTask("b_factor", "Which residues move, judged by B-factors?", "number", "trace", b_factor),
        ResidueTask(
            "type", "Which residue fits this backbone?", "classes", "backbone", residue_type, classes=AMINO
        ),
        ResidueTask("contacts", "Which contacts are hidden?", "pairs", "sequence", _none, epochs=60),
        ResidueTask(
            "denoise",
            "Where was each CA before it was shaken?",
            "vectors",
            "noisy trace",
            _none,
            unit="angstrom",
        ),
    )
}


def task_named(name: str) -> ResidueTask:
    """Return a task by its name.

    Raises:
        ValueError: there is none of this name; the nearest is named.
    """
    from difflib import get_close_matches

    if name not in TASKS:
        near = get_close_matches(str(name), TASKS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(TASKS)}."
        raise ValueError(f"There is no task {name!r} on residues; {hint}")
    return TASKS[name]
