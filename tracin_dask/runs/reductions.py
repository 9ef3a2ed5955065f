"""The reductions that the options of a run ask for."""

from typing import Any

from tracin_dask.influence.reductions.base import Reduction
from tracin_dask.influence.reductions.group_totals import GroupTotalsReduction
from tracin_dask.influence.reductions.topk import TopKReduction
from tracin_dask.places.registry import place_of
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.groupings import Grouping
from tracin_dask.runs.sinks.score_writer import SavedScores, ScoresPlace

Reductions = tuple[Reduction[Any], ...]


def reductions_of(
    config: RunConfig, groupings: tuple[Grouping, ...] = (), place: ScoresPlace | None = None
) -> Reductions:
    """Give what is kept of the influences; before a `place` of scores is claimed, none of them can be written."""
    chosen: list[Reduction[Any]] = [TopKReduction(k=config.ranking.top_k)]
    if groupings:
        chosen.append(GroupTotalsReduction(groupings=groupings))
    if config.saving.save_scores is not None:
        unclaimed = ScoresPlace(path=place_of(config.saving.save_scores).absolute(), identity="")
        chosen.append(SavedScores(place=place or unclaimed))
    return tuple(chosen)
