"""The number of operators per batch is bounded, and follows no number of heads, relations or test triples."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import random_model
from influence.agreement import engine_for
from influence.any_model import Bilinear, TailsBilinear
from influence.calls import calls_of
from influence.indexed import parts
from influence.test_preconditioner_cost import engine_of
from influence.tiled import tile, tile_as_on_a_gpu

from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.columns import EachItsOwn
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.losses import BinaryCrossEntropy, OneToAll
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.models.whole_model import face_of

MOST_CALLS = 300
ROWS, NUM_RELATIONS = 1500, 7
RNG = np.random.default_rng(0)


def batch(heads: np.ndarray, relations: np.ndarray) -> np.ndarray:
    """Make a sorted batch; its tails are all entities."""
    triples = np.column_stack([heads, relations, RNG.permutation(ROWS)])
    return triples[np.lexsort(triples.T[::-1])]


BATCHES = {
    "one head and relation": batch(np.full(ROWS, 5), np.full(ROWS, 3)),
    "few heads": batch(RNG.integers(0, 40, ROWS), RNG.integers(0, NUM_RELATIONS, ROWS)),
    "as many heads as rows": batch(RNG.permutation(ROWS), RNG.integers(0, NUM_RELATIONS, ROWS)),
}
BATCHES["every row twice"] = np.repeat(BATCHES["as many heads as rows"], 2, axis=0)
# The first test triples meet every batch as heads, as tails and by their relation.
TESTS = np.array([[5, 3, 5], [5, 3, 8], [9, 3, 5], *RNG.integers(0, NUM_RELATIONS, (13, 3))])


def calls_by_batch(engine, num_tests: int) -> list[int]:
    """Count the calls of scoring each batch against some test triples."""
    with torch.no_grad():
        prepared = engine.prepare(torch.from_numpy(TESTS[:num_tests]), batch_size=num_tests)
        scorer = make_scorer(engine, prepared, EachItsOwn(num_answers=num_tests))
        return [calls_of(lambda: list(parts(scorer, triples))) for triples in BATCHES.values()]  # noqa: B023 - called at once


def check(numbers: list[int]) -> None:
    assert 0 < max(numbers) <= 1.05 * min(numbers), numbers
    assert max(numbers) <= MOST_CALLS, numbers


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    tile_as_on_a_gpu(monkeypatch)


PAIR_MODES = [Modes(), Modes(head_jacobians=True)]
ONE_HEAD = batch(np.full(ROWS, 5), RNG.integers(0, NUM_RELATIONS, ROWS))


@pytest.mark.parametrize("modes", PAIR_MODES, ids=str)
@pytest.mark.parametrize("table", [False, True], ids=["without a table", "relation table"])
def test_pair_products_take_as_many_calls_for_one_head_as_for_many(modes, table):
    model = random_model(num_entities=ROWS, num_relations=NUM_RELATIONS)  # float64: runs are multiplied in blocks
    engine = engine_for(model, model.config.parameter_names, modes=replace(modes, relation_table=table))
    with torch.no_grad():
        scorer = make_scorer(engine, engine.prepare(torch.from_numpy(TESTS), batch_size=16), EachItsOwn(num_answers=16))
        work = [ONE_HEAD, BATCHES["few heads"], BATCHES["as many heads as rows"]]
        numbers = [calls_of(lambda: list(parts(scorer, triples))) for triples in work]  # noqa: B023 - called at once
        alone = calls_of(lambda: list(parts(scorer, BATCHES["one head and relation"])))
    assert max(numbers) <= 1.05 * min(numbers), numbers
    assert max(*numbers, alone) <= MOST_CALLS


def test_a_run_of_every_relation_is_seen_where_runs_are_multiplied_one_by_one(monkeypatch):
    model = random_model(num_entities=ROWS, num_relations=NUM_RELATIONS)
    engine = engine_for(model, model.config.parameter_names, modes=Modes(head_jacobians=True))
    tile(monkeypatch, jacobian_bytes=1)
    with torch.no_grad():
        scorer = make_scorer(engine, engine.prepare(torch.from_numpy(TESTS), batch_size=16), EachItsOwn(num_answers=16))
        assert calls_of(lambda: list(parts(scorer, BATCHES["few heads"]))) > MOST_CALLS


@pytest.fixture(scope="module")
def conve():
    return random_model(num_entities=ROWS, num_relations=NUM_RELATIONS).float()


@pytest.mark.parametrize("is_preconditioned", [False, True])
@pytest.mark.parametrize("table", [False, True])
def test_calls_of_forward_mode_follow_neither_the_batch_nor_the_test_triples(conve, table, is_preconditioned):
    modes = Modes(forward=True, relation_table=table)
    if is_preconditioned:
        engine = engine_of(conve, modes)
    else:
        engine = engine_for(conve, conve.config.parameter_names, modes=modes)
    check(calls_by_batch(engine, 1))
    check([number for num_tests in (2, len(TESTS)) for number in calls_by_batch(engine, num_tests)])


def test_small_pieces_of_test_triples_take_more_calls(conve, monkeypatch):
    tile(monkeypatch, move_bytes=1)
    engine = engine_for(conve, conve.config.parameter_names, modes=Modes(forward=True))
    assert max(calls_by_batch(engine, len(TESTS))) > MOST_CALLS


@pytest.fixture(scope="module")
def other():
    torch.manual_seed(0)
    return face_of(Bilinear(ROWS, NUM_RELATIONS))


@pytest.mark.parametrize("forward", [False, True])
def test_calls_of_automatic_differentiation_follow_neither_the_batch_nor_the_test_triples(other, forward):
    engine = GradientEngine(
        model=other,
        tracked=frozenset(other.config.parameter_names) - {"relations.weight"},
        loss=BinaryCrossEntropy(),
        learning_rate=1.0,
        modes=GradientModes(has_dense=True, forward=forward),
    )
    check([number for num_tests in (1, len(TESTS)) for number in calls_by_batch(engine, num_tests)])


def test_calls_of_automatic_differentiation_of_all_tails_do_not_follow_the_batch():
    torch.manual_seed(0)
    model = face_of(TailsBilinear(ROWS, NUM_RELATIONS))
    engine = GradientEngine(
        model=model,
        tracked=frozenset(model.config.parameter_names),
        loss=OneToAll(label_smoothing=0.1),
        learning_rate=1.0,
        modes=GradientModes(all_scores=True),
    )
    check(calls_by_batch(engine, 2))
