"""Under losses of several scores, a batch takes few operator calls, whatever it holds, where pieces are a GPU's."""

import numpy as np
import pytest
import torch
from conftest import random_model
from influence.agreement import engine_for
from influence.any_model import face
from influence.calls import Calls
from influence.indexed import parts
from influence.tiled import tile, tile_as_on_a_gpu

from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.columns import EachItsOwn, Question, Targets, prepare_question
from tracin_dask.influence.conve.folded import fold
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.separable_scores import SeparableReader
from tracin_dask.influence.losses import SLCWA, BinaryCrossEntropy, OneToAll
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.scoring import make_scorer

NUM_ROWS, MOST_CALLS = 240, 300
TEST = np.array([[0, 0, 1], [1, 0, 0], [2, 1, 3], [3, 1, 2]])


class SoftMax:
    name = "softmax"
    reads = "all scores"

    def value(self, scores, tails):
        return torch.nn.functional.cross_entropy(scores, tails, reduction="none")


LOSS, OWN_SCORES = SLCWA(num_negatives=2), (SLCWA, BinaryCrossEntropy)
LOSSES = {"one-to-all": OneToAll(label_smoothing=0.1), "softmax": SoftMax(), "slcwa": LOSS}


def batch_of(num_heads: int, num_tails: int) -> np.ndarray:
    """Make a sorted batch of both relations; its heads and tails are the first entities, and all test triples'."""
    rows = np.arange(NUM_ROWS)
    triples = np.stack([rows % num_heads, rows // num_heads % 2, rows * 7 % num_tails], axis=1)
    triples[: len(TEST)] = TEST % [num_heads, 2, num_tails]
    return triples[np.lexsort(triples.T[::-1])]


BATCHES = {"one head": batch_of(1, 230), "every head": batch_of(230, 230), "few of all": batch_of(5, 4)}


def scorer_of(engine):
    factors = prepare_question(engine, Question(), Targets(triples=TEST), batch_size=8)
    return make_scorer(engine, factors, EachItsOwn(num_answers=len(TEST)))


def calls_of(engine, triples) -> int:
    with torch.no_grad():
        scorer = scorer_of(engine)
        with Calls() as calls:
            assert sum(len(part.rows) for part in parts(scorer, triples)) == len(triples)
    return calls.total


def conve(loss, num_entities: int = 240):
    model = random_model(num_entities=num_entities, num_relations=2)
    modes = Modes(relation_table=True, all_scores=not isinstance(loss, OWN_SCORES))
    return engine_for(model, model.config.parameter_names, loss=loss, modes=modes)


@pytest.mark.parametrize("loss", LOSSES)
def test_calls_of_a_batch_are_as_many_for_one_head_and_for_many(monkeypatch, loss):
    tile_as_on_a_gpu(monkeypatch)
    numbers = [calls_of(conve(LOSSES[loss]), triples) for triples in BATCHES.values()]
    assert max(numbers) <= max(
        1.05 * min(numbers), min(numbers) + 8
    )  # where all rows are carried back, none are copied


@pytest.mark.parametrize("loss", ["one-to-all", "softmax"])
def test_calls_of_a_batch_are_few_and_do_not_grow_with_the_entities(monkeypatch, loss):
    tile_as_on_a_gpu(monkeypatch)
    numbers = [calls_of(conve(LOSSES[loss], num), BATCHES["every head"]) for num in (240, 2400)]
    assert numbers[0] == numbers[1] <= MOST_CALLS


def engines(num_negatives: int):
    loss, model = SLCWA(num_negatives=num_negatives), face("TuckER")
    other = {"model": model, "tracked": frozenset(model.config.parameter_names), "learning_rate": 1.0}
    return conve(loss), GradientEngine(**other, loss=loss, modes=GradientModes(has_dense=True))


@pytest.mark.parametrize("which", [0, 1], ids=["ConvE", "another model"])
def test_calls_of_a_batch_do_not_grow_with_the_negatives(monkeypatch, which):
    tile_as_on_a_gpu(monkeypatch)
    triples = BATCHES["few of all"]
    numbers = [calls_of(engines(num)[which], triples) for num in (1, 2, 7)]
    assert max(numbers) <= 1.05 * min(numbers)


def test_corrupted_triples_take_hardly_more_calls_than_none(monkeypatch):
    tile_as_on_a_gpu(monkeypatch)
    plain, corrupting = (calls_of(conve(loss), BATCHES["few of all"]) for loss in (BinaryCrossEntropy(), LOSS))
    assert corrupting <= plain + 30


def test_calls_in_pieces_of_a_few_rows_or_entities_are_seen_to_grow(monkeypatch):
    tile(monkeypatch, score_bytes=2**12, corrupted_triples=16)
    for loss in LOSSES.values():
        assert calls_of(conve(loss), BATCHES["few of all"]) > MOST_CALLS


def test_a_gpu_makes_the_scores_of_many_pairs_in_few_tiles(monkeypatch):
    tile_as_on_a_gpu(monkeypatch)
    model = fold(random_model(num_entities=15_000).float())
    reader = SeparableReader(model=model, loss=LOSSES["one-to-all"], precision=Precision.FULL)
    assert len(reader.tiles(100_000)) == 2
