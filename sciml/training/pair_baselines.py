"""What a drug–target model must beat: means, and a kernel on fingerprints and words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy import linalg, sparse
from scipy.sparse.linalg import spsolve

from sciml.datasets.pair_splits import PairSplit
from sciml.datasets.pairs import Pairs

MOST = 3000  # pairs that the kernel is solved for: time grows with the third power
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0)


def baselines(pairs: Pairs, split: PairSplit, seed: int = 0) -> dict[str, Float[np.ndarray, "test"]]:
    """Return predictions for the test pairs by name of the baseline.

    - ``mean``: the mean of the training pairs.
    - ``drug_target_mean``: mean + a number for the drug + one for the target, shrunk to zero as if each had
      one more measurement of the mean; zero for those that training has not seen.
    - ``kernel``: kernel ridge regression with the product of Tanimoto similarity (Morgan fingerprints of
      radius 2) and similarity of sequences (cosine between counts of words of three residues), as KronRLS
      (Pahikkala et al. 2015, doi 10.1093/bib/bbu010). The penalty is chosen on the validation pairs; at most
      3,000 training pairs, drawn at random, are used.

    Raises:
        ValueError: pairs without values.
    """
    if pairs.value is None:
        raise ValueError(f"{pairs!r} has no values.")
    mean = float(pairs.value[split.train].mean())
    return {
        "mean": np.full(len(split.test), mean),
        "drug_target_mean": _two_means(pairs, split, mean),
        "kernel": _kernel_ridge(pairs, split, mean, seed),
    }


def _two_means(pairs: Pairs, split: PairSplit, mean: float) -> Float[np.ndarray, "test"]:
    """Solve the least squares problem with a penalty of one on each number."""
    assert pairs.value is not None
    offset = np.array([[0], [len(pairs.left)]])
    size = len(pairs.left) + len(pairs.right)

    def design(part: Int[np.ndarray, "part"]) -> sparse.csr_array:
        columns = (pairs.index[:, part] + offset).T.ravel()
        rows = np.repeat(np.arange(len(part)), 2)
        return sparse.csr_array((np.ones(len(columns)), (rows, columns)), shape=(len(part), size))

    train = design(split.train)
    normal = (train.T @ train + sparse.eye_array(size)).tocsc()
    effect = spsolve(normal, train.T @ (pairs.value[split.train] - mean))
    return mean + design(split.test) @ effect


def _kernel_ridge(pairs: Pairs, split: PairSplit, mean: float, seed: int) -> Float[np.ndarray, "test"]:
    assert pairs.value is not None
    train = np.random.default_rng(seed).permutation(split.train)[:MOST]
    drugs = tanimoto(pairs.left_text or pairs.left)
    targets = word_similarity(pairs.right_text or pairs.right)

    def kernel(part: Int[np.ndarray, "part"]) -> Float[np.ndarray, "part train"]:
        (left, right), (other_left, other_right) = pairs.index[:, part], pairs.index[:, train]
        return drugs[np.ix_(left, other_left)] * targets[np.ix_(right, other_right)]

    value, vector = linalg.eigh(kernel(train))  # one decomposition serves all penalties
    projected = vector.T @ (pairs.value[train] - mean)
    judge = split.validation if len(split.validation) else train
    across = kernel(judge)
    best, lowest = np.zeros(len(train)), np.inf
    for penalty in PENALTIES:
        weights = vector @ (projected / (value.clip(min=0) + penalty))
        error = float(np.square(mean + across @ weights - pairs.value[judge]).mean())
        if error < lowest:
            best, lowest = weights, error
    return mean + kernel(split.test) @ best


def tanimoto(smiles: Sequence[str]) -> Float[np.ndarray, "molecules molecules"]:
    """Return similarities of Morgan fingerprints (radius 2, 2,048 bits); 0 for what cannot be read."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    bits = np.zeros((len(smiles), 2048))
    block = rdBase.BlockLogs()
    for row, text in enumerate(smiles):
        mol = Chem.MolFromSmiles(text)
        if mol is not None:
            bits[row] = generator.GetFingerprintAsNumPy(mol)
    del block
    common = bits @ bits.T
    total = bits.sum(1)
    return common / np.maximum(total[:, None] + total - common, 1)


def word_similarity(sequences: Sequence[str], length: int = 3) -> Float[np.ndarray, "sequences sequences"]:
    """Return cosines between counts of words of so many letters."""
    from sklearn.feature_extraction.text import CountVectorizer

    texts = ["".join(s.split()).upper() for s in sequences]
    texts = [t if len(t) >= length else t.ljust(length, "X") for t in texts]
    counts = CountVectorizer(analyzer="char", ngram_range=(length, length), lowercase=False).fit_transform(
        texts
    )
    counts = counts.astype(float)
    norm = np.sqrt(np.asarray(counts.multiply(counts).sum(1)).ravel())
    return (counts @ counts.T).toarray() / np.outer(norm, norm)
