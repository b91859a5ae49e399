"""Recommenders: the light graph convolution by matrices, users without items, and learning."""

import numpy as np
import pytest
import torch

from sciml.datasets import Pairs
from sciml.datasets.simulated_pairs import simulated_preferences, southern_women
from sciml.models import CollaborativeFilter
from sciml.models.collaborative_filter import Known, preference_graph
from sciml.nn import NormalizedSum, gather_sum, turned
from sciml.training.recommend import (
    curve,
    judge,
    popularity_of,
    preference_data,
    scores_of,
    train_recommender,
)


def random_pairs(users, items, share=0.4, seed=0):
    known = torch.rand(users, items, generator=torch.Generator().manual_seed(seed)) < share
    return known, known.nonzero().T


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_propagation_is_the_mean_of_powers_of_the_normalized_matrix(layers):
    users, items = 6, 5
    known, pairs = random_pairs(users, items)
    known[2], known[:, 3] = False, False  # a user without items, an item without users
    pairs = known.nonzero().T
    torch.manual_seed(0)
    model = CollaborativeFilter(users, items, 4, layers).double()
    found = model(preference_graph(users, items, pairs))
    adjacency = torch.zeros(users + items, users + items, dtype=torch.float64)
    adjacency[:users, users:] = known.double()
    adjacency = adjacency + adjacency.T
    scale = adjacency.sum(0).clamp(min=1).rsqrt()
    normalized = scale[:, None] * adjacency * scale
    x = torch.cat([model.users, model.items])
    expected = sum(torch.linalg.matrix_power(normalized, k) @ x for k in range(layers + 1)) / (layers + 1)
    torch.testing.assert_close(found.senders["z"], expected[:users])
    torch.testing.assert_close(found.nodes["z"], expected[users:])
    torch.testing.assert_close(found.senders["z"][2], model.users[2] / (layers + 1))  # only itself


def test_gathering_sums_as_the_definition_and_turning_twice_is_nothing():
    known, pairs = random_pairs(5, 7)
    graph = preference_graph(5, 7, pairs)
    x = torch.randn(5, 3, dtype=torch.float64)
    found = gather_sum(x, graph.sender, graph.receiver, 7)
    torch.testing.assert_close(found, known.double().T @ x)
    back = turned(graph)
    assert (back.num_senders, back.num_nodes) == (7, 5)
    assert (back.receiver.diff() >= 0).all()
    again = turned(back)
    assert again.edge_index.equal(graph.edge_index)
    assert again.specs == graph.specs
    with pytest.raises(ValueError, match="one node set"):
        turned(graph.replace(senders=None, sender_counts=None))


def test_a_regular_graph_leaves_constants_alone():
    """On a graph where all have d neighbours, the normalized matrix has the eigenvalue 1 for constants."""
    pairs = torch.tensor([[i, (i + s) % 6] for i in range(6) for s in (0, 1, 3)]).T
    graph = preference_graph(6, 6, pairs).with_senders(x=torch.ones(6, 2))
    assert NormalizedSum()(graph).nodes["x"].allclose(torch.ones(6, 2))


def test_an_item_that_all_have_is_not_ranked_again():
    data = preference_data(simulated_preferences(40, 30, per_user=8))
    scores = popularity_of(data)
    found = judge(scores, data.test.pairs, data.train.pairs, data, k=(1, 30))
    assert found["recall@30"] == 1  # all relevant items are somewhere
    users = data.test.pairs[0].unique()
    line = curve(scores, data.test.pairs, data.train.pairs, data)
    assert line.diff().min() >= 0
    assert line[0] == pytest.approx(found["recall@1"])
    oracle = torch.zeros(40, 30).index_put(tuple(data.test.pairs), torch.tensor(1.0))
    best = judge(lambda chosen: oracle[chosen], data.test.pairs, data.train.pairs, data, k=(20,))
    assert (best["ndcg@20"], best["mrr"]) == (pytest.approx(1), pytest.approx(1))
    assert len(users) <= 40


