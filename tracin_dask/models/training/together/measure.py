"""What many models say of test triples: scores, losses, margins and ranks of the tails."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.stacked.forward import scores_of
from tracin_dask.models.stacked.models import StackedModels
from tracin_dask.models.training.evaluation import KnownTails

SCORE_BYTES = 64 * 2**20
"""Bytes that the activations and scores of a pass may take."""
_TESTS_AT_A_TIME = 256
"""Test triples of one pass, where memory allows: with more, fewer models would fit into a pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What each model says of each test triple's tail, in the order of the models and of the test triples.

    Attributes
    ----------
    loss
        Binary cross-entropy of the tail's own score with the label 1.
    one_to_all_loss
        The loss of training: mean binary cross-entropy of all entities' scores with smoothed labels, one positive.
    margin
        The tail's score less log Σ exp of the scores of all other entities; the logit of `probability`.
    probability
        The tail's softmax probability among all entities.
    raw_rank
        How many entities score no less than the tail, the tail included: ties and NaN count against the model.
    filtered_rank
        The same without other known tails of (head, relation), as in `tail_ranks`.
    """

    score: Float[np.ndarray, "model test"]
    loss: Float[np.ndarray, "model test"]
    one_to_all_loss: Float[np.ndarray, "model test"]
    margin: Float[np.ndarray, "model test"]
    probability: Float[np.ndarray, "model test"]
    raw_rank: Int[np.ndarray, "model test"]
    filtered_rank: Int[np.ndarray, "model test"]


def measure(
    models: StackedModels,
    tests: Int[np.ndarray, "test 3"],
    known: KnownTails,
    *,
    label_smoothing: float,
    batch_bytes: int = SCORE_BYTES,
) -> Measured:
    """Measure test triples (at least one) under every model.

    Parameters
    ----------
    known
        All true triples, those that are measured among them or not.
    label_smoothing
        ε of `one_to_all_loss`.
    batch_bytes
        Bound on the bytes of the activations and scores held at a time, at least those of one test triple by one
        model.
    """
    return _joined(
        [
            _joined([_measured(some, batch, known, label_smoothing) for batch in batches], axis=1)
            for some, batches in _passes(models, tests, batch_bytes)
        ],
        axis=0,
    )


def _passes(
    models: StackedModels, tests: Int[np.ndarray, "test 3"], batch_bytes: int
) -> Iterator[tuple[StackedModels, list[NDArray[np.int64]]]]:
    """Cut models into blocks, and for each of them the test triples into batches."""
    single = models.numbers.element_size() * _numbers_per_test(models.config)
    num_models = max(1, min(len(models), batch_bytes // (single * min(_TESTS_AT_A_TIME, len(tests)))))
    num_tests = max(1, batch_bytes // (single * num_models))
    batches = [tests[start : start + num_tests] for start in range(0, len(tests), num_tests)]
    for start in range(0, len(models), num_models):
        yield models.select(slice(start, start + num_models)), batches


def _numbers_per_test(config: ConvEConfig) -> int:
    """Count what one model holds of one test triple: patches and maps, or scores and what is computed from them."""
    features = config.num_features + (config.num_taps + 1) * config.num_positions + 8 * config.embedding_dim
    return max(features, 3 * config.num_entities) + 2 * config.embedding_dim


def _measured(
    models: StackedModels, tests: Int[np.ndarray, "batch 3"], known: KnownTails, label_smoothing: float
) -> Measured:
    device = models.numbers.device
    triples = torch.as_tensor(tests, dtype=torch.int64, device=device)
    scores = scores_of(models, triples[:, :2])
    tail = triples[:, 2].expand(len(models), 1, -1)
    target = scores.gather(1, tail)
    losses = _one_to_all_losses(scores, target[:, 0], label_smoothing)
    raw_rank = _ranks(scores, target)
    rows, tails = (torch.as_tensor(index, device=device) for index in known.positions(tests))
    without_known = scores.clone()
    without_known[:, tails, rows] = -torch.inf
    filtered_rank = _ranks(without_known.scatter_(1, tail, target), target)
    margin = target[:, 0] - scores.scatter_(1, tail, -torch.inf).logsumexp(dim=1)
    return Measured(
        score=_array(target[:, 0]),
        loss=_array(softplus(-target[:, 0])),
        one_to_all_loss=_array(losses),
        margin=_array(margin),
        probability=_array(margin.sigmoid()),
        raw_rank=_array(raw_rank),
        filtered_rank=_array(filtered_rank),
    )


def _one_to_all_losses(
    scores: Float[Tensor, "model entity batch"], target: Float[Tensor, "model batch"], label_smoothing: float
) -> Float[Tensor, "model batch"]:
    return (
        softplus(scores).mean(dim=1)
        - label_smoothing / scores.shape[1] * scores.mean(dim=1)
        - (1 - label_smoothing) / scores.shape[1] * target
    )


def _ranks(
    scores: Float[Tensor, "model entity batch"], target: Float[Tensor, "model 1 batch"]
) -> Int[Tensor, "model batch"]:
    return scores.shape[1] - (scores < target).sum(dim=1)


def _array(values: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = values.cpu().numpy()
    return array


def _joined(parts: list[Measured], *, axis: int) -> Measured:
    return Measured(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts], axis)
            for field in fields(Measured)
        }
    )
