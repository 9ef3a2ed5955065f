"""Corrupted triples that are scored together, some rows' at a time, give the sums of the loss; and their bytes."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import oracle
import pytest
import torch
from conftest import random_model
from influence.agreement import DIALECTS, TEST, TRAIN, Case, case_of, check_scores, engine_for
from influence.any_model import face
from influence.indexed import parts
from influence.live_bytes import LiveBytes
from influence.test_cost import ALL_DISTINCT, BATCH, FLOAT32, float32_model
from influence.tiled import set_tiling, tile, tile_as_on_a_gpu

from tracin_dask.influence.autograd.engine import GradientEngine
from tracin_dask.influence.autograd.engine_cost import AutogradCost
from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.columns import EachItsOwn, Question, Targets, prepare_question
from tracin_dask.influence.conve import scorer
from tracin_dask.influence.conve.engine_cost import ConvECost
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.cost import Computing, Workload
from tracin_dask.influence.losses import SLCWA, LossPart, NegatedScore
from tracin_dask.influence.scoring import make_scorer
from tracin_dask.influence.tiling import ON_CPU, ON_GPU

LOSS = SLCWA(num_negatives=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """−2 · the score of a triple, + the score of its first corrupted triple, + half of that of the second."""

    name: str = "margins"
    reads: str = "corrupted triples"
    num_negatives: int = 2

    def parts(self, triples, num_entities):
        weights, corrupted = (2.0, -1.0, -0.5), SLCWA(num_negatives=2).corrupted(triples, num_entities)
        losses = [NegatedScore(weight=weight) for weight in weights]
        return tuple(LossPart(triples=t, loss=one) for t, one in zip([triples, *corrupted], losses, strict=True))

    def value(self, scores):
        return scores[:, 1] + 0.5 * scores[:, 2] - 2 * scores[:, 0]

    def corrupted(self, triples, num_entities):
        return SLCWA(num_negatives=2).corrupted(triples, num_entities)


@cache
def case_under(loss) -> Case:
    return case_of(random_model(**DIALECTS["height"]), loss=oracle.of_negatives(loss))


@pytest.mark.parametrize("modes", [Modes(), Modes(head_jacobians=True, long_run=1)], ids=str)
@pytest.mark.parametrize("corrupted_triples", [1, 15, 48])
def test_corrupted_triples_of_some_rows_at_a_time_agree_with_the_oracle(monkeypatch, corrupted_triples, modes):
    tile(monkeypatch, corrupted_triples=corrupted_triples)
    wanted = case_under(LOSS)
    check_scores(wanted, wanted.names, loss=LOSS, modes=modes)


def test_corrupted_triples_with_losses_of_their_own_agree_with_the_oracle():
    wanted = case_under(Margins())
    check_scores(wanted, wanted.names, loss=Margins())


@pytest.mark.parametrize("num_negatives", [1, 7])
def test_triples_and_those_made_from_them_are_scored_in_one_sorted_batch(monkeypatch, num_negatives):
    tile_as_on_a_gpu(monkeypatch)
    scored, index = [], scorer.index_batch
    monkeypatch.setattr(scorer, "index_batch", lambda ids, *a, **k: scored.append(ids) or index(ids, *a, **k))
    loss = SLCWA(num_negatives=num_negatives)
    engine, train = engine_for(random_model(), ["fc.weight"], loss=loss), np.sort(np.arange(60).reshape(-1, 3) % 4)
    next(parts(scorer_of(engine, TEST[:2]), train))
    (together,) = scored
    pairs = together[:, :2].tolist()
    assert pairs == sorted(pairs)
    expected = [*train.tolist(), *loss.corrupted(train, engine.num_entities).reshape(-1, 3).tolist()]
    assert Counter(map(tuple, together.tolist())) == Counter(map(tuple, expected))


def scorer_of(engine, test):
    question = prepare_question(engine, Question(), Targets(triples=test.numpy()), batch_size=8)
    return make_scorer(engine, question, EachItsOwn(num_answers=len(test)))


def peak_of_scoring(engine, train, test) -> int:
    with torch.no_grad():
        made = scorer_of(engine, test)
        next(parts(made, train.numpy()))
        with LiveBytes() as live:
            next(parts(made, train.numpy()))
    return live.peak_bytes


def estimated(cost_of, config, tracked, modes, *, num_tests, num_negatives, itemsize, tiling) -> int:
    """Bound the bytes of a batch in which nothing can be shared, as a plan does."""
    sizes = {"num_triples": BATCH, "num_heads": BATCH, "num_pairs": BATCH, "num_negatives": num_negatives}
    work = Workload(num_tests=num_tests * (1 + num_negatives), num_columns=num_tests, **sizes)
    how = Computing(work=work, tracked=tracked, own_passes=0, itemsize=itemsize, recompute=False, tiling=tiling)
    return how.scoring_bytes(BATCH, cost_of(config, how, modes).batch_bytes)


TILINGS = {"some rows at a time": replace(ON_CPU, corrupted_triples=80), "all rows at once": ON_GPU}


@pytest.mark.parametrize("num_tests", [1, 64])
@pytest.mark.parametrize("num_negatives", [1, 4])
@pytest.mark.parametrize("tiling", TILINGS)
def test_a_batch_with_corrupted_triples_takes_about_the_estimated_bytes(monkeypatch, num_tests, num_negatives, tiling):
    set_tiling(monkeypatch, TILINGS[tiling])
    model, loss = float32_model(32, 8, "width"), SLCWA(num_negatives=num_negatives)
    engine = engine_for(model, model.config.parameter_names, loss=loss)
    sizes = {"num_tests": num_tests, "num_negatives": num_negatives, "itemsize": FLOAT32, "tiling": TILINGS[tiling]}
    estimate = estimated(ConvECost, model.config, engine.tracked, Modes(), **sizes)
    peak = peak_of_scoring(engine, ALL_DISTINCT, ALL_DISTINCT[:1].expand(num_tests, -1))
    assert peak <= estimate <= 2 * peak


@pytest.mark.parametrize("name", ["ComplEx", "TuckER"])
@pytest.mark.parametrize("tiling", TILINGS)
def test_corrupted_triples_of_other_models_take_at_most_the_estimated_bytes(monkeypatch, name, tiling):
    chosen = replace(TILINGS[tiling], value_bytes=2**16)
    set_tiling(monkeypatch, chosen)
    model, modes = face(name), GradientModes(has_dense=name == "TuckER")
    tracked = frozenset(model.config.parameter_names)
    engine = GradientEngine(model=model, tracked=tracked, loss=LOSS, learning_rate=1.0, modes=modes)
    sizes = {"num_tests": len(TEST), "num_negatives": LOSS.num_negatives, "itemsize": 8, "tiling": chosen}
    train = TRAIN.repeat(BATCH // len(TRAIN), 1)
    estimate = estimated(AutogradCost, model.config, tracked, modes, **sizes)
    peak = peak_of_scoring(engine, train, TEST)
    assert peak <= estimate <= 8 * peak
