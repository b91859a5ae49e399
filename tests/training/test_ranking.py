"""Metrics of rankings and agreement: by hand, and against independent implementations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score
from torchmetrics.functional.retrieval import retrieval_recall, retrieval_reciprocal_rank

from sciml.training.agreement import affinity_metrics, concordance_index, link_metrics
from sciml.training.ranking import ranking_metrics, recall_curve


def test_a_ranking_by_hand():
    scores = torch.tensor([[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    relevant = torch.tensor([[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()  # the last user has none
    found = ranking_metrics(scores, relevant, k=(1, 2, 9))
    assert found["recall@1"] == pytest.approx((0 + 1) / 2)
    assert found["recall@2"] == pytest.approx((1 / 2 + 1) / 2)
    assert found["recall@9"] == 1
    log2 = math.log2
    assert found["ndcg@2"] == pytest.approx(((1 / log2(3)) / (1 + 1 / log2(3)) + 1) / 2)
    assert found["ndcg@9"] == pytest.approx(((1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3)) + 1) / 2)
    assert found["mrr"] == pytest.approx((1 / 2 + 1) / 2)
    assert recall_curve(scores, relevant).tolist() == pytest.approx([0.5, 0.75, 0.75, 1.0])


@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 14))
def test_rankings_agree_with_other_implementations(seed, items, k):
    random = torch.Generator().manual_seed(seed)
    scores = torch.rand(5, items, generator=random, dtype=torch.float64)
    relevant = torch.rand(5, items, generator=random) < 0.4
    relevant[0, 0] = True
    found = ranking_metrics(scores, relevant, k=(k,))
    used = [u for u in range(5) if relevant[u].any()]
    ndcg = [ndcg_score(relevant[u][None].int().numpy(), scores[u][None].numpy(), k=k) for u in used]
    recall = [float(retrieval_recall(scores[u], relevant[u], top_k=k)) for u in used]
    rank = [float(retrieval_reciprocal_rank(scores[u], relevant[u])) for u in used]
    assert found[f"ndcg@{k}"] == pytest.approx(np.mean(ndcg))
    assert found[f"recall@{k}"] == pytest.approx(np.mean(recall))
    assert found["mrr"] == pytest.approx(np.mean(rank))


def test_items_that_are_left_out_have_no_rank_and_ties_no_order():
    scores = torch.tensor([[-torch.inf, 1.0, 2.0]])
    assert ranking_metrics(scores, torch.tensor([[False, True, False]]), k=(1,))["mrr"] == 0.5
    alike, relevant = torch.zeros(2000, 10), torch.zeros(2000, 10, dtype=torch.bool)
    relevant[torch.arange(2000), torch.arange(2000) % 10] = True
    assert ranking_metrics(alike, relevant, k=(5,))["recall@5"] == pytest.approx(0.5)


def test_rankings_that_cannot_be_judged():
    with pytest.raises(ValueError, match="No user has a relevant item"):
        ranking_metrics(torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="NaN"):
        ranking_metrics(torch.tensor([[torch.nan]]), torch.ones(1, 1, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"\(1, 2\).*\(2, 1\)"):
        ranking_metrics(torch.zeros(1, 2), torch.zeros(2, 1, dtype=torch.bool))


few = st.lists(st.integers(0, 4), min_size=2, max_size=12)


@given(few, st.data())
def test_concordance_counts_couples(measured, data):
    predicted = data.draw(st.lists(st.integers(0, 4), min_size=len(measured), max_size=len(measured)))
    right = total = 0.0
    for i in range(len(measured)):
        for j in range(i):
            if measured[i] != measured[j]:
                total += 1
                product = (measured[i] - measured[j]) * (predicted[i] - predicted[j])
                right += 1.0 if product > 0 else 0.5 if product == 0 else 0.0
    found = concordance_index(np.array(predicted, float), np.array(measured, float))
    assert found == pytest.approx(right / total) if total else math.isnan(found)


def test_agreement_has_its_known_limits():
    measured = np.array([5.0, 6.0, 8.0, 7.0])
    perfect = affinity_metrics(measured, measured)
    assert (perfect["rmse"], perfect["concordance"], perfect["spearman"]) == (0, 1, pytest.approx(1))
    shifted = affinity_metrics(measured + 2, measured)
    assert (shifted["rmse"], shifted["mae"], shifted["pearson"]) == (2, 2, pytest.approx(1))
    mean = affinity_metrics(np.full(4, 6.5), measured)
    assert mean["rmse"] == pytest.approx(measured.std())
    assert mean["concordance"] == 0.5
    assert math.isnan(mean["spearman"])
    assert affinity_metrics(-measured, measured)["concordance"] == 0


@given(st.integers(0, 10**6))
def test_links_agree_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    score, label = rng.normal(size=20).round(1), (rng.random(20) < 0.5).astype(float)
    label[:2] = 0, 1
    found = link_metrics(score, label)
    assert found["auroc"] == pytest.approx(roc_auc_score(label, score), abs=1e-6)
    assert found["ap"] == pytest.approx(average_precision_score(label, score), abs=1e-6)
    assert math.isnan(link_metrics(score, np.ones(20))["auroc"])
