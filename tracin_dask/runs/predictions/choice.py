"""Which ranks of the test triples a run computes, and why others are not: the same for any workers."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.ranking.pieces import pieces_of
from tracin_dask.models.rowwise import RowwiseModel
from tracin_dask.report.predictions import ALL_RANKS
from tracin_dask.runs.predictions.cost import RankCost, rank_cost, tests_at_a_time
from tracin_dask.runs.predictions.task import RankTask
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.triples.inverse_relations import inverses_of

MOST_SECONDS = 60.0
"""Seconds of one CPU thread that ranks may take, unless all are asked for."""
NO_INVERSES = (
    "ConvE scores all tails of a head and a relation, and the relation map does not name an inverse of every relation, "
    "by which it would score heads"
)


@dataclass(frozen=True)
class RankChoice:
    """What is known before anything is ranked."""

    prepared: PreparedRun

    @cached_property
    def triples(self) -> Int[ndarray, "test 3"]:
        """The test triples."""
        assert self.prepared.test_triples is not None  # noqa: S101 - asked of runs that explain some
        return self.prepared.test_triples

    @cached_property
    def contrast(self) -> Int[ndarray, "test 3"] | None:
        """The triples with the other tails, where there are any."""
        tails = self.prepared.contrast_tails
        return None if tails is None else np.column_stack([self.triples[:, :2], tails])

    @property
    def every_triple(self) -> Int[ndarray, "triple 3"]:
        """The test triples, and those with the other tails after them."""
        return self.triples if self.contrast is None else np.concatenate([self.triples, self.contrast])

    @cached_property
    def inverse_of(self) -> Int[ndarray, " relation"] | None:
        """The inverse of every relation, where the relation map names them."""
        return inverses_of(self.prepared.store.relations)

    @cached_property
    def cost(self) -> RankCost:
        """What a test triple takes."""
        checkpoint = self.prepared.checkpoints[-1]
        model, at_once = checkpoint.model, True
        if isinstance(model, RowwiseModel):
            at_once = pieces_of(model.config, model.dtype.itemsize).at_once and model.face.score_tails is not None
        return rank_cost(
            checkpoint.config,
            self.prepared.store.info.num_triples,
            tails_at_once=at_once,
            heads_by_tails=self.inverse_of is not None,
        )

    @cached_property
    def tail_seconds(self) -> float:
        """Seconds of one CPU thread for the ranks of all tails."""
        number = len(self.triples) * (1 if self.contrast is None else 2)
        return number * self.cost.tails_of_one

    @cached_property
    def head_seconds(self) -> float:
        """Seconds of one CPU thread for the ranks of all heads."""
        return len(self.triples) * self.cost.heads_of_one + self.cost.scan

    @cached_property
    def why_no_tails(self) -> str:
        """The reason why tails are not ranked; empty if they are."""
        match self.prepared.config.saving.ranks:
            case "none":
                return "--ranks none"
            case "auto" if self.tail_seconds > MOST_SECONDS:
                return _too_slow(self.tail_seconds)
        return ""

    @cached_property
    def why_no_heads(self) -> str:
        """The reason why heads are not ranked; empty if they are."""
        if self.why_no_tails:
            return self.why_no_tails
        if isinstance(self.prepared.checkpoints[-1].config, ConvEConfig) and self.inverse_of is None:
            return NO_INVERSES
        seconds = self.tail_seconds + self.head_seconds
        if self.prepared.config.saving.ranks == "auto" and seconds > MOST_SECONDS:
            return _too_slow(seconds)
        return ""

    def parts(self, triples: Int[ndarray, "test 3"], *, with_heads: bool) -> list[RankTask]:
        """Cut the work on some triples into parts of workers; the parts do not depend on these."""
        rank_tails, rank_heads = not self.why_no_tails, with_heads and not self.why_no_heads
        seconds = rank_tails * self.cost.tails_of_one + rank_heads * self.cost.heads_of_one
        size = tests_at_a_time(seconds or self.cost.tails_of_one, self.prepared.store.info.num_entities)
        task = RankTask(triples=triples, rank_tails=rank_tails, rank_heads=rank_heads, inverse_of=self.inverse_of)
        return task.cut(size)


def _too_slow(seconds: float) -> str:
    return (
        f"it would take about {seconds:,.0f} s of one CPU thread, and more than {MOST_SECONDS:.0f} s are spent only "
        f"with {ALL_RANKS}"
    )
