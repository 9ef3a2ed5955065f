"""The pair engine agrees with the oracle, tensor by tensor."""

import oracle
import pytest
import torch
from conftest import random_model

from tracin_dask.influence.engine import PairEngine
from tracin_dask.influence.folded import fold
from tracin_dask.influence.losses import BinaryCrossEntropy
from tracin_dask.influence.parameters import parameter_names

DIALECTS = [{"stacking": "width"}, {"stacking": "height", "has_entity_bias": True}]
KERNELS = [(3, 3), (2, 3), (3, 5), (4, 2)]
LEARNING_RATE = 0.5


def awkward_triples() -> torch.Tensor:
    """Give triples that share heads, relations and tails in every way, with head == tail and duplicates."""
    chosen = [
        [0, 0, 1],
        [0, 0, 1],
        [0, 0, 2],
        [0, 1, 1],
        [1, 0, 0],
        [1, 2, 1],
        [2, 3, 0],
        [3, 1, 3],
        [5, 2, 6],
        [6, 3, 5],
    ]
    return torch.tensor(chosen)


def engine_for(model, tracked, **options) -> PairEngine:
    return PairEngine(
        model=fold(model),
        tracked=frozenset(tracked),
        loss=BinaryCrossEntropy(),
        learning_rate=LEARNING_RATE,
        **options,
    )


@pytest.mark.parametrize("dialect", DIALECTS, ids=["width", "height"])
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_every_tensor_agrees_with_the_oracle_in_float64(dialect, kernel):
    model = random_model(**dialect, kernel_height=kernel[0], kernel_width=kernel[1])
    train, test = awkward_triples(), awkward_triples()[[0, 3, 4, 5, 7, 9]]
    expected, left, right = (
        oracle.products(model, train, test),
        oracle.norms(model, train),
        oracle.norms(model, test),
    )
    for name in parameter_names(model.config):
        engine = engine_for(model, [name])
        found = engine.score(train, engine.prepare(test, batch_size=4)) / LEARNING_RATE
        allowed = 1e-9 * left[name][:, None] * right[name][None, :]
        assert ((found - expected[name]).abs() <= allowed).all(), name
