"""Scores and ranks in this process, without a run: by the same code, so that the numbers are equal."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from tracin_dask.models.ranking.candidates import Candidates
from tracin_dask.resources import of_this_process
from tracin_dask.runs.predictions.compute import placed, scored
from tracin_dask.runs.predictions.task import RankTask, TripleScores
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.runs.work.process import resolve_device
from tracin_dask.turn import Turn


@contextmanager
def candidates_here(prepared: PreparedRun) -> Iterator[Candidates]:
    """Take a turn at this process with the model of the last checkpoint; raises as `resolve_device`."""
    computing = prepared.config.computing
    device = resolve_device(computing.device)
    with Turn(of_this_process().threads_per_worker, "highest"), torch.no_grad():
        yield Candidates.of(placed(prepared.checkpoints[-1].model, device))


def score_here(prepared: PreparedRun, parts: Sequence[RankTask]) -> list[TripleScores]:
    """Score and rank triples in this process."""
    with candidates_here(prepared) as candidates:
        return [scored(candidates, prepared.store, part) for part in parts]
