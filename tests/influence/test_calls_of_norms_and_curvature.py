"""Norms and curvature take few operator calls for any batch, where pieces are a GPU's, and nothing waits within one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import random_model
from influence.agreement import engine_for
from influence.calls import Calls, calls_of
from influence.indexed import parts
from influence.test_calls import BATCHES, MOST_CALLS, NUM_RELATIONS, ROWS, TESTS
from influence.test_preconditioner_cost import engine_of
from influence.tiled import set_tiling, tile_as_on_a_gpu

from tracin_dask.influence.columns import EachItsOwn, Question, Targets, prepare_question
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy, OneToAll
from tracin_dask.influence.normalised import NormalisedScorer
from tracin_dask.influence.preconditioners.row_sums import RowSums, TraceSums
from tracin_dask.influence.run_products import Multiplied
from tracin_dask.influence.run_squares import SummedRows, add_squares_of_runs, index_squares_of_runs
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.influence.summed import SelfScorer
from tracin_dask.influence.tiling import ON_CPU, ON_GPU

TABLES = ("entity_embeddings.weight", "relation_embeddings.weight")


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    tile_as_on_a_gpu(monkeypatch)


def model_of(num_entities: int = ROWS):
    return random_model(num_entities=num_entities, num_relations=NUM_RELATIONS)


def counted_without_waits(scorer) -> list[int]:
    """Count the calls of every batch; none of them may read a value or make a tensor whose size depends on values."""
    numbers = []
    for triples in BATCHES.values():
        with torch.no_grad(), Calls() as calls:
            list(parts(scorer, triples))
        assert not {name for name in calls.numbers if "nonzero" in name or "local_scalar" in name}
        numbers.append(calls.total)
    assert max(numbers) <= 1.05 * min(numbers), numbers
    return numbers


def normalised(engine) -> NormalisedScorer:
    with torch.no_grad():
        test = prepare_question(engine, Question(), Targets(triples=TESTS), batch_size=16)
        return NormalisedScorer(make_scorer(engine, test, EachItsOwn(num_answers=len(TESTS))), [engine])


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), SLCWA(num_negatives=2)], ids=lambda loss: loss.name)
def test_norms_are_made_in_the_calls_of_scoring_for_one_head_and_for_many(loss):
    model = model_of().float()
    engine = engine_for(model, model.config.parameter_names, loss=loss, modes=Modes(norms=True))
    assert max(counted_without_waits(normalised(engine))) <= MOST_CALLS


def test_norms_under_a_loss_of_all_scores_take_as_many_calls_for_one_head_as_for_many():
    model = model_of().float()
    modes = Modes(norms=True, all_scores=True)
    engine = engine_for(model, model.config.parameter_names, loss=OneToAll(), modes=modes)
    assert max(counted_without_waits(normalised(engine))) <= MOST_CALLS


LOSSES = [BinaryCrossEntropy(), OneToAll(), SLCWA(num_negatives=2), SLCWA(num_negatives=9)]


@pytest.mark.parametrize("loss", LOSSES, ids=["bce", "one-to-all", "slcwa", "slcwa, 9 negatives"])
def test_self_influence_takes_few_calls_for_one_head_and_for_many(loss):
    model = model_of().float()
    modes = Modes(all_scores=isinstance(loss, OneToAll))
    engine = engine_for(model, model.config.parameter_names, loss=loss, modes=modes)
    assert max(counted_without_waits(SelfScorer([engine]))) <= MOST_CALLS


def test_gradients_of_few_triples_at_a_time_take_more_calls(monkeypatch):
    set_tiling(monkeypatch, replace(ON_GPU, gradients=256))
    model = model_of().float()
    engine = engine_for(model, model.config.parameter_names, loss=SLCWA(num_negatives=2))
    with torch.no_grad():
        assert calls_of(lambda: list(parts(SelfScorer([engine]), BATCHES["few heads"]))) > MOST_CALLS


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), SLCWA(num_negatives=2)], ids=lambda loss: loss.name)
def test_sums_for_curvature_take_as_many_calls_for_one_head_as_for_many_and_never_wait(loss):
    model = model_of()
    engine = engine_for(model, TABLES, loss=loss)
    ids = {TABLES[0]: np.arange(ROWS), TABLES[1]: np.arange(NUM_RELATIONS)}
    widths = dict.fromkeys(TABLES, model.config.embedding_dim)
    numbers = []
    for triples in BATCHES.values():
        sums = RowSums(0, ids, widths)
        trace = TraceSums(len(triples), {table: len(some) for table, some in ids.items()})
        work = [(part, part.index(engine, triples, IndexArrays(engine.model.device))) for part in (sums, trace)]
        with torch.no_grad(), Calls() as calls:
            for part, indexed in work:
                part.add(engine, indexed)
        assert not {name for name in calls.numbers if "nonzero" in name or "local_scalar" in name}
        numbers.append(calls.total)
    assert max(numbers) <= 1.05 * min(numbers), numbers
    assert max(numbers) <= MOST_CALLS


TILINGS = {"gpu": ON_GPU, "one run at a time": replace(ON_GPU, jacobian_bytes=1), "cpu": ON_CPU}


@pytest.mark.parametrize("tiling", TILINGS.values(), ids=TILINGS)
@pytest.mark.parametrize("lengths", [[3, 1, 70, 2], [1], [5000, 1]], ids=str)
@pytest.mark.parametrize(("width", "dtype"), [(8, torch.float64), (5, torch.float64), (8, torch.float32)], ids=str)
def test_squares_by_run_are_those_of_a_loop(lengths, width, dtype, tiling):
    number, random = sum(lengths), np.random.default_rng(0)
    row_of_vector = np.concatenate([np.arange(number), random.integers(0, number, 9)])
    vectors = torch.randn(len(row_of_vector), width, dtype=dtype)
    order = np.argsort(row_of_vector, kind="stable")
    summed = SummedRows(order=order, starts=np.searchsorted(row_of_vector[order], np.arange(number)))
    sums, slots = torch.ones(6, width, width, dtype=torch.float64), np.arange(len(lengths))[::-1] + 1
    expected, rows = sums.clone(), torch.zeros(number, width).double()
    rows.index_add_(0, torch.from_numpy(row_of_vector), vectors.double())
    for slot, some in zip(slots.tolist(), torch.split(rows, lengths), strict=True):
        expected[slot] += some.mT @ some
    of = Multiplied(dtype=dtype, width=width, tiling=tiling)
    indexed = index_squares_of_runs(summed, np.array(lengths), IndexArrays(torch.device("cpu")), slots=slots, of=of)
    add_squares_of_runs(sums, vectors, indexed)
    relative = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(sums, expected, rtol=relative, atol=1e3 * relative)


def test_one_to_all_under_a_preconditioner_takes_as_many_calls_for_any_test_triples_and_entities():
    numbers = []
    for num_entities, num_tests in ((ROWS, 2), (ROWS, 16), (2 * ROWS, 16)):
        engine = engine_of(model_of(num_entities).float(), Modes(all_scores=True))
        with torch.no_grad():
            test = engine.prepare(torch.from_numpy(TESTS[:num_tests]), batch_size=16)
            scorer = make_scorer(engine, test, EachItsOwn(num_answers=num_tests))
            numbers.append(calls_of(lambda: list(parts(scorer, BATCHES["few heads"]))))  # noqa: B023 - called at once
    assert numbers[1] == numbers[2] <= min(MOST_CALLS, numbers[0] + 30), numbers  # the first meet fewer relations
