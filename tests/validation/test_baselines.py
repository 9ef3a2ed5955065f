"""Baselines: numbers made by hand, and the same for any cut of the rows."""

import numpy as np
import pytest
import torch
from conftest import random_model

from tracin_dask.validation.baselines import BASELINES, BaselineScores, Situation

TRIPLES = np.array([[0, 0, 1], [1, 1, 2], [3, 0, 0], [4, 2, 5], [0, 1, 1], [1, 0, 1]])
TESTS = np.array([[0, 0, 2], [4, 1, 1]])


@pytest.fixture
def situation():
    return Situation(triples=TRIPLES, tests=TESTS, model=random_model(), seed=11)


def scores(situation, name, start=0, stop=6):
    return BaselineScores(baseline=BASELINES[name], situation=situation).read(start, stop)


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_gives_the_same_numbers_for_any_cut_of_the_rows(situation, name):
    whole = scores(situation, name)
    assert whole.shape == (2, 6)
    parts = [scores(situation, name, start, start + 2) for start in (0, 2, 4)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-12)


def test_random_numbers_are_uniform_and_follow_from_the_seed(situation):
    many = Situation(triples=np.zeros((20_000, 3), dtype=int), tests=TESTS, model=situation.model, seed=11)
    found = BASELINES["random"](many, 0, 20_000)
    assert found.min() >= 0
    assert found.max() < 1
    np.testing.assert_allclose(np.histogram(found, bins=10, range=(0, 1))[0] / found.size, 0.1, atol=0.01)
    assert abs(np.corrcoef(found)[0, 1]) < 0.03
    other = Situation(triples=TRIPLES, tests=TESTS, model=situation.model, seed=12)
    assert (scores(other, "random") != scores(situation, "random")).all()


def test_random_neighbours_touch_the_head_or_the_tail(situation):
    found = scores(situation, "random-neighbour")
    assert (found > 0).tolist() == [[True, True, True, False, True, False], [True, True, False, True, True, True]]


def test_degree_adds_those_of_head_and_tail(situation):
    assert scores(situation, "degree")[0].tolist() == [3 + 5, 5 + 1, 1 + 3, 1 + 1, 3 + 5, 5 + 5]


def test_shared_counts_head_tail_and_relation(situation):
    assert scores(situation, "shared").tolist() == [[2, 1, 2, 0, 1, 1], [1, 2, 0, 1, 2, 1]]


def test_embedding_cosine_compares_all_three_embeddings(situation):
    entities, relations = (table.weight.detach() for table in _tables(situation.model))

    def joined(triple):
        return torch.cat([entities[triple[0]], relations[triple[1]], entities[triple[2]]])

    expected = [[torch.cosine_similarity(joined(a), joined(b), dim=0).item() for b in TRIPLES] for a in TESTS]
    np.testing.assert_allclose(scores(situation, "embedding-cosine"), expected, atol=1e-12)


def test_gradient_times_input_is_how_the_score_changes_when_the_shared_embedding_grows(situation):
    model, grow = situation.model, 1e-6
    before = model.score(torch.as_tensor(TESTS[:1])).item()
    with torch.no_grad():
        _tables(model)[0].weight[0] *= 1 + grow  # entity 0, the head of the first test triple
    changed = (model.score(torch.as_tensor(TESTS[:1])).item() - before) / grow
    with torch.no_grad():
        _tables(model)[0].weight[0] /= 1 + grow
    touching_head_alone = scores(situation, "gradient-input")[0, 4]  # (0, 1, 1) shares neither relation nor tail
    assert touching_head_alone == pytest.approx(changed, rel=1e-4)


def test_training_loss_is_that_of_the_training_triple(situation):
    score = situation.model.score(torch.as_tensor(TRIPLES))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        score, torch.ones(6, dtype=score.dtype), reduction="none"
    )
    np.testing.assert_allclose(scores(situation, "training-loss"), expected.detach().expand(2, 6), atol=1e-12)


def _tables(model):
    return model.entity_embeddings, model.relation_embeddings
