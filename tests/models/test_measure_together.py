"""Measures of many models against each model alone, computed in the plain way."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from tracin_dask.models.stacked.models import StackedModels
from tracin_dask.models.training.evaluation import KnownTails, tail_ranks
from tracin_dask.models.training.steps.step import one_to_all_loss
from tracin_dask.models.training.together.measure import Measured, measure

TESTS = np.array([[0, 0, 1], [6, 2, 6], [0, 0, 2], [3, 1, 3], [5, 0, 4]])
KNOWN = np.concatenate([TESTS, [[0, 0, 5], [3, 1, 1], [3, 1, 0], [2, 2, 2]]])


@pytest.fixture
def models(make_model, config):
    made = []
    for index in range(3):
        model = make_model(config, torch.float64)
        generator = torch.Generator().manual_seed(index)
        for parameter in model.parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        made.append(model)
    return made


@pytest.fixture
def known():
    return KnownTails.from_triples(KNOWN, num_relations=3)


def measured_alone(model, label_smoothing):
    pairs, tail = torch.from_numpy(TESTS[:, :2]), torch.from_numpy(TESTS[:, 2])
    with torch.no_grad():
        scores = model.score_tails(pairs)
    own = scores[torch.arange(len(TESTS)), tail]
    others = [torch.cat([row[:t], row[t + 1 :]]).logsumexp(0) for row, t in zip(scores, tail, strict=True)]
    losses = [one_to_all_loss(row[None], t[None], label_smoothing) for row, t in zip(scores, tail, strict=True)]
    return {
        "score": own,
        "loss": binary_cross_entropy_with_logits(own, torch.ones_like(own), reduction="none"),
        "one_to_all_loss": torch.stack(losses),
        "margin": own - torch.stack(others),
        "probability": log_softmax(scores, dim=1)[torch.arange(len(TESTS)), tail].exp(),
        "raw_rank": (scores >= own[:, None]).sum(dim=1),
    }


@pytest.mark.parametrize("batch_bytes", [1, 20_000, 2**26])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_measures_equal_those_of_each_model_alone(batch_bytes, label_smoothing, models, known):
    stacked = StackedModels.of(models)
    found = measure(stacked, TESTS, known, label_smoothing=label_smoothing, batch_bytes=batch_bytes)
    for index, model in enumerate(models):
        for name, expected in measured_alone(model, label_smoothing).items():
            np.testing.assert_allclose(getattr(found, name)[index], expected.numpy(), rtol=1e-11, atol=1e-13)
        assert found.filtered_rank[index].tolist() == tail_ranks(model, TESTS, known).tolist()
    assert found.raw_rank.dtype == found.filtered_rank.dtype == np.int64


def test_margin_is_the_logit_of_the_probability(models, known):
    found = measure(StackedModels.of(models), TESTS, known, label_smoothing=0.1)
    np.testing.assert_allclose(found.margin, np.log(found.probability / (1 - found.probability)), rtol=1e-9)


def test_measuring_changes_no_model(models, known):
    stacked = StackedModels.of(models)
    before = stacked.numbers.clone()
    measure(stacked, TESTS, known, label_smoothing=0.1)
    assert torch.equal(stacked.numbers, before)


def test_models_whose_scores_are_nan_have_the_worst_ranks(models, known):
    stacked = StackedModels.of(models)
    stacked.numbers[1] = torch.nan
    found = measure(stacked, TESTS, known, label_smoothing=0.1)
    assert found.raw_rank[1].tolist() == [7] * len(TESTS)
    assert np.isnan(found.margin[1]).all()
    assert all(np.isfinite(getattr(found, field.name)[[0, 2]]).all() for field in fields(Measured))
