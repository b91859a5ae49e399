"""What a network must beat: the mean answer, and a linear answer to simple local features.

Baselines see what the task shows and nothing else, as the network does.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from sciml.builders.residue import AMINO
from sciml.datasets.residue_tasks import ResidueTask, visible
from sciml.graph import Graph
from sciml.nn.message_passing import segment_reduce
from sciml.training.residue_scores import Answers

RADII = (6.5, 8.0, 10.0)  # Å, in which CA are counted
STEPS = (-4, -3, -2, 2, 3, 4)  # places along the chain to which distances are taken
_SPREAD = {-4: 10.0, -3: 7.5, -2: 6.0, 2: 6.0, 3: 7.5, 4: 10.0}  # Å, where there is no such residue


def local_features(graph: Graph, task: ResidueTask) -> Float[np.ndarray, "nodes features"]:
    """Return simple numbers for each residue: neighbours within `RADII`, distances along the chain, its type.

    Under a view of the backbone: cosine and sine of φ, ψ and ω in place of the type.
    """
    shown = visible(graph, task.shows)
    distance, number = shown.edge_vectors().norm(dim=-1), shown.num_nodes
    count = lambda radius: segment_reduce((distance < radius).to(distance.dtype), shown.receiver, number)
    columns: list[Tensor] = [torch.stack([count(radius) for radius in RADII], dim=1)]
    columns += [_along_chain(shown, distance)]
    if "type" in shown.nodes:
        columns.append(_one_hot(shown.nodes["type"], distance.dtype))
    if "torsion" in shown.nodes:
        angle, there = shown.nodes["torsion"][:, :3], shown.nodes["torsion_mask"][:, :3]
        columns += [angle.cos() * there, angle.sin() * there]
    return torch.cat(columns, dim=1).double().numpy()


def pair_columns(asked: Graph) -> Float[np.ndarray, "candidates features"]:
    """Return what shown contacts say of each candidate, and the types of both ends, counted."""
    rows = asked.edges["candidate"]
    pair = asked.edges["pair"][rows]
    types = _one_hot(asked.nodes["type"], pair.dtype)
    ends = types[asked.sender[rows]] + types[asked.receiver[rows]]
    return torch.cat([pair, ends], dim=1).double().numpy()


def mean_answers(task: ResidueTask, train: Graph, answers: Answers) -> Answers:
    """Answer the same everywhere: the mean, the shares of classes, one rate of contacts, no displacement."""
    if task.kind in ("pairs", "vectors"):  # any constant ranks pairs alike; no displacement is the mean one
        return _answered(answers, np.zeros_like(answers.true, dtype=float))
    known = train.nodes["target"][train.nodes["target_mask"]].numpy()
    if task.kind == "number":
        guess: np.ndarray = np.full(len(answers.true), known.mean())
    else:
        share = np.bincount(known, minlength=len(task.classes)) + 0.5  # no class is impossible
        guess = np.tile(np.log(share / share.sum()), (len(answers.true), 1))
    return _answered(answers, guess)


def linear_answers(task: ResidueTask, train: Graph, test: Graph, answers: Answers) -> Answers:
    """Answer by ridge or logistic regression on local features.

    Args:
        task: of both graphs.
        train, test: with targets; for contacts and noise, as they are asked.
        answers: what is true of ``test``, row by row.
    """
    if task.kind == "vectors":
        return _answered(answers, _smoothed(train, test))
    if task.kind == "pairs":
        x, y = pair_columns(train), train.edges["label"][train.edges["candidate"]].numpy()
        return _answered(answers, _logistic(x, y).decision_function(pair_columns(test)))
    mask = {graph: graph.nodes["target_mask"].numpy() for graph in (train, test)}
    x, y = local_features(train, task)[mask[train]], train.nodes["target"].numpy()[mask[train]]
    new = local_features(test, task)[mask[test]]
    if task.kind == "number":
        return _answered(answers, make_pipeline(StandardScaler(), Ridge(1.0)).fit(x, y).predict(new))
    model = _logistic(x, y)
    found = np.full((len(new), len(task.classes)), np.log(1e-6))  # classes that training never showed
    found[:, model[-1].classes_] = model.predict_log_proba(new)
    return _answered(answers, found)


# -------------------------------------------------------------------- details


def _answered(answers: Answers, predicted: np.ndarray) -> Answers:
    return Answers(predicted, answers.true, answers.owner, answers.centre)


def _logistic(x: np.ndarray, y: np.ndarray):
    return make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=500)).fit(x, y)


def _one_hot(types: Tensor, dtype: torch.dtype) -> Tensor:
    """Amino acids one by one, and all others together."""
    return torch.nn.functional.one_hot(types.clamp(max=len(AMINO)), len(AMINO) + 1).to(dtype)


def _along_chain(shown: Graph, distance: Tensor) -> Float[Tensor, "nodes steps"]:
    """Distances of CA to those a few bonds on and back; a usual distance where the chain ends."""
    columns = []
    for step in STEPS:
        rows = (shown.edges["separation"] == step) & shown.edges["kind"][:, 2]
        column = torch.full((shown.num_nodes,), _SPREAD[step], dtype=distance.dtype)
        columns.append(column.index_copy(0, shown.receiver[rows], distance[rows]))
    return torch.stack(columns, dim=1)


def _smoothing_basis(asked: Graph) -> Float[np.ndarray, "vectors nodes 3"]:
    """Vectors of which a displacement is made: sums of those to neighbours in the chain, and to contacts."""
    vectors = -asked.edge_vectors()  # from the receiver to the sender
    steps, chain = asked.edges["separation"].abs(), asked.edges["kind"][:, 2]
    basis = []
    for chosen in [*(chain & (steps == k) for k in (1, 2, 3, 4)), asked.edges["kind"][:, 0] & (steps > 4)]:
        one = chosen.to(vectors.dtype)[:, None]
        basis.append(segment_reduce(vectors * one, asked.receiver, asked.num_nodes))
    return torch.stack(basis).double().numpy()


def _smoothed(train: Graph, test: Graph) -> Float[np.ndarray, "rows 3"]:
    """Least squares of displacements on the basis; one coefficient for x, y and z, so that it turns along."""
    known = train.nodes["target_mask"].numpy()
    basis = _smoothing_basis(train)[:, known]
    target = train.nodes["target"].double().numpy()[known]
    coefficients = np.linalg.lstsq(basis.reshape(len(basis), -1).T, target.ravel(), rcond=None)[0]
    found = np.einsum("k,kni->ni", coefficients, _smoothing_basis(test))
    return found[test.nodes["target_mask"].numpy()]
