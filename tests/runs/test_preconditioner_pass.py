"""A preconditioner that needs a pass over the training triples gets it first, the same for any number of workers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from distributed import Client
from small_graph import LEARNING_RATE, NUM_ROWS, MakeJob, Truth, bits

from tracin_dask.errors import ConfigError
from tracin_dask.influence.preconditioners.diagonal import DiagonalPreconditioner
from tracin_dask.runs.identity import score_identity

ROWS_PER_PART = 100


class Squares:
    def __init__(self) -> None:
        self.total, self.number = torch.zeros((), dtype=torch.float64), 0

    def index(self, engine, ids, arrays):
        return engine.index_own(ids, arrays)

    def add(self, engine, indexed) -> None:
        assert not engine.preconditioner.scales
        self.total += engine.own_squares(indexed).sum() / engine.learning_rate
        self.number += len(indexed)

    def finish(self) -> dict[str, torch.Tensor]:
        return {"total": self.total, "number": torch.tensor(self.number)}


@dataclass(frozen=True)
class Part:
    """A range of all training triples."""

    rows: tuple[tuple[int, int], ...]
    entities = None

    def start(self) -> Squares:
        return Squares()


@dataclass(frozen=True)
class ByMeanSquare:
    """P = 1 / (mean of the squared norms of the training triples' gradients), for all tensors alike."""

    power: float = 1.0
    name = "mean square"
    skips_cancelled = False

    @property
    def identity(self) -> list[object]:
        return [self.name, self.power]

    def read(self, checkpoint, names: Collection[str]) -> dict[str, torch.Tensor]:
        tensors = dict(checkpoint.model.named_parameters())
        return {name: torch.ones_like(tensors[name]) for name in names}

    needs_pass = True

    def parts(self, scope) -> list[Part]:
        ranges = range(0, scope.num_triples, ROWS_PER_PART)
        return [Part(rows=((start, min(start + ROWS_PER_PART, scope.num_triples)),)) for start in ranges]

    def merge(self, parts: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        return {key: sum(part[key] for part in parts) for key in ("total", "number")}

    def fit(self, state, gathered, layout) -> DiagonalPreconditioner:
        assert int(gathered["number"]) == NUM_ROWS
        scale = float(gathered["number"] / gathered["total"]) ** self.power
        return DiagonalPreconditioner(scales={name: layout(name, scale * one) for name, one in state.items()})


def by_line(result, answer: int) -> np.ndarray:
    ranking = result.rankings[answer]
    return ranking.influence[np.argsort(ranking.train_index)]


def test_the_pass_sees_every_training_triple_before_any_is_scored(make_job: MakeJob, truth: Truth):
    plain = make_job(top_k=NUM_ROWS).carry_out()
    result = make_job(top_k=NUM_ROWS, preconditioner=ByMeanSquare()).carry_out()
    mean = truth.self_influence.sum() / LEARNING_RATE
    lines = truth.self_influence.shape[0]
    for answer in range(len(plain.rankings)):
        expected = by_line(plain, answer) * lines / mean
        np.testing.assert_allclose(by_line(result, answer), expected, rtol=2e-4, atol=1e-6 * np.abs(expected).max())
    assert result.run["preconditioner"] == "mean square"


@pytest.mark.parametrize("options", [{}, {"normalize": "cosine", "checkpoint_contributions": True}])
def test_workers_give_the_same_bits(make_job: MakeJob, client: Client, options):
    job = make_job(preconditioner=ByMeanSquare(), **options)
    here, there = job.carry_out(), job.carry_out(client)
    assert bits(here) == bits(there)
    if options:
        for one, other in zip(here.contributions, there.contributions, strict=True):
            np.testing.assert_array_equal(one, other)


def test_another_setting_is_another_run_and_the_plan_counts_the_pass(make_job: MakeJob):
    jobs = [make_job(preconditioner=method) for method in (ByMeanSquare(), ByMeanSquare(power=0.5))]
    one, other = (score_identity(job.prepared, job.plan) for job in jobs)
    assert one != other
    assert jobs[0].plan.multiply_adds.total > make_job().plan.multiply_adds.total


def test_an_unknown_preconditioner_is_refused(make_job: MakeJob):
    with pytest.raises(ConfigError, match="preconditioner must be none, adam or a PreconditionerMethod, not 'sgd'"):
        make_job(preconditioner="sgd")
