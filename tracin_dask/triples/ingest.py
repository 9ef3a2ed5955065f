"""Ingests a text file of triples into a store: reading, sorting and writing."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePath
from typing import Protocol, runtime_checkable

import pyarrow as pa

from tracin_dask.errors import TriplesError
from tracin_dask.places.files import exists, read_bytes, write_bytes
from tracin_dask.places.part import WRITER
from tracin_dask.places.place import AnyPath, Place, StoreExistsError
from tracin_dask.places.registry import place_of
from tracin_dask.places.scratch import scratch_folder
from tracin_dask.places.stream import input_place
from tracin_dask.triples.cached import Say, made_once
from tracin_dask.triples.discover import discover_id_maps, say_if_swapped
from tracin_dask.triples.entity_rows import FOLDER, write_entity_rows
from tracin_dask.triples.idmap import IdMap, Kind, MapColumns, id_map_bytes, read_id_map, say_nothing
from tracin_dask.triples.ingest_errors import disk_explained, file_sha256
from tracin_dask.triples.integers import maps_of
from tracin_dask.triples.lines import BLOCK_BYTES, InvalidLines
from tracin_dask.triples.names import read_edge_map, read_names
from tracin_dask.triples.parts import MAX_LINE_BYTES
from tracin_dask.triples.shape import PLAIN, Shape
from tracin_dask.triples.sort import sort_triples
from tracin_dask.triples.store import FORMAT_VERSION, Source, TripleStore, open_store
from tracin_dask.triples.suggestions import meant_in
from tracin_dask.triples.text import TripleText, open_triples
from tracin_dask.triples.write import StoreTexts, write_store

logger = logging.getLogger(__name__)

StageProgress = Callable[[str, int, int], object]
"""Called with (stage, done, total): bytes of text while reading, rows while writing."""

ROW_BYTES = 32  # three ids and a train_index in memory


def no_progress(_stage: str, _done: int, _total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """Options of an ingest that rarely change.

    Parameters
    ----------
    labels, ids
        Take bare integers as labels, or as ids. They must be stated where they could be either.
    map_columns
        The order of the columns of the id maps, where it does not follow from them.
    skip_invalid
        Leave out lines that cannot be used and count them in the store, instead of stopping.
    memory_bytes
        What sorting may hold at a time; more triples than fit are sorted in parts on disk.
    shape
        How triples lie in the file, if not in three columns between tabs.
    entity_names, edge_map
        Files of readable names, see `read_names` and `read_edge_map`.
    """

    labels: bool = False
    ids: bool = False
    map_columns: MapColumns | None = None
    skip_invalid: bool = False
    overwrite: bool = False
    memory_bytes: int = 1 << 30
    shape: Shape = PLAIN
    entity_names: AnyPath | None = None
    edge_map: AnyPath | None = None
    progress: StageProgress = field(default=no_progress, compare=False)
    say: Callable[[str], object] = field(default=say_nothing, compare=False)
    """Called with what a user should know of the files."""


@dataclass(slots=True)
class Meter:
    """Adds up the progress of one stage."""

    progress: StageProgress
    stage: str
    total: int
    done: int = 0

    def add(self, amount: int) -> None:
        """Add to the progress and report it."""
        self.done += amount
        self.progress(self.stage, self.done, self.total)


@runtime_checkable
class Stages(Protocol):
    """Carries out what takes long in an ingest: in this process, or on workers."""

    def id_maps(self, text: TripleText, options: IngestOptions) -> tuple[IdMap, IdMap]:
        """Make the maps of entities and relations from a text; raises as `discover_id_maps`."""
        ...

    def fill(self, part: Place, text: TripleText, texts: StoreTexts, options: IngestOptions) -> None:
        """Read and sort the triples, and fill an empty folder with their store; raises as `ingest`."""
        ...


def ingest(
    train: AnyPath,
    output: AnyPath,
    *,
    entity_to_id: AnyPath | None = None,
    relation_to_id: AnyPath | None = None,
    options: IngestOptions | None = None,
    stages: Stages | None = None,
) -> TripleStore:
    """Turn a text file of training triples into a store, sorted by (head, relation, tail).

    Id maps are used as they are. One that is not given is made from the data and written next to the store as
    `<store>.entity_to_id.tsv` or `<store>.relation_to_id.tsv`. A failed ingest leaves no store behind. The stages are
    carried out in this process unless stated.

    Raises
    ------
    TriplesError
        If the text, an id map or a file of names cannot be used.
    StoreError
        If `output` exists, another process is writing it, or the disk is full.
    """
    target, options = place_of(output), options or IngestOptions()
    _refuse_other_folder(target)
    return _ingest(input_place(train), target, (entity_to_id, relation_to_id), options, stages or InProcess())


def _ingest(
    text_file: Place,
    target: Place,
    maps: tuple[AnyPath | None, AnyPath | None],
    options: IngestOptions,
    stages: Stages,
) -> TripleStore:
    with disk_explained(text_file, target), target.new_folder(overwrite=options.overwrite) as part:
        given = (
            _read_map(maps[0], "entity", options),
            _read_map(maps[1], "relation", options),
        )
        text = _text(text_file, given, options)
        texts, made = _texts(text, given, target, options, stages)
        stages.fill(part, text, texts, options)
        for path, id_map in made.items():
            write_bytes(path, id_map_bytes(id_map))
    return open_store(target)


def _refuse_other_folder(target: Place) -> None:
    """Refuse a folder of anything but a store, whole or unfinished: --overwrite would delete it.

    Raises
    ------
    StoreExistsError
        If it is a folder that has files, and none of a Zarr group.
    """
    if target.is_folder() and target.find("*") and not any(map(target.find, ("zarr.json", WRITER))):
        raise StoreExistsError(f"{target}: a folder with other files, not a store; choose another output")


def id_map_path(output: AnyPath, kind: Kind) -> Place:
    """Return the path of an id map made from the data, in the folder of the store."""
    store = place_of(output)
    return store.parent / f"{PurePath(store.name).stem}.{kind}_to_id.tsv"


def ingest_cached(
    train: AnyPath,
    cache: AnyPath,
    *,
    entity_to_id: AnyPath | None = None,
    relation_to_id: AnyPath | None = None,
    options: IngestOptions | None = None,
    say: Say = logger.warning,
) -> TripleStore:
    """Ingest into the directory `cache`, or open the store made earlier from the same files and options.

    The store's name holds a hash of the files' content, so a changed file gets a new store. Where another process
    is making the same store, wait for it. An earlier store is read once, and made anew if it is damaged; `say` gets a
    message then.
    """
    options = options or IngestOptions()
    options = replace(options, entity_names=_input(options.entity_names), edge_map=_input(options.edge_map))
    train, entity_to_id, relation_to_id = input_place(train), _input(entity_to_id), _input(relation_to_id)
    name = f"{PurePath(train.name).stem}-{_content_key(train, entity_to_id, relation_to_id, options)}.zarr"
    output = place_of(cache) / name
    return made_once(
        output,
        open_store,
        lambda overwrite: _ingest(
            place_of(train), output, (entity_to_id, relation_to_id), replace(options, overwrite=overwrite), InProcess()
        ),
        say,
    )


def _read_map(path: AnyPath | None, kind: Kind, options: IngestOptions) -> IdMap | None:
    return None if path is None else read_id_map(path, kind, columns=options.map_columns, say=options.say)


def _text(path: Place, given: tuple[IdMap | None, IdMap | None], options: IngestOptions) -> TripleText:
    """Find out how the text is read."""
    text = open_triples(path, maps_of(*given), labels=options.labels, ids=options.ids, shape=options.shape)
    return replace(text, block_bytes=min(BLOCK_BYTES, max(MAX_LINE_BYTES, options.memory_bytes // 8)))


def _input(path: AnyPath | None) -> Place | None:
    """Give the place of an input that may be missing."""
    return None if path is None else input_place(path)


def _texts(
    text: TripleText,
    given: tuple[IdMap | None, IdMap | None],
    output: Place,
    options: IngestOptions,
    stages: Stages,
) -> tuple[StoreTexts, dict[Place, IdMap]]:
    """Read or make the id maps and names; return maps that were made with the paths to write them to."""
    made: dict[Place, IdMap] = {}
    entities, relations = given
    if entities is None or relations is None:
        found_entities, found_relations = stages.id_maps(text, options)
        if entities is None:
            entities = made[id_map_path(output, "entity")] = found_entities
        if relations is None:
            relations = made[id_map_path(output, "relation")] = found_relations
            say_if_swapped(text.path, entities, relations, options.say)
    _refuse_other_map(made)
    texts = StoreTexts(
        entities=entities,
        relations=relations,
        entity_names=_entity_names(entities, options),
        relation_names=None if options.edge_map is None else read_edge_map(options.edge_map, relations),
    )
    return texts, made


def _entity_names(entities: IdMap, options: IngestOptions) -> pa.StringArray | None:
    if options.entity_names is None:
        return None
    stated = {"labels": options.labels, "ids": options.ids}
    return read_names(options.entity_names, entities, **stated, say=options.say)


def _refuse_other_map(made: Mapping[Place, IdMap]) -> None:
    for path, id_map in made.items():
        if exists(path) and read_bytes(path) != id_map_bytes(id_map):
            raise TriplesError(
                f"{path}: exists and differs from the id map that this data gives; "
                "pass it with --entity-to-id or --relation-to-id if it is the map to use, else move it away"
            )


class InProcess:
    """Carries out the stages in this process, one after the other."""

    def id_maps(self, text: TripleText, options: IngestOptions) -> tuple[IdMap, IdMap]:
        """Read the text once for its labels."""
        meter = Meter(options.progress, "reading labels", text.path.num_bytes())
        return discover_id_maps(text, lambda data: meter.add(len(data)))

    def fill(self, part: Place, text: TripleText, texts: StoreTexts, options: IngestOptions) -> None:
        """Read, sort and write; the store is written only after the whole text was found valid."""
        invalid, digest = InvalidLines(), hashlib.sha256()
        meter = Meter(options.progress, "reading triples", text.path.num_bytes())

        def on_bytes(data: bytes) -> None:
            digest.update(data)
            meter.add(len(data))

        with scratch_folder(part) as scratch:
            triples = sort_triples(
                text.blocks(texts.entities, texts.relations, invalid=invalid, on_bytes=on_bytes),
                texts.key_layout,
                memory_bytes=options.memory_bytes,
                scratch=scratch,
            )
            refuse_unusable(text, texts, triples.num_triples, invalid, options)
            rows = Meter(options.progress, "writing store", triples.num_triples * ROW_BYTES)
            info, tallied = write_store(
                part,
                triples,
                texts,
                source=source_of(text, digest.hexdigest()),
                skipped=invalid.counts,
                on_rows=lambda number: rows.add(number * ROW_BYTES),
            )
        index = Meter(options.progress, "indexing entities", triples.num_triples * ROW_BYTES)
        write_entity_rows(
            part / FOLDER,
            TripleStore(path=str(part), info=info),
            (tallied.heads, tallied.tails),
            memory_bytes=options.memory_bytes,
            on_rows=lambda number: index.add(number * ROW_BYTES),
        )


def refuse_unusable(
    text: TripleText, texts: StoreTexts, num_triples: int, invalid: InvalidLines, options: IngestOptions
) -> None:
    """Refuse a text that has lines that cannot be used, unless these are skipped, or that has no triple.

    Raises
    ------
    TriplesError
        With the first such lines, and their number by kind.
    """
    if not options.skip_invalid:
        hint = ", or pass --skip-invalid to leave such lines out and have them counted"
        text.refuse(invalid, hint=hint, explain=partial(meant_in, texts))
    if not num_triples:
        raise TriplesError(
            f"{text.path}: no triples in {text.path.num_bytes():,} bytes ({invalid.counts.total():,} lines skipped); "
            "expected lines of `head TAB relation TAB tail`"
        )


def source_of(text: TripleText, sha256: str) -> Source:
    """Describe the text that a store is made from."""
    path = text.path
    return Source(name=path.name, size_bytes=path.num_bytes(), sha256=sha256, read_as=text.format.description)


def _content_key(
    train: AnyPath, entity_to_id: AnyPath | None, relation_to_id: AnyPath | None, options: IngestOptions
) -> str:
    files = (train, entity_to_id, relation_to_id, options.entity_names, options.edge_map)
    stated = (options.labels, options.ids, options.map_columns, options.skip_invalid, options.shape.identity)
    key = [FORMAT_VERSION, *stated, *map(file_sha256, files)]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
