"""The check against the oracle notices when any gradient of a sum is left out: of corrupted triples, of a contrast."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from influence.agreement import TEST, TRAIN, Disagreement, check_scores, check_self_influence, engine_for, scores
from influence.dropped import drop, entries
from influence.test_questions import CONTRASTED, LOSSES, case

from tracin_dask.influence import columns, scoring
from tracin_dask.influence.columns import Question, Targets, columns_of, prepare_question
from tracin_dask.influence.conve.tensor_names import FC_WEIGHT
from tracin_dask.influence.conve.terms import products_within
from tracin_dask.influence.losses import SLCWA
from tracin_dask.influence.losses.by_row import join_parts

CORRUPTED = SLCWA(num_negatives=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """A loss that is 0 whatever the score."""

    name = "nothing"

    def value(self, scores):
        return 0 * scores


@dataclass(frozen=True, slots=True, kw_only=True)
class LeavesOut(SLCWA):
    """The loss with one of its parts left out: that of the triple, or of a corrupted triple."""

    number: int

    def parts(self, triples, num_entities):
        parts = SLCWA.parts(self, triples, num_entities)
        return tuple(replace(p, loss=Nothing()) if n == self.number else p for n, p in enumerate(parts))


@pytest.mark.parametrize("number", range(3))
def test_scores_of_training_triples_without_a_part_of_the_loss_disagree_with_the_oracle(number):
    wanted = case("width", "slcwa")
    whole = engine_for(wanted.model, wanted.names, loss=CORRUPTED)
    prepared = prepare_question(whole, Question(), Targets(triples=TEST.numpy()), batch_size=8)
    agreeing, other = (
        scores(whole.with_loss(loss), TRAIN, prepared, len(TEST))
        for loss in (CORRUPTED, LeavesOut(num_negatives=2, number=number))
    )
    bound = whole.learning_rate * wanted.bound(wanted.names)
    expected = whole.learning_rate * sum(wanted.products.values())
    assert ((agreeing - expected).abs() <= 1e-9 * bound).all()
    assert ((other - expected).abs() > 1e-3 * bound).any()


def test_scores_of_corrupted_triples_in_their_sorted_order_disagree_with_the_oracle(monkeypatch):
    wanted = case("width", "slcwa")

    def unsorted(*given):
        joined = join_parts(*given)
        number = np.arange(len(joined.row))
        return replace(joined, part=number // (joined.row.max() + 1), row=number % (joined.row.max() + 1))

    monkeypatch.setattr(scoring, "join_parts", unsorted)
    with pytest.raises(Disagreement):
        check_scores(wanted, wanted.names, loss=CORRUPTED)


@pytest.mark.parametrize(
    ("loss", "is_contrast", "number"),
    [("slcwa", False, 0), ("slcwa", False, 1), ("slcwa", False, 2), ("bce", True, 0), ("bce", True, 1)],
)
def test_scores_without_a_column_of_a_test_triple_disagree_with_the_oracle(loss, is_contrast, number, monkeypatch):
    wanted = case("width", loss, is_contrast=is_contrast)

    def without_one(*given):
        found = columns_of(*given)
        blocks = (replace(b, weight=0.0) if n == number else b for n, b in enumerate(found.blocks))
        return replace(found, blocks=tuple(blocks))

    monkeypatch.setattr(columns, "columns_of", without_one)
    with pytest.raises(Disagreement):
        check_scores(wanted, wanted.names, loss=LOSSES[loss][0])


def test_a_contrast_has_two_columns_and_corrupted_triples_one_more_each():
    contrasted = Targets(triples=CONTRASTED[:, :3].numpy(), contrast_tails=CONTRASTED[:, 3].numpy())
    assert len(columns_of(Question(is_contrast=True), LOSSES["bce"][0], contrasted, 17).blocks) == 2
    assert len(columns_of(Question(), CORRUPTED, contrasted, 17).blocks) == 3


@pytest.mark.parametrize(
    ("module", "table", "term"),
    entries(products_within, "PRODUCTS"),
)
def test_self_influences_of_corrupted_triples_without_a_term_disagree_with_the_oracle(module, table, term, monkeypatch):
    wanted = case("height", "slcwa")
    drop(monkeypatch, module, table, term.name)
    for tracked in (sorted(term.tensors), wanted.names):
        with pytest.raises(Disagreement):
            check_self_influence(wanted, tracked, loss=CORRUPTED)


def test_self_influences_of_corrupted_triples_in_their_sorted_order_disagree_with_the_oracle(monkeypatch):
    monkeypatch.setattr(products_within, "inverse", lambda order: order)
    with pytest.raises(Disagreement):
        check_self_influence(case("height", "slcwa"), [FC_WEIGHT], loss=CORRUPTED)
