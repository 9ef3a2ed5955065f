"""Filtered ranks against a plain loop, and metrics by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.models.training.evaluation import KnownTails, ranking_metrics, tail_ranks


def naive_rank(scores, triple, known):
    head, relation, tail = triple
    others = {t for h, r, t in known if (h, r) == (head, relation) and t != tail}
    return sum(score >= scores[tail] for entity, score in enumerate(scores) if entity not in others)


triples_lists = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2), st.integers(0, 6)), min_size=1, max_size=40)


@given(known=triples_lists, ranked=triples_lists)
def test_known_tails_are_found_for_every_pair(known, ranked):
    tails = KnownTails.from_triples(np.array(known), num_relations=3)
    rows, columns = tails.positions(np.array(ranked))
    expected = sorted(
        (i, t) for i, (head, relation, _) in enumerate(ranked) for h, r, t in set(known) if (h, r) == (head, relation)
    )
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == expected


@settings(max_examples=25, deadline=None)
@given(known=triples_lists, ranked=triples_lists, block_rows=st.sampled_from([1, 3, 100]))
def test_filtered_ranks_equal_a_plain_loop_for_any_block_size(known, ranked, block_rows):
    torch.manual_seed(0)
    config = ConvEConfig(
        num_entities=7, num_relations=3, embedding_dim=15, embedding_height=3, embedding_width=5, output_channels=2
    )
    model = ConvE(config).double().eval()
    known_tails = KnownTails.from_triples(np.array(known + ranked), num_relations=3)
    ranks = tail_ranks(model, np.array(ranked), known_tails, block_rows=block_rows)
    for rank, triple in zip(ranks, ranked, strict=True):
        with torch.no_grad():
            scores = model(torch.tensor([triple[0]]), torch.tensor([triple[1]]))[0].tolist()
        assert rank == naive_rank(scores, triple, known + ranked)


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_ties_and_nan_count_against_the_model(value, model):
    with torch.no_grad():
        model.entity_embeddings.weight.fill_(value)
        if model.entity_bias is not None:
            model.entity_bias.zero_()
    triples = np.array([[0, 0, 0], [0, 0, 6], [1, 2, 3]])
    known = KnownTails.from_triples(triples, num_relations=3)
    assert tail_ranks(model, triples, known).tolist() == [6, 6, 7]


def test_ranking_metrics_equal_hand_computed_values():
    metrics = ranking_metrics(np.array([1, 2, 4, 10]))
    assert metrics == {
        "mean_rank": 4.25,
        "mean_reciprocal_rank": pytest.approx((1 + 0.5 + 0.25 + 0.1) / 4),
        "hits@1": 0.25,
        "hits@3": 0.5,
        "hits@5": 0.75,
        "hits@10": 1.0,
    }
