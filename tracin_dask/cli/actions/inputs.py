"""From options to the store, the test triples, and groups of training triples."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import click
import numpy as np

from tracin_dask.cli.actions.stage_progress import byte_progress
from tracin_dask.cli.options.job import JobFlags
from tracin_dask.errors import ConfigError
from tracin_dask.places.place import Place
from tracin_dask.places.registry import place_of
from tracin_dask.runs.inputs.groupings import Part
from tracin_dask.triples.group_ingest import GroupOptions, ingest_groups_cached
from tracin_dask.triples.groups import GroupStore
from tracin_dask.triples.idmap import id_maps_sha256, read_id_map
from tracin_dask.triples.ingest import IngestOptions, ingest_cached
from tracin_dask.triples.store import TripleStore, open_store
from tracin_dask.triples.text import has_sets, read_sets, read_triples
from tracin_dask.triples.training_triples import TrainingTriples, read_training_triples


def store_of(options: JobFlags) -> TripleStore:
    """Open the store, or ingest the text file and say so; raises as `open_store` and `ingest_cached`."""
    train = options["train"]
    if train.is_folder():
        store = open_store(train)
        _refuse_other_maps(store, options)
        return store
    with byte_progress() as progress:
        store = ingest_cached(
            train,
            _cache(options),
            entity_to_id=options["entity_to_id"],
            relation_to_id=options["relation_to_id"],
            options=IngestOptions(
                labels=options["labels"],
                skip_invalid=options["skip_invalid"],
                entity_names=options["entity_names"],
                edge_map=options["edge_map"],
                progress=progress,
            ),
        )
    click.echo(f"training triples: {len(store):,} from {train}, stored as {store.path}", err=True)
    if options["entity_to_id"] is None or options["relation_to_id"] is None:
        click.echo(
            "without an id map, ids follow the order of the labels; the training must have used the same order",
            err=True,
        )
    return store


def _refuse_other_maps(store: TripleStore, options: JobFlags) -> None:
    """Compare given id maps with those that the store was made with."""
    entities = read_id_map(options["entity_to_id"], "entity") if options["entity_to_id"] else store.entities
    relations = read_id_map(options["relation_to_id"], "relation") if options["relation_to_id"] else store.relations
    if id_maps_sha256(entities, relations) != store.info.id_maps_sha256:
        raise ConfigError(
            f"{store.path} was made with other labels or ids (for {store.info.num_entities:,} entities and "
            f"{store.info.num_relations:,} relations) than the given id maps have (for {len(entities):,} and "
            f"{len(relations):,}); ingest the text file again with these maps, or leave out --entity-to-id and "
            "--relation-to-id"
        )


def groupings_of(options: JobFlags, store: TripleStore) -> tuple[Part | GroupStore, ...]:
    """Read the files of groups, and say so; raises as `ingest_groups_cached`."""
    return tuple(by if isinstance(by, str) else _groups(by, options, store) for by in options["group_by"])


def _groups(path: Place, options: JobFlags, store: TripleStore) -> GroupStore:
    with byte_progress() as progress:
        chosen = GroupOptions(labels=options["labels"], skip_invalid=options["skip_invalid"], progress=progress)
        groups = ingest_groups_cached(path, store, _cache(options), options=chosen)
    skipped = groups.info.skipped
    left_out = f"; {sum(skipped.values()):,} line(s) left out" if skipped else ""
    click.echo(f"groups: {len(groups):,} from {path}, stored as {groups.path}{left_out}", err=True)
    return groups


def listed_of(name: Literal["rank_of", "candidates"], options: JobFlags, store: TripleStore) -> TrainingTriples | None:
    """Read a file of training triples, where there is one, and say so; raises as `read_training_triples`."""
    path = options[name]
    if path is None:
        return None
    found = read_training_triples(path, store, labels=options["labels"], skip_invalid=options["skip_invalid"])
    left_out = f"; {sum(found.skipped.values()):,} line(s) left out" if found.skipped else ""
    click.echo(f"--{name.replace('_', '-')}: {len(found):,} training triples from {path}{left_out}", err=True)
    return found


def ids_or_labels(given: Sequence[str], options: JobFlags) -> tuple[int | str, ...]:
    """Take what is given as ids if all of it are integers, unless bare integers are labels."""
    if options["labels"] or not all(text.isdecimal() for text in given):
        return tuple(given)
    return tuple(map(int, given))


def _cache(options: JobFlags) -> Place:
    """Choose the folder for ingested text files."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracin-dask"
    return options["cache_dir"] or place_of(default)


def read_together(options: JobFlags, store: TripleStore) -> tuple[np.ndarray, bool | tuple[str, ...]]:
    """Read the test triples that are explained together, and the set of each where the file names sets."""
    file = options["test"]
    assert file is not None  # noqa: S101 - refused otherwise
    if has_sets(file):
        return read_sets(file, store.entities, store.relations, labels=options["labels"])
    triples = read_triples(file, store.entities, store.relations, labels=options["labels"], allow_spaces=True)
    return triples, True


def read_test_triples(options: JobFlags, store: TripleStore) -> np.ndarray | list[tuple[str, str, str]] | None:
    """Read the test triples, if there are any; integers are ids, unless --labels says that they are labels."""
    some, file = options["test_triple"], options["test"]
    if file:
        if has_sets(file):
            raise ConfigError(f"{file}: a fourth column names sets of test triples; add --together, or leave it out")
        return read_triples(file, store.entities, store.relations, labels=options["labels"], allow_spaces=True)
    if not some:
        return None
    if not options["labels"] and all(part.isdecimal() for triple in some for part in triple):
        return np.array([[int(part) for part in triple] for triple in some])
    return list(some)
