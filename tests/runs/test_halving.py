"""A batch that does not fit into GPU memory is scored in pieces, with the same rows and scores."""

import logging

import numpy as np
import pytest
import torch
from small_graph import MakeJob

from tracin_dask.errors import MemoryLimitError
from tracin_dask.influence.conve.engine import PairEngine
from tracin_dask.influence.conve.scorer import Scorer
from tracin_dask.influence.engine import BatchScores
from tracin_dask.runs.work.oom_retry import InPieces


class Scarce:
    """Scores rows by their first id, in two parts, as long as there are no more than so many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.calls: list[int] = []

    def index(self, ids, arrays):
        return arrays.put(ids)

    def parts(self, indexed):
        self.calls.append(len(indexed))
        if len(indexed) > self._most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        for rows in (np.arange(0, len(indexed), 2), np.arange(1, len(indexed), 2)):
            yield BatchScores(rows=rows, influences=indexed.tensor[rows, :1].double())


def pieces_of(scorer: Scarce) -> InPieces:
    return InPieces(scorer, torch.device("cpu"))


def gathered(parts, length):
    found = np.full(length, np.nan)
    for part in parts:
        assert np.isnan(found[part.rows]).all()
        found[part.rows] = part.influences[:, 0]
    return found


@pytest.mark.parametrize("length", [1, 100, 256, 257])
def test_every_row_is_scored_once_however_often_memory_runs_out(length):
    ids, scorer = np.arange(3 * length).reshape(length, 3), Scarce(60)
    pieces = pieces_of(scorer)
    np.testing.assert_array_equal(gathered(pieces.parts(ids), length), ids[:, 0])
    assert all(call <= 60 for call in scorer.calls[pieces.halvings :])


def test_a_batch_that_is_indexed_ahead_is_indexed_again_after_memory_ran_out():
    first, second = (np.arange(768).reshape(256, 3) + at for at in (0, 1000))
    scorer = Scarce(64)
    pieces = pieces_of(scorer)
    ahead = [pieces.index(first), pieces.index(second)]
    for ids, indexed in zip((first, second), ahead, strict=True):
        np.testing.assert_array_equal(gathered(pieces.parts_ahead(indexed), 256), ids[:, 0])
    assert scorer.calls == [256, 128, *[64] * 8]


def test_halved_batches_stay_small_and_log_one_warning(caplog):
    ids, scorer = np.zeros((256, 3), dtype=np.int64), Scarce(64)
    pieces = pieces_of(scorer)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            list(pieces.parts(ids))
    assert scorer.calls == [256, 128, *[64] * 12]
    assert pieces.halvings == 2
    assert [record.message for record in caplog.records] == [
        "GPU out of memory at 256 training triples per batch: continuing with half of them"
    ]


def test_out_of_memory_at_the_smallest_batch_is_refused():
    with pytest.raises(MemoryLimitError, match=r"GPU out of memory even at 16 .* per batch .*--device cpu"):
        list(pieces_of(Scarce(0)).parts(np.zeros((64, 3), dtype=np.int64)))


@pytest.mark.parametrize("mode", ["test", "self"])
def test_a_run_continues_with_halved_batches_and_counts_them(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, mode):
    whole = make_job(mode=mode).carry_out()
    assert whole.run["statistics"]["batch_halvings"] == 0
    owner, name = (Scorer, "parts") if mode == "test" else (PairEngine, "own_squares")
    real = getattr(owner, name)

    def scarce_now(self, ids, **options):
        if len(ids) > 40:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, ids, **options)

    monkeypatch.setattr(owner, name, scarce_now)
    pieces = make_job(mode=mode).carry_out()
    assert pieces.run["statistics"]["batch_halvings"] >= 1
    for one, other in zip(whole.rankings, pieces.rankings, strict=True):
        np.testing.assert_allclose(one.influence, other.influence, rtol=1e-5)
