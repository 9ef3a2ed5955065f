"""The masks that the options of a run ask for."""

from typing import Any

import numpy as np

from tracin_dask.errors import ConfigError
from tracin_dask.influence.columns import Targets
from tracin_dask.influence.masks.base import Mask, Masks
from tracin_dask.influence.masks.candidates import CandidateMask
from tracin_dask.influence.masks.relations import RelationMask
from tracin_dask.influence.masks.touching import ExcludeSelfMask, TouchingMask
from tracin_dask.runs.inputs.listed_triples import resolve_training_triples
from tracin_dask.runs.inputs.masks.walks import Report, walk_masks
from tracin_dask.runs.options.masking import WALKS, MaskingOptions
from tracin_dask.triples.named import named_ids
from tracin_dask.triples.store import TripleStore
from tracin_dask.triples.suggestions import why_unknown
from tracin_dask.triples.training_triples import TrainingTriples


def masks_of(
    store: TripleStore, options: MaskingOptions, targets: Targets | None, report: Report = lambda *_: None
) -> Masks:
    """Give the masks of a run, with their labels looked up in the store, and the graph followed as far as needed.

    `report` is called while all training triples are read for that.

    Raises
    ------
    ConfigError
        If a relation is unknown, all relations are excluded, or a candidate is not a training triple.
    """
    chosen: list[Mask] = []
    for excluded, given in ((False, options.only_relations), (True, options.exclude_relations)):
        if given:
            chosen.append(RelationMask(relations=_relations(store, given, excluded=excluded), excluded=excluded))
    candidates = resolve_training_triples(store, options.candidates, "candidates")
    if candidates is not None:
        chosen.append(CandidateMask(train_index=np.sort(candidates.train_index)))
    if options.touching is not None:
        chosen.append(TouchingMask(touching=options.touching))
    if options.exclude_self:
        chosen.append(ExcludeSelfMask())
    if targets is not None:
        chosen.extend(walk_masks(store, options, targets, report))
    return Masks(masks=(*chosen, *options.masks), targets=targets)


def about_masks(store: TripleStore, options: MaskingOptions) -> dict[str, Any]:
    """State which training triples are ranked, for the result; empty if all are."""
    about: dict[str, Any] = {}
    for name, given in (("only_relations", options.only_relations), ("exclude_relations", options.exclude_relations)):
        if given:
            numbers = _relations(store, given, excluded=False)
            about[name] = [store.relations.label(number) for number in numbers]
    candidates = resolve_training_triples(store, options.candidates, "candidates")
    if candidates is not None:
        about["candidates"] = _about_listed(candidates)
    if options.touching is not None:
        about["touching"] = options.touching
    if options.exclude_self:
        about["exclude_self"] = True
    about |= {name: value for name in WALKS if (value := getattr(options, name)) not in (None, False)}
    return about | {mask.name: mask.identity for mask in options.masks}


def _about_listed(listed: TrainingTriples) -> dict[str, Any]:
    about: dict[str, Any] = {"num_training_triples": len(listed), "skipped_lines": dict(listed.skipped)}
    return about | ({"file": listed.source} if listed.source else {})


def _mixed(given: tuple[int | str, ...], relation: int | str) -> str:
    """Say why a number was taken for a label."""
    if len(given) == 1 or type(relation) is not str or not relation.isdecimal():
        return ""
    return "; it was taken for a label, as others are: give all as ids, or all as labels"


def _relations(store: TripleStore, given: tuple[int | str, ...], *, excluded: bool) -> tuple[int, ...]:
    """Turn relations into ids, in the order in which they are given."""
    option, number = "exclude_relations" if excluded else "only_relations", store.info.num_relations
    found, lookup = [], named_ids(store)[1]
    for relation in given:
        place = lookup.ids([relation])[0] if isinstance(relation, str) else relation
        if not 0 <= place < number:
            raise ConfigError(
                f"{option}: the relation {relation} {why_unknown(store, relation, 'relation')}{_mixed(given, relation)}"
            )
        found.append(int(place))
    if excluded and len(set(found)) == number:
        raise ConfigError(f"{option} names all {number:,} relations of {store.path}, which leaves no training triple")
    return tuple(dict.fromkeys(found))
