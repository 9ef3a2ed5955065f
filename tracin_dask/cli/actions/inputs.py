"""From options to the store, the test triples, and groups of training triples."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
import pyarrow as pa

from tracin_dask.cli.actions.findings import say_findings
from tracin_dask.cli.actions.stage_progress import byte_progress
from tracin_dask.cli.actions.training_sources import PYKEENS_ORDER, kind_of, training_text
from tracin_dask.cli.options.job import JobFlags
from tracin_dask.cli.options.shape import shape_of
from tracin_dask.cli.say import say
from tracin_dask.errors import ConfigError
from tracin_dask.places.place import Place
from tracin_dask.places.registry import place_of
from tracin_dask.runs.inputs.groupings import Part
from tracin_dask.triples.group_ingest import GroupOptions, ingest_groups_cached
from tracin_dask.triples.groups import GroupStore
from tracin_dask.triples.idmap import NOT_AN_INTEGER, IdMap, Kind, bare_integers, id_maps_sha256, read_id_map
from tracin_dask.triples.ingest import ingest_cached
from tracin_dask.triples.integers import are_ids, maps_of
from tracin_dask.triples.store import TripleStore, open_store
from tracin_dask.triples.tests_in_file import TestsInFile, read_tests, read_tests_in_sets
from tracin_dask.triples.text import has_sets
from tracin_dask.triples.training_triples import TrainingTriples, read_training_triples


class _Reading(TypedDict):
    """What is stated of files of triples: what their integers are, and what happens to lines that cannot be used."""

    labels: bool
    ids: bool
    skip_invalid: bool


def store_of(options: JobFlags) -> TripleStore:
    """Open the store, or ingest the text and say so; raises as `open_store`, `training_text` and `ingest_cached`."""
    kind = kind_of(options["train"])
    if kind == "store":
        store = open_store(str(options["train"]))
    else:
        store = _ingested(options)
        say(
            f"training triples: {len(store):,} from {options['train']}, stored as {store.path}{_read_as(store)}",
            err=True,
        )
        say_findings(store)
    if kind == "pykeen":
        say(PYKEENS_ORDER, err=True)
    if kind != "text":
        _refuse_other_maps(store, options)
    elif options["entity_to_id"] is None or options["relation_to_id"] is None:
        say(
            "without an id map, ids follow the order of the labels; the training must have used the same order",
            err=True,
        )
    return store


def _ingested(options: JobFlags) -> TripleStore:
    with byte_progress() as progress, training_text(options, progress) as text:
        return ingest_cached(
            text.train,
            cache_of(options),
            entity_to_id=text.entity_to_id,
            relation_to_id=text.relation_to_id,
            options=text.options,
            say=partial(say, err=True),
        )


def _read_as(store: TripleStore) -> str:
    """Say how the text was read, where it was not plain."""
    return f"; {store.info.source.read_as}" if store.info.source.read_as else ""


def _refuse_other_maps(store: TripleStore, options: JobFlags) -> None:
    """Compare given id maps with those that the store was made with."""
    if not (options["entity_to_id"] or options["relation_to_id"]):
        return
    read = partial(read_id_map, columns=options["map_columns"], say=partial(say, err=True))
    entities = read(options["entity_to_id"], "entity") if options["entity_to_id"] else store.entities
    relations = read(options["relation_to_id"], "relation") if options["relation_to_id"] else store.relations
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
        chosen = GroupOptions(**_reading(options), progress=progress)
        groups = ingest_groups_cached(path, store, cache_of(options), options=chosen, say=partial(say, err=True))
    left_out = _left_out(groups.info.skipped)
    say(f"groups: {len(groups):,} from {path}, stored as {groups.path}{left_out}", err=True)
    return groups


def listed_of(name: Literal["rank_of", "candidates"], options: JobFlags, store: TripleStore) -> TrainingTriples | None:
    """Read a file of training triples, where there is one, and say so; raises as `read_training_triples`."""
    path = options[name]
    if path is None:
        return None
    found = read_training_triples(path, store, **_reading(options))
    say_option = f"--{name.replace('_', '-')}"
    say(f"{say_option}: {len(found):,} training triples from {path}{_left_out(found.skipped)}", err=True)
    return found


def ids_or_labels(name: str, options: JobFlags, maps: Mapping[Kind, IdMap]) -> tuple[int | str, ...]:
    """Take what an option names as ids if all of it are integers, unless bare integers are labels."""
    given: tuple[str, ...] = options[name]  # type: ignore[literal-required] # one of several options of this form
    all_ids = words_are_ids([given], maps, options, f"--{name.replace('_', '-')}")
    return tuple(map(int, given)) if all_ids else given


def words_are_ids(rows: Sequence[Sequence[str]], maps: Mapping[Kind, IdMap], options: JobFlags, option: str) -> bool:
    """Tell whether words of the command line are ids, as all of them together say; raises as `are_ids`."""
    words = pa.array([word for row in rows for word in row], pa.string())

    def all_integers() -> bool:
        return len(words) > 0 and bool((bare_integers(words) != NOT_AN_INTEGER).all())

    return are_ids(all_integers, maps, labels=options["labels"], ids=options["ids"], where=option)


def _reading(options: JobFlags) -> _Reading:
    """Give what is stated of files of triples."""
    return _Reading(labels=options["labels"], ids=options["ids"], skip_invalid=options["skip_invalid"])


def _left_out(skipped: Mapping[str, int]) -> str:
    """Count the lines of a file that were left out, by what is wrong with them."""
    kinds = ", ".join(f"{number:,} × {kind}" for kind, number in sorted(skipped.items()))
    return f"; {sum(skipped.values()):,} line(s) left out: {kinds}" if skipped else ""


def cache_of(options: JobFlags) -> Place:
    """Choose the folder for ingested text files."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracin-dask"
    return options["cache_dir"] or place_of(default)


def read_together(options: JobFlags, store: TripleStore) -> tuple[np.ndarray, bool | tuple[str, ...]]:
    """Read the test triples that are explained together, and the set of each where the file names sets."""
    file = options["test"]
    assert file is not None  # noqa: S101 - refused otherwise
    shape = shape_of(options)
    found = (read_tests_in_sets if has_sets(file, shape) else read_tests)(file, store, **_reading(options), shape=shape)
    _say_left_out(file, found)
    return found.triples, found.sets or True


def read_test_triples(options: JobFlags, store: TripleStore) -> np.ndarray | list[tuple[str, str, str]] | None:
    """Read the test triples, if there are any; integers are ids, unless --labels says that they are labels."""
    some, file = options["test_triple"], options["test"]
    if file:
        shape = shape_of(options)
        if has_sets(file, shape):
            raise ConfigError(f"{file}: a fourth column names sets of test triples; add --together, or leave it out")
        found = read_tests(file, store, **_reading(options), shape=shape)
        _say_left_out(file, found)
        return found.triples
    if not some:
        return None
    if words_are_ids(some, maps_of(store.entities, store.relations), options, "--test-triple"):
        return np.array([[int(part) for part in triple] for triple in some])
    return list(some)


def _say_left_out(path: Place, found: TestsInFile) -> None:
    if found.skipped:
        say(f"--test: {len(found.triples):,} test triples from {path}{_left_out(found.skipped)}", err=True)
