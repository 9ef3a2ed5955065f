"""Makes the value of a result from what a run found: labels of exactly the triples that are reported."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.errors import ConfigError
from tracin_dask.identity import Json
from tracin_dask.influence.reductions import exact_ranks, group_totals, topk
from tracin_dask.influence.reductions import num_ranked as num_ranked_rows
from tracin_dask.influence.reductions.base import ReportedReduction
from tracin_dask.influence.reductions.exact_ranks import RankCounts
from tracin_dask.influence.reductions.group_totals import GroupTotals
from tracin_dask.influence.reductions.num_ranked import NumRanked
from tracin_dask.influence.reductions.topk import Ranking, TopK
from tracin_dask.report.arrow import number_array
from tracin_dask.report.groups import GroupInfluences
from tracin_dask.report.labels import Labels, Texts
from tracin_dask.report.ranks import NOT_RANKED, ListedRanks
from tracin_dask.report.result import SHOWN_ENTRIES, InfluenceResult, RankedTriples
from tracin_dask.runs.inputs.groupings import Grouping
from tracin_dask.runs.prepare import PreparedRun
from tracin_dask.runs.provenance import one_or_all
from tracin_dask.runs.work.reported import AboutReported, Contributions
from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.store import TripleStore


def labels_of(store: TripleStore, triples: Int[ndarray, "_ 3"]) -> Labels:
    """Look up the labels and names of the entities and relations of some triples."""
    entities, relations = np.unique(triples[:, [0, 2]]), np.unique(triples[:, 1])
    return Labels(
        entities=_texts(store.entities, store.entity_names, entities),
        relations=_texts(store.relations, store.relation_names, relations),
    )


def make_result(
    prepared: PreparedRun,
    kept: Mapping[str, Any],
    rankings: Sequence[Ranking],
    further: Sequence[Ranking],
    about: Mapping[str, Any],
    *,
    found: AboutReported,
) -> InfluenceResult:
    """Put together what was kept of the influences, by the names of reductions; `about` says how it was made."""
    ranked = tuple(_ranked(ranking) for ranking in rankings)
    num_ranked = kept.get(num_ranked_rows.NAME)
    ranks = _listed_ranks(prepared, kept.get(exact_ranks.NAME), num_ranked)
    beside = tuple(_ranked(ranking) for ranking in further)
    return InfluenceResult(
        test_triples=prepared.test_triples,
        contrast_tails=prepared.contrast_tails,
        sets=prepared.sets,
        rankings=ranked,
        further=beside,
        contributions=found.contributions if prepared.config.saving.checkpoint_contributions else None,
        spread=_spread(prepared, found.contributions),
        further_spread=_spread(prepared, found.of_further),
        norms=found.norms,
        self_influences=found.self_influences,
        groups=tuple(
            _group_influences(prepared.store, grouping, totals)
            for grouping, totals in zip(prepared.groupings, kept.get(group_totals.NAME, ()), strict=True)
        ),
        num_ranked=num_ranked,
        ranks=ranks,
        kept={one.name: _reported(one, kept[one.name], len(rankings)) for one in prepared.config.saving.reductions},
        top_k=prepared.config.ranking.top_k,
        learning_rate=one_or_all(prepared.learning_rates),
        labels=labels_of(prepared.store, _all_triples(prepared, [*ranked, *beside])),
        run=json.loads(json.dumps(about)),  # as it is read back
    )


def _spread(prepared: PreparedRun, contributions: Contributions | None) -> tuple[Float[ndarray, " entry"], ...] | None:
    """Give the standard deviation of influences over trainings, where there are several."""
    number, training = prepared.num_trainings, np.array(prepared.trainings)
    if number == 1 or contributions is None:
        return None
    of_training = (training[:, None] == np.arange(number)) * float(number)  # what each has by itself, not its share
    return tuple((of_one @ of_training).std(axis=1, ddof=1) for of_one in contributions)


def _reported(reduction: ReportedReduction[Any], outcome: object, num_answers: int) -> tuple[Json, ...]:
    """Ask a reduction for its value of each answer, as it is read back."""
    values = [reduction.value(outcome, answer) for answer in range(num_answers)]
    try:
        return tuple(json.loads(json.dumps(values, allow_nan=False)))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"the reduction {reduction.name} reports what JSON cannot hold ({error}); its `value` gives numbers (none "
            "of them NaN or infinite), text, lists or dictionaries"
        ) from error


def _ranked(ranking: Ranking) -> RankedTriples:
    return RankedTriples(triples=ranking.triples, influence=ranking.influence, train_index=ranking.train_index)


def further_rankings(prepared: PreparedRun, top: TopK, rankings: Sequence[Ranking]) -> tuple[Ranking, ...]:
    """Find the strongest proponents and opponents that rankings by size leave out; none for rankings of one side."""
    if prepared.config.ranking.rank_by != "absolute" or prepared.test_triples is None:
        return tuple(listed.take(slice(0)) for listed in rankings)
    return tuple(_further(top, index, listed) for index, listed in enumerate(rankings))


def _further(top: TopK, index: int, listed: Ranking) -> Ranking:
    sides = [topk.ranked(top, index, side).take(slice(SHOWN_ENTRIES)) for side in ("proponents", "opponents")]
    return topk.joined([side.take(~np.isin(side.train_index, listed.train_index)) for side in sides])


def _listed_ranks(
    prepared: PreparedRun, counted: RankCounts | None, num_ranked: NumRanked | None
) -> ListedRanks | None:
    """Give the ranks of the listed training triples; those that masks leave out have none."""
    listed = prepared.listed
    if counted is None or listed is None:
        return None
    influence, rank = counted.influence.astype(np.float64).T, counted.not_behind.T
    if num_ranked is None:
        num_ranked = np.full(len(rank), prepared.store.info.num_triples)
    ranked = prepared.masks.ranked(listed.triples, listed.train_index)
    for left in (ranked.rows, None if ranked.pairs is None else ranked.pairs.T):
        rank = rank if left is None else np.where(left, rank, NOT_RANKED)
    return ListedRanks(
        triples=listed.triples,
        train_index=listed.train_index,
        influence=influence,
        rank=rank,
        num_ranked=num_ranked,
    )


def _all_triples(prepared: PreparedRun, parts: Sequence[RankedTriples]) -> Int[ndarray, "_ 3"]:
    """Join all triples that a result is about."""
    asked = [] if prepared.listed is None else [prepared.listed.triples]
    if prepared.test_triples is not None:
        asked.append(prepared.test_triples)
    if prepared.test_triples is not None and prepared.contrast_tails is not None:
        asked.append(np.column_stack([prepared.test_triples[:, :2], prepared.contrast_tails]))
    return np.concatenate([*asked, *(part.triples for part in parts)])


def _group_influences(store: TripleStore, grouping: Grouping, totals: GroupTotals) -> GroupInfluences:
    texts = _texts(*grouping.texts(store), totals.groups)
    tests = range(totals.digits.shape[-1])
    return GroupInfluences(
        group_by=grouping.name,
        num_groups=len(totals),
        groups=totals.groups,
        labels=texts.labels,
        names=texts.names,
        num_triples=totals.num_triples,
        positive=np.stack([totals.positive(test) for test in tests]),
        negative=np.stack([totals.negative(test) for test in tests]),
        net=np.stack([totals.net(test) for test in tests]),
    )


def _texts(id_map: IdMap, names: pa.StringArray | None, ids: Int[ndarray, " id"]) -> Texts:
    chosen = number_array(ids)
    found = pa.nulls(len(ids), pa.string()) if names is None else names.take(chosen)
    return Texts(ids=ids, labels=id_map.labels.take(chosen), names=pc.if_else(pc.equal(found, ""), None, found))
