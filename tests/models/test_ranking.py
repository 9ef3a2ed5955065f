"""Ranks are counted as a plain loop counts them, and candidates of any model have the scores of single triples."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from influence.any_model import NUM_ENTITIES, SETTINGS, Bilinear, face, pykeen_model
from pykeen.losses import BCEWithLogitsLoss, MarginRankingLoss

from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.ranking import counts, pieces
from tracin_dask.models.ranking.candidates import Candidates
from tracin_dask.models.ranking.counts import Known, rank_counts
from tracin_dask.models.ranking.pieces import pieces_of
from tracin_dask.models.whole_model import face_of

TRIPLES = torch.tensor([[0, 1, 2], [5, 0, 5], [3, 2, 0], [16, 3, 2]])
SCORES = st.lists(st.sampled_from([0.0, 1.0, 2.0, float("inf"), float("nan")]), min_size=4, max_size=4)
KNOWN = st.lists(st.booleans(), min_size=4, max_size=4)


@pytest.mark.parametrize("long_row", [1, 1000])
@settings(deadline=None)
@given(rows=st.lists(st.tuples(SCORES, KNOWN, st.integers(0, 3)), min_size=1, max_size=5))
def test_ranks_equal_a_plain_loop_with_ties_and_nan(long_row, rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counts, "LONG_ROW", long_row)
        _assert_plain(rows)


def _assert_plain(rows):
    scores, known, own = (torch.tensor(list(column)) for column in zip(*rows, strict=True))
    for left_out in (None, known):
        found = rank_counts(scores, own)
        if left_out is not None:
            rows_of, entities = left_out.nonzero().unbind(dim=1)
            found = found.without(Known(rows=rows_of, entities=entities), scores, own)
        for place, (values, is_known, mine) in enumerate(rows):
            others = [
                value
                for entity, value in enumerate(values)
                if entity != mine and not (left_out is not None and is_known[entity])
            ]
            higher = sum(not value <= values[mine] for value in others)
            not_lower = sum(not value < values[mine] for value in others)
            assert found.pessimistic[place] == 1 + not_lower
            assert found.realistic[place] == 1 + (higher + not_lower) / 2


@pytest.mark.parametrize("sizes", [(pieces.ROW_BYTES, pieces.MOST_ROW_BYTES), (3000, 10**6), (1, 1)])
@pytest.mark.parametrize("name", [*SETTINGS, "own"])
def test_candidates_have_the_scores_of_single_triples_in_pieces_of_any_size(name, sizes, monkeypatch):
    monkeypatch.setattr(pieces, "ROW_BYTES", sizes[0])
    monkeypatch.setattr(pieces, "MOST_ROW_BYTES", sizes[1])
    model = face(name)
    candidates = Candidates.of(model)
    with torch.no_grad():
        for column, found in ((2, candidates.tails(TRIPLES)), (0, candidates.heads(TRIPLES))):
            for triple, scores in zip(TRIPLES, found, strict=True):
                every = triple.repeat(NUM_ENTITIES, 1)
                every[:, column] = torch.arange(NUM_ENTITIES)
                torch.testing.assert_close(scores, model.score(every), rtol=1e-11, atol=1e-11)


def test_a_method_for_all_tails_is_used_where_it_is_right_and_there_is_room(monkeypatch):
    names = ("ComplEx", "TuckER", "own")
    assert [Candidates.of(face(name)).tails_at_once for name in names] == [True, True, False]
    assert not Candidates.of(face("RotatE")).tails_at_once  # its relations have other lengths than 1
    monkeypatch.setattr(pieces, "MOST_ROW_BYTES", 100)
    assert not Candidates.of(face("ComplEx")).tails_at_once


def test_pieces_keep_to_their_bounds_for_many_entities():
    for num_entities in (100, 10**5, 10**7):
        config = ConvEConfig(num_entities=num_entities, num_relations=5)
        found = pieces_of(config, 4)
        assert found.at_once
        assert found.triples == 1 or found.triples * num_entities * 8 <= pieces.SCORE_BYTES
        assert found.num_bytes < 2 * pieces.SCORE_BYTES + 8 * num_entities + 2**28


class Logits(Bilinear):
    """Says that its scores are logits."""

    scores_are_logits = True


def test_scores_are_logits_where_the_model_or_its_loss_says_so():
    with_loss = pykeen_model("DistMult")
    for loss, expected in ((BCEWithLogitsLoss(), True), (MarginRankingLoss(), False)):
        with_loss.loss = loss
        assert face_of(with_loss).face.scores_are_logits is expected
    assert not face("TransE").face.scores_are_logits
    assert not face("own").face.scores_are_logits
    assert face_of(Logits(7, 3).double()).face.scores_are_logits


def test_numbers_of_ranks_are_halves():
    found = rank_counts(torch.zeros(1, 4), torch.tensor([2]))
    assert [found.realistic.item(), found.pessimistic.item()] == [2.5, 4]
