"""Does a layer hold the symmetry that it declares, and nothing beyond it?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches

import torch
from torch import Generator, Tensor

from sciml.graph import PLACES, Graph, Place, Spec, batch, unbatch
from sciml.symmetry.action import Group
from sciml.symmetry.groups import GROUPS
from sciml.symmetry.permutation import EdgeOrder, Permutation
from sciml.symmetry.report import Report, Row

Model = Callable[[Graph], Graph | Tensor | Mapping[str, Tensor]]

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}


@dataclass(frozen=True)
class Symmetry:
    """What a layer declares.

    Attributes:
        groups: names in `GROUPS` or Group objects; the layer is equivariant under each.
        output: what the output means where the layer returns a bare tensor, or by name where it returns
            several; an invariant by default.
        place: where bare tensors belong; found from their lengths if None.

    Raises:
        ValueError: an unknown name, or a group beside one that contains it.
    """

    groups: tuple[str | Group, ...] = ()
    output: Spec | Mapping[str, Spec] = field(default_factory=Spec)
    place: Place | None = None

    def __post_init__(self) -> None:
        if isinstance(self.groups, str):
            raise TypeError(f"groups is a tuple of names, as ({self.groups!r},), not a string.")
        for name in self.groups:
            if isinstance(name, str) and name not in GROUPS:
                near = get_close_matches(name, GROUPS, n=1) or list(GROUPS)
                raise ValueError(f"Unknown group {name!r}; did you mean {' or '.join(near)}?")
        for group in self.resolved:
            for name in set(group.contains) & set(self.groups):
                raise ValueError(f"{group.name} contains {name}: declare the larger one only.")

    @property
    def resolved(self) -> list[Group]:
        """The groups themselves."""
        return [GROUPS[g] if isinstance(g, str) else g for g in self.groups]


def check(
    model: Model,
    graph: Graph,
    *,
    symmetry: Symmetry | Iterable[str] | None = None,
    samples: int = 3,
    seed: int = 0,
    tolerance: float | None = None,
) -> Report:
    """Test f(g·x) = g·f(x) for each declared group, and that f notices what lies outside it.

    The second half keeps constants and dead layers from passing: some output must change by more than
    the tolerance under a transformation that is not in the group. For SO(d) that is the mirror image:
    a layer that is unmoved by it holds O(d) and should say so. Besides, whatever is declared: a batched
    result equals the single ones, and the order of edges is irrelevant.

    Args:
        model: Graph → Graph, whose new or changed fields are judged by their Specs, or Graph → Tensor (or
            a dict of tensors), taken for invariants with one row per graph, node or edge unless
            ``symmetry`` says more. A module is checked in evaluation mode.
        graph: an example, best without symmetry of its own (random positions, differing nodes).
        symmetry: what is to hold; names of groups suffice. By default ``model.symmetry``.
        samples: elements drawn from each group.
        seed: for the elements.
        tolerance: largest relative error; by default from the lowest precision among inputs and outputs
            (1e-9 in float64, 1e-4 in float32).

    Raises:
        ValueError: no symmetry is declared, the model changes no field, or the graph has nothing for a
            group to act on.
        TypeError: the model returns something else than a graph, a tensor or a dict of tensors.
    """
    if not isinstance(graph, Graph):
        raise TypeError(f"The example must be a Graph (see sciml.builders), not {type(graph).__name__}.")
    symmetry = _declared(model, symmetry)
    name = getattr(model, "__name__", type(model).__name__)
    with _evaluating(model), torch.enable_grad():  # a model may derive forces by itself
        run = _Run(model, graph.detach(), symmetry, tolerance)
        rows = [row for group in symmetry.resolved for row in run.group(group, samples, _seeded(seed))]
        rows += run.group(EdgeOrder(), samples, _seeded(seed), look_outside=False)
        rows += run.batching(_seeded(seed))
    title = (
        f"Symmetry of {name}: {graph.num_graphs} graph{'s' * (graph.num_graphs != 1)}, {graph.num_nodes} "
        f"nodes, {graph.num_edges} edges, tolerance {run.tolerance:.0e}"
    )
    return Report(title, rows, run.tolerance)


class _Run:
    """One model on one graph: f(x) is computed once and held against all else."""

    def __init__(self, model: Model, graph: Graph, symmetry: Symmetry, tolerance: float | None) -> None:
        self.model, self.graph, self.symmetry = model, graph, symmetry
        self.output = self.evaluate(graph)
        self.fields = _changed_fields(graph, self.output)
        if not self.fields:
            raise ValueError("The model adds and changes no field of the graph: there is nothing to check.")
        self.tolerance = tolerance or max(
            TOLERANCES.get(value.dtype, 0.0)
            for value in [*_values(graph), *_values(self.output), torch.empty(0, dtype=torch.float64)]
        )

    def evaluate(self, graph: Graph) -> Graph:
        """Return f(graph) as a graph, a bare tensor as its field ``output``, a dict as fields by name."""
        result = self.model(graph)
        if isinstance(result, Graph):
            return result.detach()
        meaning = self.symmetry.output
        values = {"output": result} if isinstance(result, Tensor) else result
        if not isinstance(values, Mapping) or not all(isinstance(v, Tensor) for v in values.values()):
            raise TypeError(
                f"The model must return a Graph, a Tensor or a dict of tensors, not {type(result).__name__}."
            )
        for name, value in values.items():
            place = self.symmetry.place or _place_of(value, graph)
            spec = meaning if isinstance(meaning, Spec) else meaning.get(name, Spec())
            graph = getattr(graph, f"with_{place}")({name: spec}, **{name: value.detach()})
        return graph

    def group(
        self, group: Group, samples: int, generator: Generator, look_outside: bool = True
    ) -> Iterator[Row]:
        """Yield one row per output field."""
        worst = dict.fromkeys(self.fields, (0.0, None))
        for _ in range(samples):
            element = group.sample(self.graph, generator)
            errors = self.differences(
                self.evaluate(group.act(element, self.graph)), group.act(element, self.output)
            )
            for key, error in errors.items():
                if worst[key][1] is None or not error <= worst[key][0]:
                    worst[key] = (error, element)
        changes, outside, blind = self.outside(group, generator) if look_outside else ({}, "", "")
        for key, (error, element) in worst.items():
            problem = "" if error <= self.tolerance else _fault("not equivariant", error)
            yield Row(group.name, ".".join(key), error, changes.get(key), outside, element, problem or blind)

    def outside(self, group: Group, generator: Generator) -> tuple[dict[tuple[Place, str], float], str, str]:
        """Return changes per field, the transformation, and the fault if no field changes."""
        tried: list[str] = []
        changes: dict[tuple[Place, str], float] = {}
        for description, changed, expected in group.outside(self.graph, generator):
            changes = self.differences(self.evaluate(changed), expected(self.output))
            if any(change > self.tolerance for change in changes.values()):
                return changes, description, ""
            tried.append(description)
        fault = f"unmoved by what is not in {group.name} ({', '.join(tried)}): "
        return changes, ", ".join(tried), fault + "the output ignores it, or the example is too symmetric"

    def batching(self, generator: Generator) -> Iterator[Row]:
        """Compare f of a batch with the batch of f; a single graph gets an altered copy beside it."""
        together = self.graph
        if together.num_graphs == 1:
            *_, (_, altered, _) = Permutation().outside(self.graph, generator)
            together = batch([self.graph, altered])
        single = batch([self.evaluate(part) for part in unbatch(together)])
        for key, error in self.differences(self.evaluate(together), single).items():
            problem = "" if error <= self.tolerance else _fault("batched and single results differ", error)
            yield Row("batch", ".".join(key), error, problem=problem)

    def differences(self, actual: Graph, expected: Graph) -> dict[tuple[Place, str], float]:
        """Relative largest difference of every output field."""
        return {
            (place, name): _relative(getattr(actual, place)[name], getattr(expected, place)[name])
            for place, name in self.fields
        }


# -------------------------------------------------------------------- details


def _declared(model: Model, symmetry: Symmetry | Iterable[str] | None) -> Symmetry:
    if symmetry is None:
        symmetry = getattr(model, "symmetry", None)
    if symmetry is None:
        raise ValueError(
            f"{type(model).__name__} declares no symmetry: pass symmetry=Symmetry(groups=('S', 'T', 'O')), "
            f"or give it an attribute `symmetry`. Groups: {', '.join(GROUPS)}."
        )
    if isinstance(symmetry, Symmetry):
        return symmetry
    return Symmetry(groups=(symmetry,) if isinstance(symmetry, str) else tuple(symmetry))


@contextmanager
def _evaluating(model: Model) -> Iterator[None]:
    """Put a module into evaluation mode for a while: dropout is no lack of symmetry."""
    modes = {m: m.training for m in model.modules()} if isinstance(model, torch.nn.Module) else {}
    for module in modes:
        module.training = False
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def _values(graph: Graph) -> list[Tensor]:
    return [value for place in PLACES for value in (getattr(graph, place) or {}).values()]


def _changed_fields(graph: Graph, output: Graph) -> list[tuple[Place, str]]:
    """Fields that the model added or changed; a copied input tells nothing about the model."""
    return [
        (place, name)
        for place in PLACES
        for name, value in (getattr(output, place) or {}).items()
        if not _identical((getattr(graph, place) or {}).get(name), value)
    ]


def _identical(old: Tensor | None, new: Tensor) -> bool:
    if old is None or old.shape != new.shape or old.dtype != new.dtype:
        return False
    return torch.allclose(old, new, rtol=0, atol=0, equal_nan=True)


def _fault(what: str, error: float) -> str:
    return f"{what} (error {error:.1e})" if math.isfinite(error) else "the output is not finite, or misshapen"


def _place_of(result: Tensor, graph: Graph) -> Place:
    lengths: dict[Place, int] = {
        "globals": graph.num_graphs,
        "nodes": graph.num_nodes,
        "edges": graph.num_edges,
    }
    places = [place for place, length in lengths.items() if result.ndim and len(result) == length]
    if len(places) != 1:
        found = " and ".join(places) or "none of them"
        raise ValueError(
            f"The model returned a tensor of shape {tuple(result.shape)} for {lengths}: its first axis fits "
            f"{found}. Return one row per graph, node or edge; say which with Symmetry(..., place='nodes')."
        )
    return places[0]


def _relative(actual: Tensor, expected: Tensor) -> float:
    if actual.shape != expected.shape:
        return float("inf")
    if actual.numel() == 0:
        return 0.0
    actual, expected = actual.double(), expected.double()
    difference = float((actual - expected).abs().max())
    return difference / max(float(actual.abs().max()), float(expected.abs().max())) if difference else 0.0
