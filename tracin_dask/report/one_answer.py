"""One answer of a result, as a result."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.report.arrow import number_array
from tracin_dask.report.groups import GroupInfluences
from tracin_dask.report.labels import Labels, Texts
from tracin_dask.report.predictions import EntityRanks, Predictions
from tracin_dask.report.ranks import ListedRanks
from tracin_dask.report.result import InfluenceResult, Norms
from tracin_dask.report.self_influences import SelfInfluences
from tracin_dask.report.sets import TestSets

Each = TypeVar("Each")


def one_answer(result: InfluenceResult, test_index: int) -> InfluenceResult:
    """Keep one answer with all that is known of it; labels of other triples are left out."""
    tests = np.array([test_index]) if result.sets is None else result.sets.members(test_index)
    others, place = result.contrast_tails, slice(test_index, test_index + 1)
    part = replace(
        result,
        test_triples=None if result.test_triples is None else result.test_triples[tests],
        contrast_tails=None if others is None else others[tests],
        sets=None if result.sets is None else TestSets(names=result.sets.names[place], of_test=np.zeros_like(tests)),
        predictions=None if result.predictions is None else _predictions(result.predictions, tests),
        rankings=result.rankings[place],
        further=result.further[place],
        contributions=_of(result.contributions, place),
        spread=_of(result.spread, place),
        further_spread=_of(result.further_spread, place),
        norms=None if result.norms is None else Norms(train=result.norms.train[place], test=result.norms.test[place]),
        self_influences=None
        if result.self_influences is None
        else _self_influences(result.self_influences, tests, place),
        groups=tuple(_group(found, place) for found in result.groups),
        num_ranked=None if result.num_ranked is None else result.num_ranked[place],
        ranks=None if result.ranks is None else _listed_ranks(result.ranks, place),
        kept={name: values[place] for name, values in result.kept.items()},
    )
    return replace(part, labels=_labels(part))


def _of(parts: tuple[Each, ...] | None, place: slice) -> tuple[Each, ...] | None:
    return None if parts is None else parts[place]


def _predictions(all_tests: Predictions, tests: Int[ndarray, " test"]) -> Predictions:
    probability, contrast = all_tests.probability, all_tests.contrast
    return Predictions(
        score=all_tests.score[tests],
        probability=None if probability is None else probability[tests],
        tail_ranks=_entity_ranks(all_tests.tail_ranks, tests),
        head_ranks=_entity_ranks(all_tests.head_ranks, tests),
        train_index=_taken(all_tests.train_index, tests),
        reversed_train_index=_taken(all_tests.reversed_train_index, tests),
        contrast=None if contrast is None else _predictions(contrast, tests),
    )


def _entity_ranks(ranks: EntityRanks | None, tests: Int[ndarray, " test"]) -> EntityRanks | None:
    return None if ranks is None else EntityRanks(filtered=ranks.filtered[tests], raw=ranks.raw[tests])


def _taken(values: Sequence[Each], places: Int[ndarray, " place"]) -> tuple[Each, ...]:
    return tuple(values[place] for place in places.tolist())


def _self_influences(found: SelfInfluences, tests: Int[ndarray, " test"], place: slice) -> SelfInfluences:
    return SelfInfluences(train=found.train[place], test=found.test[tests])


def _group(found: GroupInfluences, place: slice) -> GroupInfluences:
    """Keep the totals on one answer; without the groups that only the lists of other answers name."""
    is_known = ~np.isnan(found.net[place][0])
    chosen = number_array(np.flatnonzero(is_known))
    return GroupInfluences(
        group_by=found.group_by,
        num_groups=found.num_groups,
        groups=found.groups[is_known],
        labels=found.labels.take(chosen),
        names=found.names.take(chosen),
        num_triples=found.num_triples[is_known],
        positive=found.positive[place][:, is_known],
        negative=found.negative[place][:, is_known],
        net=found.net[place][:, is_known],
    )


def _listed_ranks(ranks: ListedRanks, place: slice) -> ListedRanks:
    return replace(ranks, influence=ranks.influence[place], rank=ranks.rank[place], num_ranked=ranks.num_ranked[place])


def _labels(result: InfluenceResult) -> Labels:
    """Keep the labels of the triples that a result is about."""
    known = [part.triples for part in (*result.rankings, *result.further)]
    known += [] if result.ranks is None else [result.ranks.triples]
    tails = np.empty(0, np.int64) if result.contrast_tails is None else result.contrast_tails
    known += [] if result.test_triples is None else [result.test_triples]
    triples = np.concatenate(known)
    entities = np.unique(np.concatenate([triples[:, [0, 2]].ravel(), tails]))
    return Labels(
        entities=_texts(result.labels.entities, entities),
        relations=_texts(result.labels.relations, np.unique(triples[:, 1])),
    )


def _texts(texts: Texts, ids: Int[ndarray, " id"]) -> Texts:
    labels, names = texts.take(ids)
    return Texts(ids=ids, labels=labels, names=names)
