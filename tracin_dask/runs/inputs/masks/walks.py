"""The masks that follow the graph from the test triples: their sets of entities, found before the run is planned."""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray

from tracin_dask.influence.columns import Targets
from tracin_dask.influence.masks.base import Mask
from tracin_dask.influence.masks.entity_bits import EntityBits
from tracin_dask.influence.masks.on_walks import OnWalksMask
from tracin_dask.influence.masks.walks import OnPathsMask, WalkRules, WithinHopsMask
from tracin_dask.runs.options.masking import MaskingOptions
from tracin_dask.runs.test_side.locality import index_of
from tracin_dask.triples.entity_rows import EntityRows, counted_degrees
from tracin_dask.triples.neighbourhood import Neighbourhood
from tracin_dask.triples.paths import path_sets
from tracin_dask.triples.reach import Walker
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.walks import walk_sets
from tracin_dask.triples.within_hops import open_within

Report = Callable[[str, int, int], object]
"""Called with the name of a pass over all training triples, those that were read, and all of them."""


def walk_masks(store: TripleStore, options: MaskingOptions, targets: Targets, report: Report) -> list[Mask]:
    """Follow the graph from the test triples, as far as options ask for it.

    Raises
    ------
    StoreError
        If the store or its index is damaged.
    OSError
        If the index cannot be read.
    """
    if not options.walks:
        return []
    index = index_of(store)
    walker = Walker(
        store=store,
        find=_by_reading if index is None else partial(Neighbourhood.of, index),
        is_directed=options.directed_hops,
        passes=_passed(store, index, options),
        report=report,
    )
    masks: list[Mask] = []
    if options.within_hops is not None:
        masks.append(_within_hops(walker, _rules(options, options.within_hops), targets))
    if options.on_paths is not None:
        on_paths = _on_walks if options.all_walks else _on_paths
        masks.append(on_paths(walker, _rules(options, options.on_paths), targets))
    return masks


def _within_hops(walker: Walker, rules: WalkRules, targets: Targets) -> Mask:
    table = open_within(walker, targets.triples, rules.max_length)
    return WithinHopsMask(rules=rules, open=EntityBits.of(table, len(targets.triples)))


def _on_paths(walker: Walker, rules: WalkRules, targets: Targets) -> Mask:
    found = path_sets(walker, targets.triples, rules.max_length)
    sets: dict[str, Any] = {}
    for field in fields(found):
        value = getattr(found, field.name)
        is_table = value is not None and field.name != "both_ways"
        sets[field.name] = EntityBits.of(value, len(targets.triples)) if is_table else value
    return OnPathsMask(rules=rules, **sets)


def _on_walks(walker: Walker, rules: WalkRules, targets: Targets) -> Mask:
    behind, before = (
        tuple(EntityBits.of(table, len(targets.triples)) for table in tables)
        for tables in walk_sets(walker, targets.triples, rules.max_length)
    )
    return OnWalksMask(rules=rules, behind=behind, before=before)


def _rules(options: MaskingOptions, max_length: int) -> WalkRules:
    return WalkRules(
        max_length=max_length,
        is_directed=options.directed_hops,
        min_degree=options.min_degree,
        max_degree=options.max_degree,
    )


def _by_reading(entities: Int64[ndarray, " entity"]) -> Neighbourhood:
    """Find what touches entities by reading all rows."""
    return Neighbourhood(entities=entities, num_heads=0, num_tails=0, rows=None)


def _passed(store: TripleStore, index: EntityRows | None, options: MaskingOptions) -> Bool[ndarray, " entity"] | None:
    """Tell which entities walks may go through; None for all."""
    if options.min_degree is None and options.max_degree is None:
        return None
    found = counted_degrees(store) if index is None else index.degrees
    least, most = options.min_degree or 0, options.max_degree
    return np.asarray((found >= least) & (found <= (len(store) * 2 if most is None else most)))
