"""Ingests a text file of triples into a store: reading, sorting and writing."""

import contextlib
import errno
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tracin_dask.errors import StoreError, TriplesError
from tracin_dask.places.part import BusyError, StoreExistsError, new_directory, write_whole
from tracin_dask.triples.discover import discover_id_maps
from tracin_dask.triples.idmap import IdMap, Kind, id_map_bytes, read_id_map
from tracin_dask.triples.lines import BLOCK_BYTES, MAX_LINE_BYTES, InvalidLines
from tracin_dask.triples.names import read_edge_map, read_names
from tracin_dask.triples.sort import KeyLayout, sort_triples
from tracin_dask.triples.store import FORMAT_VERSION, Source, TripleStore, open_store
from tracin_dask.triples.text import TripleText, holds_ids
from tracin_dask.triples.write import StoreTexts, write_store

StageProgress = Callable[[str, int, int], object]
"""Called with (stage, done, total): bytes of text while reading, rows while writing."""

_POLL_SECONDS = 0.5
_ROW_BYTES = 32  # three ids and a train_index in memory


def no_progress(_stage: str, _done: int, _total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """Options of an ingest that rarely change.

    Parameters
    ----------
    labels
        Take bare integers as labels, not as ids.
    skip_invalid
        Leave out lines that cannot be used and count them in the store, instead of stopping.
    memory_bytes
        What sorting may hold at a time; more triples than fit are sorted in parts on disk.
    entity_names, edge_map
        Files of readable names, see `read_names` and `read_edge_map`.
    """

    labels: bool = False
    skip_invalid: bool = False
    overwrite: bool = False
    memory_bytes: int = 1 << 30
    entity_names: Path | None = None
    edge_map: Path | None = None
    progress: StageProgress = field(default=no_progress, compare=False)


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


def ingest(
    train: Path | str,
    output: Path | str,
    *,
    entity_to_id: Path | str | None = None,
    relation_to_id: Path | str | None = None,
    options: IngestOptions | None = None,
) -> TripleStore:
    """Turn a text file of training triples into a store, sorted by (head, relation, tail).

    Id maps are used as they are. One that is not given is made from the data and written beside the store as
    `<store>.entity_to_id.tsv` or `<store>.relation_to_id.tsv`. A failed ingest leaves no store behind.

    Raises
    ------
    TriplesError
        If the text, an id map or a file of names cannot be used.
    StoreError
        If `output` exists, another process is writing it, or the disk is full.
    """
    train, output, options = Path(train), Path(output), options or IngestOptions()
    text = TripleText(
        path=train,
        has_ids=not options.labels and holds_ids(train),
        block_bytes=min(BLOCK_BYTES, max(MAX_LINE_BYTES, options.memory_bytes // 8)),
    )
    with disk_explained(train, output), new_directory(output, overwrite=options.overwrite) as part:
        given = (
            None if entity_to_id is None else read_id_map(entity_to_id, "entity"),
            None if relation_to_id is None else read_id_map(relation_to_id, "relation"),
        )
        texts, made = _texts(text, given, output, options)
        _fill(part, text, texts, options)
        for path, id_map in made.items():
            write_whole(path, id_map_bytes(id_map))
    return open_store(output)


def id_map_path(output: Path | str, kind: Kind) -> Path:
    """Return the path of an id map made from the data, in the folder of the store."""
    return Path(output).with_name(f"{Path(output).stem}.{kind}_to_id.tsv")


def ingest_cached(
    train: Path | str,
    cache: Path | str,
    *,
    entity_to_id: Path | str | None = None,
    relation_to_id: Path | str | None = None,
    options: IngestOptions | None = None,
) -> TripleStore:
    """Ingest into the directory `cache`, or open the store made earlier from the same files and options.

    The store's name holds a hash of the files' content, so a changed file gets a new store. Where another process
    is making the same store, wait for it.
    """
    options = replace(options or IngestOptions(), overwrite=False)
    output = Path(cache) / f"{Path(train).stem}-{_content_key(train, entity_to_id, relation_to_id, options)}.zarr"
    while not output.exists():
        try:
            return ingest(train, output, entity_to_id=entity_to_id, relation_to_id=relation_to_id, options=options)
        except BusyError:
            time.sleep(_POLL_SECONDS)
        except StoreExistsError:
            break
    return open_store(output)


def _texts(
    text: TripleText, given: tuple[IdMap | None, IdMap | None], output: Path, options: IngestOptions
) -> tuple[StoreTexts, dict[Path, IdMap]]:
    """Read or make the id maps and names; return maps that were made with the paths to write them to."""
    made: dict[Path, IdMap] = {}
    entities, relations = given
    if entities is None or relations is None:
        meter = Meter(options.progress, "reading labels", text.path.stat().st_size)
        found_entities, found_relations = discover_id_maps(text, lambda data: meter.add(len(data)))
        if entities is None:
            entities = made[id_map_path(output, "entity")] = found_entities
        if relations is None:
            relations = made[id_map_path(output, "relation")] = found_relations
    _refuse_other_map(made)
    texts = StoreTexts(
        entities=entities,
        relations=relations,
        entity_names=None if options.entity_names is None else read_names(options.entity_names, len(entities)),
        relation_names=None if options.edge_map is None else read_edge_map(options.edge_map, relations),
    )
    return texts, made


def _refuse_other_map(made: Mapping[Path, IdMap]) -> None:
    for path, id_map in made.items():
        if path.exists() and path.read_bytes() != id_map_bytes(id_map):
            raise TriplesError(
                f"{path}: exists and differs from the id map that this data gives; "
                "pass it with --entity-to-id or --relation-to-id if it is the map to use, else move it away"
            )


def _fill(part: Path, text: TripleText, texts: StoreTexts, options: IngestOptions) -> None:
    """Read, sort and write; the store is written only after the whole text was found valid."""
    invalid, digest, size_bytes = InvalidLines(), hashlib.sha256(), text.path.stat().st_size
    meter = Meter(options.progress, "reading triples", size_bytes)

    def on_bytes(data: bytes) -> None:
        digest.update(data)
        meter.add(len(data))

    scratch = part / "sort"
    scratch.mkdir()
    triples = sort_triples(
        text.blocks(texts.entities, texts.relations, invalid=invalid, on_bytes=on_bytes),
        KeyLayout(num_entities=len(texts.entities), num_relations=len(texts.relations)),
        memory_bytes=options.memory_bytes,
        scratch=scratch,
    )
    if not options.skip_invalid:
        text.refuse(invalid, hint=", or pass --skip-invalid to leave such lines out and have them counted")
    if not triples.num_triples:
        raise TriplesError(
            f"{text.path}: no triples in {size_bytes:,} bytes ({invalid.counts.total():,} lines skipped); "
            "expected lines of `head TAB relation TAB tail`"
        )
    source = Source(name=text.path.name, size_bytes=size_bytes, sha256=digest.hexdigest())
    rows = Meter(options.progress, "writing store", triples.num_triples * _ROW_BYTES)
    write_store(
        part,
        triples,
        texts,
        source=source,
        skipped=invalid.counts,
        on_rows=lambda number: rows.add(number * _ROW_BYTES),
    )
    shutil.rmtree(scratch)


@contextlib.contextmanager
def disk_explained(train: Path, output: Path) -> Iterator[None]:
    """Explain errors of an output path; for a full disk, with the free bytes and the bytes of store and sort.

    Raises
    ------
    StoreError
        In place of the file system's error.
    """
    folder = next(parent for parent in output.absolute().parents if parent.exists())
    free_bytes = shutil.disk_usage(folder).free
    try:
        yield
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EPERM}:
            raise StoreError(f"{output}: cannot be written: {error.strerror}; choose another output") from error
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        needed_bytes = 2 * train.stat().st_size
        raise StoreError(
            f"{output}: the disk is full: {free_bytes:,} bytes were free, up to {needed_bytes:,} are needed; "
            "no store was left behind; make room or choose another output"
        ) from error


def _content_key(
    train: Path | str, entity_to_id: Path | str | None, relation_to_id: Path | str | None, options: IngestOptions
) -> str:
    files = (train, entity_to_id, relation_to_id, options.entity_names, options.edge_map)
    key = [FORMAT_VERSION, options.labels, options.skip_invalid, *map(file_sha256, files)]
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]


def file_sha256(path: Path | str | None) -> str | None:
    """Hash the content of a file, if one is given.

    Raises
    ------
    TriplesError
        If it cannot be read.
    """
    if path is None:
        return None
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TriplesError(f"{path}: cannot be read: {error.strerror}; check the path") from error
