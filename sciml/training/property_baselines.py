"""What a network on molecules must beat: the mean, a linear model of descriptors, and a random forest."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from rdkit.Chem import rdFingerprintGenerator

from sciml.builders.molecule import DESCRIPTORS
from sciml.training.property import PropertyData

BITS, RADIUS, TREES = 1024, 2, 200
PENALTIES = np.logspace(-1, 4, 11)


def property_baselines(data: PropertyData, *, seed: int = 0) -> dict[str, Float[np.ndarray, "test targets"]]:
    """Return predictions for the test molecules by name of the baseline, each learned from training alone.

    - ``mean``: the mean of the training values (of labels: their share of ones).
    - ``ridge``: linear in RDKit's descriptors and the bits of Morgan fingerprints (radius 2, 1,024 bits), its
      penalty chosen by leave-one-out (for labels: logistic regression with a fixed penalty); of fingerprints
      alone, where the data have no descriptors.
    - ``forest``: 200 random trees on the same.

    Args:
        data: of `property_data`.
        seed: of the trees.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, test = features(data, "train"), features(data, "test")
    found: dict[str, list[np.ndarray]] = {"mean": [], "ridge": [], "forest": []}
    for column in data.table.values[data.split.train].T:
        known = np.isfinite(column)
        x, y = train[known], column[known]
        found["mean"].append(np.full(len(test), y.mean()))
        if data.kind == "classification":
            linear = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=1000)).fit(x, y)
            forest = RandomForestClassifier(TREES, random_state=seed, min_samples_leaf=2).fit(x, y)
            guesses = [model.predict_proba(test)[:, 1] for model in (linear, forest)]
        else:
            linear = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(x, y)
            forest = RandomForestRegressor(TREES, random_state=seed, max_features=0.33).fit(x, y)
            guesses = [model.predict(test) for model in (linear, forest)]
        # A descriptor far outside of what training had must not carry a line off: stay within its values.
        found["ridge"].append(guesses[0].clip(y.min(), y.max()))
        found["forest"].append(guesses[1])
    return {name: np.stack(columns, axis=1) for name, columns in found.items()}


def features(data: PropertyData, part: str) -> Float[np.ndarray, "molecules features"]:
    """Return fingerprints, and descriptors if the data have them; undefined ones are training's medians.

    Counts of fragments are left out: the fingerprints say as much, and a line is worse for reading it twice.
    """
    rows = getattr(data.split, part)
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    bits = np.stack([generator.GetFingerprintAsNumPy(data.table.mols[i]) for i in rows]).astype(float)
    number = sum(size for group, size in data.groups.items() if not DESCRIPTORS[group].counts)
    if not number:
        return bits
    graphs = data.train, getattr(data, part)
    train, own = (graph.globals["descriptors"][:, :number].double().numpy() for graph in graphs)
    defined = np.isfinite(train).any(0)
    median = np.nanmedian(train[:, defined], 0)
    own = own[:, defined]
    return np.concatenate([bits, np.where(np.isfinite(own), own, median)], axis=1)