def test_names_of_no_training_pair_are_counted_and_not_ranked():
    index = np.array([[0, 0, 0, 1, 1, 1, 2], [0, 1, 2, 0, 1, 3, 3]])
    pairs = Pairs(("a", "b", "c"), ("W", "X", "Y", "Z"), index, time=np.arange(7.0))
    data = preference_data(pairs, by="time", test=0.5, validation=0)
    assert data.train.pairs.tolist() == [[0, 0, 0, 1], [0, 1, 2, 0]]
    assert data.unranked == 2  # b with Z and c with Z: c and Z are new
    assert data.test.pairs.tolist() == [[1], [1]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "left"}, "knows nothing of a new one"),
        ({"threshold": 3.0}, r"has no values to hold against threshold=3\.0"),
        ({"test": 1.5}, "must be shares"),
    ],
)
def test_what_a_model_of_names_cannot_do(options, message):
    with pytest.raises(ValueError, match=message):
        preference_data(southern_women(), **options)


def test_ratings_count_from_a_threshold_on():
    women = southern_women()
    rated = Pairs(women.left, women.right, women.index, np.arange(len(women)) % 5 + 1.0)
    data = preference_data(rated, threshold=4.0)
    total = len(data.train) + len(data.validation) + len(data.test) + data.unranked
    assert total == (rated.value >= 4).sum()
    with pytest.raises(ValueError, match="no value reaches threshold=9; the largest is 5"):
        preference_data(rated, threshold=9)


def test_a_user_of_all_items_has_no_negative(tmp_path):
    index = np.stack(np.divmod(np.arange(40), 2))
    pairs = Pairs(tuple(map(str, range(20))), ("X", "Y"), index)
    data = preference_data(pairs)
    with pytest.raises(ValueError, match="has all 2 items"):
        train_recommender(CollaborativeFilter(20, 2, 4), data, tmp_path, epochs=1)


def test_learning_beats_popularity_and_names_are_kept(tmp_path):
    data = preference_data(simulated_preferences(150, 100, per_user=12, seed=1))
    torch.manual_seed(0)
    model = CollaborativeFilter(150, 100, 16)
    options = {"batch_size": 512, "learning_rate": 0.02, "seed": 2}
    train_recommender(model, data, tmp_path / "whole", epochs=25, **options)
    known = torch.cat([data.train.pairs, data.validation.pairs], dim=1)
    found = judge(scores_of(model, data.graph), data.test.pairs, known, data)
    assert found["recall@20"] > 1.2 * judge(popularity_of(data), data.test.pairs, known, data)["recall@20"]

    copy = CollaborativeFilter(150, 100, 16)
    copy.load_state_dict(model.state_dict())
    asked = [("user3", "item5"), ("user0", "item9")]
    scores = scores_of(model, data.graph)(torch.tensor([3, 0]))
    numbers = [data.items.index(item) for _, item in asked]
    torch.testing.assert_close(copy.predict(asked), scores[[0, 1], numbers])
    best = copy.recommend("user3", 5)
    have = {data.items[i] for i in data.train.pairs[1, data.train.pairs[0] == 3]}
    assert len(best) == 5
    assert not have & {item for item, _ in best}
    assert best == sorted(best, key=lambda pair: -pair[1])
    with pytest.raises(ValueError, match=r"user 'usr3' was not in .* nearest name is 'user3'"):
        copy.recommend("usr3")
    with pytest.raises(ValueError, match="knows no names"):
        CollaborativeFilter(3, 3).predict([("a", "b")])


def test_a_cut_training_goes_on_to_the_same_numbers(tmp_path):
    data = preference_data(simulated_preferences(60, 40, per_user=6))
    options = {"batch_size": 100, "seed": 3, "popularity": 0.75, "epochs": 5}

    def network():
        torch.manual_seed(0)
        return CollaborativeFilter(60, 40, 8)

    class CutError(Exception):
        pass

    def cut(module, inputs, output, calls=[0]):  # noqa: B006 - counts calls
        calls[0] += module.training
        if calls[0] == 8:  # in the third epoch of three steps
            raise CutError

    whole, part, again = network(), network(), network()
    train_recommender(whole, data, tmp_path / "whole", **options)
    handle = part.register_forward_hook(cut)
    with pytest.raises(CutError):
        train_recommender(part, data, tmp_path / "part", **options)
    handle.remove()
    train_recommender(again, data, tmp_path / "part", **options)
    for name, value in whole.state_dict().items():
        assert again.state_dict()[name].equal(value), name


def test_names_and_pairs_travel_as_bytes():
    known = Known(["ä", "b"], ["1"], np.array([[0, 1], [0, 0]]))
    again = Known.from_bytes(known.to_bytes())
    assert (again.users, again.items, again.pairs.tolist()) == (known.users, known.items, [[0, 1], [0, 0]])
    assert Known.from_bytes(Known([], [], np.zeros((2, 0))).to_bytes()).pairs.shape == (2, 0)
