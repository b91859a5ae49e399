"""Cranmer's table: do messages become forces, and is the right law read out of them?

    python scripts/bench_distill.py
    python scripts/bench_distill.py --systems spring charge --models bottleneck l1 --dim 2 --seeds 0 1 2

Four particles, masses (and charges) given and different, accelerations to learn from, no force ever shown
(Cranmer et al. 2020, arXiv 2006.11287). R² is that of messages against the best linear combination of the
true forces and a constant, on all edges of simulations that nothing was fitted to, none dropped: the least of
the components that the network reads out, and in brackets of the channels of largest variance. A law is right
if it has the form of the truth (with constants refitted to it off by less than 1e-9 on 95 % of edges up to
twice as far, and no more than 1.7 × its nodes + 6) and, as found, is within 1 % of it there. The drag of
damped springs belongs to a force of each particle's own, the springs to the messages. Rows are appended to a
file as they come.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import logging
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import sympy
import torch
from rich.console import Console
from rich.table import Table

from sciml.datasets.simulated import of_truth
from sciml.distill import record
from sciml.distill.expression import complexity, parse
from sciml.distill.pipeline import distill
from sciml.distill.record import MessageTable
from sciml.distill.reduce import NothingLearnedError
from sciml.distill.sharpen import sharpen
from sciml.distill.structured.fitting import Fit
from sciml.models import InteractionNetwork
from sciml.physics.systems import simulate
from sciml.training.dynamics import DynamicsData, dynamics_data, train_dynamics

TRUTH = {
    "spring": "-(r - 1.0)",
    "inverse": "-m_i*m_j/r",
    "gravity": "-m_i*m_j/r**2",
    "charge": "q_i*q_j/r**2",
    "damped": "-(r - 1.0)",
    "discontinuous": "-(r - 0.5)*Heaviside(r - 1.0)",
}
NAMES = {"inverse": "1/r", "gravity": "1/r²"}
MANY = {"message": "free", "message_size": 100, "hidden_sizes": (64, 64), "activation": "silu"}
MODELS = {
    "equivariant": {"message": "radial", "output": "signed"},
    "bottleneck": MANY | {"message_size": None},
    "standard": MANY,
    "l1": MANY | {"regularizer": "l1", "strength": 1e-3},
    "kl": MANY | {"regularizer": "kl", "strength": 1e-3},
    "pruned": MANY | {"regularizer": "prune"},
}
ADAM = {"optimizer": "adamw", "epochs": 60, "batch_size": 50, "loss": "huber", "learning_rate": 1e-2}
SECOND_ORDER = [
    ADAM | {"epochs": 20, "batch_size": 32},
    {"optimizer": "levenberg_marquardt", "epochs": 75, "batch_size": None, "loss": "huber"},
]
FRAMES = {"radial": 400, "free": 3200}  # for the network
SEARCHED = 300  # frames whose messages are searched
COLUMNS = (
    "system", "dim", "model", "seed", "r2", "r2_channels", "error", "right", "law_error", "verdict",
    "train_seconds", "law_seconds", "formula",
)  # fmt: skip


def data_of(system: str, dim: int, seed: int, frames: int) -> DynamicsData:
    """Simulate 250 times, masses and charges different in each; a fifth is kept back."""
    rng = np.random.default_rng([seed, dim])
    shape = (250, 4)
    truth = simulate(
        system,
        dim=dim,
        particles=4,
        simulations=250,
        times=20,
        dt=0.05,
        substeps=50,
        masses=10 ** rng.uniform(-0.5, 0.5, shape),
        charges=rng.choice([-1, 1], shape) * rng.uniform(0.5, 2, shape),
        seed=seed,
    )
    given = ["mass", "charge"] if system == "charge" else ["mass"]
    trajectories = of_truth(truth, given, f"simulated {system}, seed {seed}")
    return dynamics_data(trajectories, frames=frames, fit_frames=500, held_out_frames=1000, seed=seed)


def evaluate(system: str, table: dict[str, np.ndarray], expression: sympy.Expr | None = None) -> np.ndarray:
    """Return a law, the true one if none is given, on a table of variables."""
    names = list(table)
    law = parse(TRUTH[system], names) if expression is None else expression
    X = np.stack(list(table.values()), axis=1)
    return Fit(law, [sympy.Symbol(n) for n in names], X, np.zeros(len(X)), np.ones(len(X))).predict()


def r_squared(messages: np.ndarray, forces: np.ndarray) -> float:
    """Return the least R² of message components against linear combinations of the forces and a constant."""
    columns = np.c_[forces, np.ones(len(forces))]
    left = messages - columns @ np.linalg.lstsq(columns, messages, rcond=None)[0]
    return float((1 - left.var(axis=0) / np.maximum(messages.var(axis=0), 1e-300)).min())


def judge_messages(system: str, table: MessageTable) -> tuple[float, float]:
    """Return R² of what is read out, and of the channels of largest variance."""
    forces = evaluate(system, table.variables)[:, None] * table.direction
    dim = forces.shape[1]
    loudest = table.message[:, np.argsort(-table.message.var(axis=0))[:dim]]
    read = table.message if table.readout is None else table.message @ table.readout.T
    return r_squared(read, forces), r_squared(loudest, forces)


def judge_law(system: str, expression: sympy.Expr, table: MessageTable) -> tuple[bool, float]:
    """Return whether a law is the true one, and how far it is off as found, on up to twice the distances."""
    truth = parse(TRUTH[system], list(table.variables))
    if not expression.free_symbols <= {sympy.Symbol(n) for n in table.variables}:
        return False, np.inf
    wide = {name: values.copy() for name, values in table.variables.items()}
    wide["r"] *= np.random.default_rng(0).uniform(0.5, 2.0, len(table))
    y = evaluate(system, wide)
    scale = np.abs(y) + 0.1 * np.median(np.abs(y[y != 0]))  # most forces may be none
    as_found = _quantile(evaluate(system, wide, expression), y, scale)
    symbols, X = [sympy.Symbol(n) for n in wide], np.stack(list(wide.values()), axis=1)
    floats = expression.xreplace({n: sympy.Float(float(n)) for n in expression.atoms(sympy.NumberSymbol)})
    weights = scale**-2.0
    for _ in range(2):  # without the few rows between two thresholds, which no slope can mend
        fit = Fit(floats, symbols, X, y, weights)
        fit.refit(100, 1e-14)
        error = np.abs(fit.predict() - y) / scale
        weights = np.where(error <= np.quantile(error, 0.95), scale**-2.0, 0.0)
        floats = fit.expression()
    exact = _quantile(fit.predict(), y, scale) < 1e-9
    # a term that only its constant's vanishing makes right is one too many
    exact = exact and all(abs(c) > 1e-6 for c in fit.expression().atoms(sympy.Float))
    short = complexity(expression) <= 1.7 * complexity(truth) + 6
    return bool(exact and short and as_found < 1e-2), as_found


def _quantile(found: np.ndarray, y: np.ndarray, scale: np.ndarray) -> float:
    return float(np.quantile(np.nan_to_num(np.abs(found - y) / scale, nan=np.inf), 0.95))


def run(system: str, dim: int, name: str, seed: int, seconds: float, data: DynamicsData) -> dict[str, object]:
    """Train one model, judge its messages, read a law out of them and judge it."""
    options = MODELS[name]
    torch.manual_seed(seed)
    model = InteractionNetwork(
        update="force_over_mass", own_force=system == "damped", **options, **data.arguments
    )
    start = time.process_time()
    stages = SECOND_ORDER if name == "equivariant" else [ADAM]
    with tempfile.TemporaryDirectory() as directory:
        metrics = train_dynamics(model, data, stages, directory, seed=seed, progress=False)
    model = sharpen(model, data.train).eval()
    trained = time.process_time()
    table = record(model, data.held_out)
    read, channels = judge_messages(system, table)
    row: dict[str, object] = {"system": system, "dim": dim, "model": name, "seed": seed}
    row |= {"r2": read, "r2_channels": channels, "error": metrics["validation/relative_error"]}
    row |= {"right": False, "law_error": np.inf, "verdict": "none", "formula": ""}
    judged = time.process_time()
    try:
        some = data.train[:: max(1, len(data.train) // SEARCHED)]
        found = distill(model, some, data.held_out, fit=data.fit, seconds=seconds, seed=seed)
        law = found.choice.best.expression
        right, error = judge_law(system, law, table)
        row |= {"right": right, "law_error": error, "verdict": found.law.verdict}
        row["formula"] = str(sympy.N(law, 5))
    except (NothingLearnedError, ValueError) as problem:
        row["formula"] = f"{type(problem).__name__}: {problem}".replace("\n", " ")
    return row | {"train_seconds": trained - start, "law_seconds": time.process_time() - judged}


def append(path: Path, row: dict[str, object]) -> None:
    """Append a row to a CSV file, with its header where the file is new."""
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})


def summary(rows: list[dict[str, str]]) -> Table:
    """Return the table: for each system and model the median R² and how often the law was right."""
    shown = Table("system", *MODELS, title="R² of messages read out (of the loudest channels), right laws")
    keys = dict.fromkeys((row["system"], row["dim"]) for row in rows)
    for system, dim in keys:
        cells = []
        for name in MODELS:
            mine = [r for r in rows if (r["system"], r["dim"], r["model"]) == (system, dim, name)]
            right = sum(str(r["right"]) == "True" for r in mine)
            median = (
                [np.median([float(r[key]) for r in mine]) for key in ("r2", "r2_channels")] if mine else []
            )
            cells.append(f"{median[0]:.4f} ({median[1]:.3f}), {right}/{len(mine)}" if mine else "")
        shown.add_row(f"{NAMES.get(system, system)} {dim}D", *cells)
    return shown


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--systems", nargs="+", choices=TRUTH, default=list(TRUTH))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--dim", nargs="+", type=int, choices=[2, 3], default=[2, 3])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="limit of each search, of the processor's time"
    )
    parser.add_argument("--csv", type=Path, default=Path("outputs/bench_distill.csv"))
    parser.add_argument("--show", action="store_true", help="only print the table of the file")
    options = parser.parse_args(arguments)
    logging.getLogger("sciml").setLevel(logging.ERROR)
    torch.set_default_dtype(torch.float64)
    console = Console(width=160)
    cells = itertools.product(options.seeds, options.systems, options.dim)  # a part of it is fair to all
    for seed, system, dim in [] if options.show else cells:
        data = {}
        for name in options.models:
            frames = FRAMES[str(MODELS[name]["message"])]
            if frames not in data:
                data[frames] = data_of(system, dim, seed, frames)
            row = run(system, dim, name, seed, options.seconds, data[frames])
            append(options.csv, row)
            mark = "right" if row["right"] else "wrong"
            console.print(
                f"{system} {dim}D {name} seed {seed}: R² {row['r2']:.5f} ({row['r2_channels']:.4f}), "
                f"{mark} {row['law_error']:.1e} {row['verdict']}, {row['train_seconds']:.0f} + "
                f"{row['law_seconds']:.0f} s: {row['formula']:.90s}",
                highlight=False,
            )
    with options.csv.open(newline="") as file:
        console.print(summary(list(csv.DictReader(file))))


if __name__ == "__main__":
    main()
