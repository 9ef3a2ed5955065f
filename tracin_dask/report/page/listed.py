"""The training triples that a page lists: what the result has of one answer, strongest first on both sides."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from tracin_dask.errors import ResultError
from tracin_dask.report.page.names import NamedTriple, named_triples
from tracin_dask.report.result import InfluenceResult, RankedTriples, join

SIDES = {"proponents": 1, "opponents": -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The training triples of a ranking and, behind them, the further ones of both sides."""

    ranked: RankedTriples
    names: Sequence[NamedTriple]
    spread: Float[ndarray, " entry"] | None
    norms: Float[ndarray, " ranked"] | None
    """Of the ranking alone."""
    contributions: Float[ndarray, "ranked checkpoint"] | None
    """Of the ranking alone."""
    known: Bool[ndarray, " entry"] | None
    """Which are known to be true reasons; None where nobody said."""

    def __len__(self) -> int:
        """Count the entries."""
        return len(self.ranked)

    @property
    def total(self) -> float:
        """Add up the sizes of all listed influences."""
        return float(np.abs(self.ranked.influence).sum())

    def side(self, name: str) -> list[int]:
        """Give the places of the `proponents` or `opponents`, the strongest first."""
        sizes = SIDES[name] * self.ranked.influence
        order = np.argsort(-sizes, kind="stable")
        return [int(place) for place in order if sizes[place] > 0]


def listed(result: InfluenceResult, index: int, truth: Sequence[bool] | None = None) -> Listed:
    """Collect what the result has of the training triples of one answer; `truth` fits it."""
    ranked = join([result.rankings[index], result.further[index]])
    spread = None
    if result.spread is not None and result.further_spread is not None:
        spread = np.concatenate([result.spread[index], result.further_spread[index]])
    return Listed(
        ranked=ranked,
        names=named_triples(result.labels, ranked.triples),
        spread=spread,
        norms=None if result.norms is None else result.norms.train[index],
        contributions=None if result.contributions is None else result.contributions[index],
        known=None if truth is None else _known(result, index, truth),
    )


def check_truth(result: InfluenceResult, truth: Sequence[Sequence[bool]]) -> None:
    """Check that truth is stated for every ranking of a result, with or without the further training triples.

    Raises
    ------
    ResultError
        If it is stated for another number of answers, or of training triples.
    """
    if len(truth) != len(result.rankings):
        raise ResultError(
            f"truth is stated for {len(truth):,} answers, but the result has {len(result.rankings):,}; give one list "
            "for each"
        )
    for index, values in enumerate(truth):
        length, further = len(result.rankings[index]), len(result.further[index])
        if len(values) not in (length, length + further):
            raise ResultError(
                f"answer {index}: truth is stated for {len(values):,} training triples, but the ranking has {length:,}"
                f"{f' and {further:,} further ones' if further else ''}; give one value for each, in their order"
            )


def _known(result: InfluenceResult, index: int, truth: Sequence[bool]) -> Bool[ndarray, " entry"]:
    """Spread the truth over all entries; of `further`, nothing is known where only the ranking has truth."""
    found = np.zeros(len(result.rankings[index]) + len(result.further[index]), bool)
    found[: len(truth)] = truth
    return found
