"""Simulated tables of pairs, whose truth has a structure that can be learned."""

from __future__ import annotations

from itertools import product

import numpy as np

from sciml.datasets.pairs import Pairs

# Two places on each core take a group each; {} is where the group's SMILES is written.
CORES = (
    "c1cc({a})ccc1{b}",
    "c1cc({a})cnc1{b}",
    "C1CC({a})CCC1{b}",
    "c1c({a})ccc2cc({b})ccc12",
    "O=C(N{a})C{b}",
)
GROUPS = (
    *("F", "Cl", "O", "N", "C", "OC", "C#N", "C(F)(F)F", "C(=O)O", "C(N)=O"),
    *("S(N)(=O)=O", "N(C)C", "C(C)C"),
)
LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def simulated_drug_target(
    drugs: int = 200,
    targets: int = 100,
    *,
    share: float = 0.3,
    motifs: int = 6,
    noise: float = 0.3,
    seed: int = 0,
) -> Pairs:
    """Simulate affinities that depend on which groups a drug has and which motifs a target has.

    A drug is one of five cores with two of thirteen groups; a target is a random sequence of 60 to 120
    residues in which each of a few motifs of five residues stands with probability one half, anywhere. The
    affinity of a pair is 6 + Σ_g Σ_m n_g A_gm b_m + noise, with n_g how often the drug has group g, b_m = ±1
    for a motif that is there or not, and A_gm of mean zero, scaled so that the sum has variance one. So
    neither side is good in itself, and a drug or target that was never seen can be predicted from its parts.

    Args:
        drugs, targets: how many; at most 845 drugs.
        share: of all pairs, which are measured.
        motifs: how many there are.
        noise: standard deviation of a measurement.
        seed: of everything.

    Raises:
        ValueError: numbers that are not positive or too large.
    """
    space = list(product(range(len(CORES)), range(len(GROUPS)), range(len(GROUPS))))
    if not (0 < drugs <= len(space) and targets > 0 and 0 < share <= 1 and motifs > 0 and noise >= 0):
        raise ValueError(
            f"drugs={drugs} (at most {len(space)}), targets={targets}, share={share}, motifs={motifs} must "
            f"be positive, and noise={noise} not negative."
        )
    rng = np.random.default_rng(seed)
    made = [space[i] for i in rng.choice(len(space), drugs, replace=False)]
    smiles = [CORES[c].format(a=GROUPS[a], b=GROUPS[b]) for c, a, b in made]
    count = np.zeros((drugs, len(GROUPS)))
    for row, (_, a, b) in enumerate(made):
        count[row, a] += 1
        count[row, b] += 1
    words = ["".join(rng.choice(list(LETTERS), 5)) for _ in range(motifs)]
    has = rng.random((targets, motifs)) < 0.5
    sequences = [_sequence(rng, [w for w, there in zip(words, row) if there]) for row in has]
    signal = count @ rng.normal(size=(len(GROUPS), motifs)) @ np.where(has, 1.0, -1.0).T
    signal = (signal - signal.mean()) / signal.std()
    number = max(round(share * drugs * targets), 1)
    index = np.stack(np.divmod(np.sort(rng.choice(drugs * targets, number, replace=False)), targets))
    return Pairs(
        tuple(f"drug{i}" for i in range(drugs)),
        tuple(f"target{i}" for i in range(targets)),
        index,
        value=6 + signal[tuple(index)] + noise * rng.normal(size=number),
        left_text=tuple(smiles),
        right_text=tuple(sequences),
        source=f"simulated drugs and targets, seed {seed}",
        columns=("drug", "target", "affinity"),
    )


def simulated_preferences(
    users: int = 400, items: int = 300, *, per_user: int = 20, tastes: int = 5, seed: int = 0
) -> Pairs:
    """Simulate who chose what: users of a few tastes, and items that some like and all know or not.

    A user chooses without repetition, with probability proportional to exp(3 u·v + p): u and v are unit
    vectors in as many dimensions as there are tastes, each near one of the axes, and the popularity p is
    normal with standard deviation 0.7.

    Args:
        users, items: how many.
        per_user: mean number of choices, Poisson distributed, at least 2.
        tastes: how many kinds of users and items.
        seed: of everything.

    Raises:
        ValueError: numbers that are not positive, or more choices than items.
    """
    if min(users, items, per_user, tastes) < 1 or per_user > items / 2:
        raise ValueError(
            f"users={users}, items={items}, per_user={per_user} and tastes={tastes} must be positive, and "
            "a user may choose half of the items at most."
        )
    rng = np.random.default_rng(seed)

    def unit(number: int) -> np.ndarray:
        vectors = np.eye(tastes)[rng.integers(tastes, size=number)] + 0.3 * rng.normal(size=(number, tastes))
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    utility = 3 * unit(users) @ unit(items).T + 0.7 * rng.normal(size=items)
    chosen = np.clip(rng.poisson(per_user, users), 2, items - 1)
    # The largest of utility + Gumbel noise are a draw without repetition (Efraimidis & Spirakis 2006).
    order = np.argsort(-(utility + rng.gumbel(size=utility.shape)), axis=1)
    index = np.stack(
        [np.repeat(np.arange(users), chosen), np.concatenate([row[:n] for row, n in zip(order, chosen)])]
    )
    return Pairs(
        tuple(f"user{i}" for i in range(users)),
        tuple(f"item{i}" for i in range(items)),
        index,
        source=f"simulated preferences, seed {seed}",
        columns=("user", "item", "value"),
    )


def southern_women() -> Pairs:
    """Return who of 18 women came to which of 14 events, observed in the 1930s: 89 pairs.

    Davis, Gardner and Gardner 1941, *Deep South*; as it comes with networkx.
    """
    import networkx as nx

    graph = nx.davis_southern_women_graph()
    women, events = (
        tuple(n for n, side in graph.nodes(data="bipartite") if side == which) for which in (0, 1)
    )
    attended = [(women.index(a), events.index(b)) for a, b in graph.edges]
    return Pairs(
        women, events, np.array(attended).T, source="southern women", columns=("woman", "event", "value")
    )


def _sequence(rng: np.random.Generator, words: list[str]) -> str:
    """Return random residues with these words among them, in random order and places."""
    length = rng.integers(60, 121)
    gaps = rng.multinomial(length - 5 * len(words), np.full(len(words) + 1, 1 / (len(words) + 1)))
    filler = ["".join(rng.choice(list(LETTERS), gap)) for gap in gaps]
    parts = [filler[0]]
    for i, word in enumerate(rng.permutation(words) if words else []):
        parts += [str(word), filler[i + 1]]
    return "".join(parts)
