"""Whether pretraining helps where labels are few: bench_pretraining.py RUN TARGET LABELS SEEDS [EPOCHS].

RUN is a run directory of experiment=pretraining. For each seed as many molecules as LABELS say are drawn
from those that it was trained on; a network is trained on them from the pretrained encoder and from none, and
judged on molecules that neither saw. Two rates of learning are tried, the better one on validation counts.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from structures import load

from sciml.models import StructurePredictor
from sciml.training.pretraining import take_encoder
from sciml.training.run import load_config
from sciml.training.structure_property import (
    StructureData,
    by_elements,
    mean_errors,
    random_parts,
    statistics,
    train_structures,
)

TESTED = 1000
RATES = (1e-3, 3e-3)


def one(
    run: Path, config, data: StructureData, targets: dict[str, str], seed: int, epochs: int
) -> list[float]:
    """Return test errors without and with the pretrained encoder, and those of composition and mean."""
    sizes = {name: config.model[name] for name in ("channels", "layers", "radial", "cutoff")}
    found = []
    (name,) = targets
    for pretrained in (False, True):
        tried = []
        for rate in RATES:
            torch.manual_seed(seed)
            model = StructurePredictor(targets, **sizes, **statistics(data, targets))
            if pretrained:
                take_encoder(model, run)
            with tempfile.TemporaryDirectory() as folder:
                trained = train_structures(
                    model, data, folder, epochs=epochs, batch_size=16, learning_rate=rate, seed=seed,
                    progress=False,
                )  # fmt: skip
            errors = mean_errors(trained, StructureData(**(vars(data) | {"test": data.validation})))
            tried.append((errors["network"][name]["mae"], trained))
        best = min(tried, key=lambda t: t[0])[1]
        errors = mean_errors(best, data)
        found.append(errors["network"][name]["mae"])
    return [*found, errors["composition"][name]["mae"], errors["mean"][name]["mae"]]


def main() -> None:
    """Print a line for each seed, and means with their spread."""
    torch.set_num_threads(1)
    run, target, labels, seeds = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    epochs = int(sys.argv[5]) if len(sys.argv) > 5 else 100
    config = load_config(run)
    store = load(config)
    names = store.info["targets"]
    targets = {target: {"U0": "sum", "mu": "dipole"}.get(target, "mean")}
    known, _, unseen = random_parts(store, **config.data.split, seed=config.seed)
    start, rows = time.process_time(), []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(known))
        few = known.take(order[: labels + labels // 2])[:]
        few = few.with_globals(None, y=few.globals["y"][:, [names.index(target)]])
        test = unseen.take(range(min(TESTED, len(unseen))))[:]
        test = test.with_globals(None, y=test.globals["y"][:, [names.index(target)]])
        data = StructureData(few[:labels], few[labels:], test, *by_elements(few[:labels]))
        rows.append(one(run, config, data, targets, seed, epochs))
        print(f"seed {seed}: without {rows[-1][0]:.4g}, with {rows[-1][1]:.4g}", flush=True)
    table = np.array(rows)
    spread = table.std(0, ddof=1) if seeds > 1 else 0 * table[0]
    for name, mean, s in zip(("without", "pretrained", "composition", "mean"), table.mean(0), spread):
        print(f"{name:12} {mean:.4g} ± {s:.2g}")
    print(
        f"mean absolute errors of {target} on {len(test)} molecules, {labels} labels and {labels // 2} for "
        f"validation, {seeds} seeds, {time.process_time() - start:.0f} s of CPU"
    )


if __name__ == "__main__":
    main()
