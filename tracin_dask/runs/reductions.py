"""The reductions that the options of a run ask for."""

from typing import Any

from tracin_dask.influence.masks.base import Masks
from tracin_dask.influence.reductions.base import Reduction
from tracin_dask.influence.reductions.exact_ranks import ExactRanksReduction
from tracin_dask.influence.reductions.group_totals import GroupTotalsReduction
from tracin_dask.influence.reductions.num_ranked import NumRankedReduction
from tracin_dask.influence.reductions.topk_per_relation import RelationTopKReduction
from tracin_dask.influence.reductions.topk_reduction import TopKReduction
from tracin_dask.places.registry import place_of
from tracin_dask.runs.config import RunConfig
from tracin_dask.runs.inputs.groupings import Grouping
from tracin_dask.runs.options.ranking import RankingOptions
from tracin_dask.runs.sinks.score_writer import SavedScores, ScoresAddress
from tracin_dask.triples.training_triples import TrainingTriples

Reductions = tuple[Reduction[Any], ...]


def top_of(ranking: RankingOptions, num_relations: int, *, skips_zeros: bool = False) -> Reduction[Any]:
    """Give what keeps the largest influences.

    With `skips_zeros`, training triples without any influence stay out of the lists.
    """
    if ranking.top_k_per is None:
        return TopKReduction(k=ranking.top_k, skips_zeros=skips_zeros)
    return RelationTopKReduction(k=ranking.top_k, num_relations=num_relations, skips_zeros=skips_zeros)


def reductions_of(
    config: RunConfig,
    *,
    top: Reduction[Any],
    groupings: tuple[Grouping, ...] = (),
    listed: TrainingTriples | None = None,
    masks: Masks | None = None,
    address: ScoresAddress | None = None,
) -> Reductions:
    """Give what is kept of the influences, with the `top` ones first.

    Before the `address` of scores is claimed, none of them can be written.
    """
    chosen = [top]
    if masks:
        chosen.append(NumRankedReduction(masks=masks.identity))
    if groupings:
        chosen.append(GroupTotalsReduction(groupings=groupings))
    if listed is not None:
        order = config.ranking.rank_by
        chosen.append(ExactRanksReduction(rows=listed.rows, train_index=listed.train_index, rank_by=order))
    if config.saving.save_scores is not None:
        unclaimed = ScoresAddress(path=place_of(config.saving.save_scores).absolute(), identity="")
        chosen.append(SavedScores(address=address or unclaimed))
    return (*chosen, *config.saving.reductions)
