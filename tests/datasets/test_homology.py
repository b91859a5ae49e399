"""Sequence identity against an independent alignment, and families that no split may divide."""

import itertools

import gemmi
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sciml.datasets.homology import (
    GAP_EXTEND,
    GAP_OPEN,
    LETTERS,
    blosum62,
    families,
    identities,
    limit,
)
from sciml.datasets.structures import assign_folds

AMINO = LETTERS[:20]
proteins = st.text(AMINO, min_size=1, max_size=20)


def random_protein(rng, length):
    return "".join(rng.choice(list(AMINO), length))


def mutated(rng, sequence, share):
    letters = list(sequence)
    for i in rng.choice(len(letters), round(share * len(letters)), replace=False):
        letters[i] = rng.choice([c for c in AMINO if c != letters[i]])
    return "".join(letters)


def reference(a, b):
    """Best (score, matches) with free ends and affine gaps, one cell after the other."""
    table, lowest = blosum62(), (-(10**9), 0)
    add = lambda pair, score, match=0: (pair[0] + score, pair[1] + match)
    best = {(i, -1): (0, 0) for i in range(-1, len(a))} | {(-1, j): (0, 0) for j in range(-1, len(b))}
    up, left = {}, {}
    for i, j in itertools.product(range(len(a)), range(len(b))):
        up[i, j] = max(add(best[i - 1, j], -GAP_OPEN), add(up.get((i - 1, j), lowest), -GAP_EXTEND))
        left[i, j] = max(add(best[i, j - 1], -GAP_OPEN), add(left.get((i, j - 1), lowest), -GAP_EXTEND))
        score = table[LETTERS.index(a[i]), LETTERS.index(b[j])]
        straight = add(best[i - 1, j - 1], score, a[i] == b[j])
        best[i, j] = max(straight, up[i, j], left[i, j])
    ends = [best[len(a) - 1, j] for j in range(len(b))] + [best[i, len(b) - 1] for i in range(len(a))]
    score, matches = max(ends)
    return matches if score >= 0 else 0  # no residues side by side score nothing, and match nothing


@settings(max_examples=25)
@given(proteins, st.lists(proteins, min_size=1, max_size=3))
@example("FCK", ["ADK"])  # as good as none at all, with more identical residues
def test_the_best_alignment_is_found(query, targets):
    found = identities(query, targets)
    for target, share in zip(targets, found):
        assert share == pytest.approx(reference(query, target) / min(len(query), len(target)))


@settings(max_examples=50)
@given(proteins, proteins)
def test_identity_is_symmetric_and_a_share(a, b):
    forth, back = identities(a, [b])[0], identities(b, [a])[0]
    assert forth == pytest.approx(back)
    assert 0 <= forth <= 1
    assert identities(a, [a])[0] == 1


def test_a_domain_is_found_in_a_longer_chain():
    rng = np.random.default_rng(0)
    domain = random_protein(rng, 60)
    whole = random_protein(rng, 90) + domain + random_protein(rng, 90)
    assert identities(domain, [whole])[0] == 1
    assert identities(domain, [domain[:30] + domain[35:]])[0] == 1  # a gap inside costs no identity


def test_matrix_is_blosum62():
    ours = blosum62()
    assert np.array_equal(ours, ours.T)
    score = gemmi.AlignmentScoring("b")
    for a, b in itertools.combinations_with_replacement(AMINO, 2):
        names = [[gemmi.expand_one_letter(c, gemmi.ResidueKind.AA)] for c in (a, b)]
        theirs = gemmi.align_string_sequences(*names, [], score).score
        expected = ours[LETTERS.index(a), LETTERS.index(b)]
        if a == b or expected > -2 * GAP_OPEN:
            assert theirs == expected, (a, b)


def test_near_duplicates_are_one_family_and_strangers_are_not():
    rng = np.random.default_rng(1)
    parent = random_protein(rng, 120)
    chains = [[parent], [mutated(rng, parent, 0.3)], [random_protein(rng, 120)], [parent[10:110]]]
    found = families(chains)
    assert found[0] == found[1] == found[3] != found[2]


def test_relatives_of_any_chain_join_structures():
    rng = np.random.default_rng(2)
    a, b, c = (random_protein(rng, 100) for _ in range(3))
    found = families([[a, b], [mutated(rng, b, 0.2), c], [mutated(rng, c, 0.2)], [random_protein(rng, 100)]])
    assert found[0] == found[1] == found[2] != found[3]


def test_peptides_nucleotides_and_empty_structures():
    found = families([["ACDEF"], ["ACDEF"], ["WYWYW"], ["acgu" * 10], ["acgu" * 10], []])
    assert found[0] == found[1] != found[2]
    assert len({found[2], found[3], found[4], found[5]}) == 4


def test_short_chains_need_more_identity():
    assert limit(np.array([25]), 0.3)[0] > 0.55  # Rost's curve
    assert limit(np.array([200]), 0.3)[0] == 0.3
    assert limit(np.array([200]), 0.9)[0] == 0.9


@pytest.mark.parametrize("threshold", [0, -0.1, 1.5])
def test_a_threshold_is_a_share(threshold):
    with pytest.raises(ValueError, match="expected an identity above 0"):
        families([["A" * 20]], threshold)


def test_the_filter_for_many_sequences_keeps_near_relatives(monkeypatch):
    rng = np.random.default_rng(3)
    parents = [random_protein(rng, 100) for _ in range(12)]
    structures = [[p] for p in parents] + [[mutated(rng, p, 0.4)] for p in parents]
    exact = families(structures)
    monkeypatch.setattr("sciml.datasets.homology.MANY", 4)
    assert np.array_equal(families(structures), exact)
    assert np.array_equal(exact[:12], exact[12:])


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_no_fold_has_a_relative_in_another(seed, folds):
    rng = np.random.default_rng(seed)
    parents = [random_protein(rng, 90) for _ in range(6)]
    chains = [p for parent in parents for p in (parent, mutated(rng, parent, 0.5), parent[20:])]
    fold = assign_folds(families([[c] for c in chains]), [len(c) for c in chains], folds, seed)
    for number, chain in enumerate(chains):
        others = [c for c, f in zip(chains, fold) if f != fold[number]]
        bound = limit(np.minimum(len(chain), [len(c) for c in others]), 0.3)
        assert (identities(chain, others) <= bound).all()


@given(st.lists(st.integers(0, 8), min_size=12, max_size=40), st.integers(0, 100))
def test_folds_hold_whole_families_and_are_balanced(family, seed):
    family = np.array([*family, *range(9)])
    weight = np.ones(len(family))
    fold = assign_folds(family, weight, 3, seed)
    assert all(len(set(fold[family == f])) == 1 for f in family)
    largest = np.bincount(family).max()
    total = np.bincount(fold, weight, 3)
    assert total.max() - total.min() <= largest
    assert np.array_equal(fold, assign_folds(family, weight, 3, seed))


def test_too_few_families_is_said():
    with pytest.raises(ValueError, match=r"5 folds of 2 families.*data\.folds"):
        assign_folds(np.array([0, 0, 1]), np.ones(3), 5)
