"""Reads a text file of `head TAB relation TAB tail TAB group` into the groups of a store's rows, in bounded memory."""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import zarr
from jaxtyping import Int64
from numpy import ndarray

from tracin_dask.errors import TriplesError
from tracin_dask.places.place import AnyPath, Place
from tracin_dask.places.registry import place_of
from tracin_dask.places.scratch import scratch_folder
from tracin_dask.places.stream import input_place
from tracin_dask.triples.block import TripleBlock
from tracin_dask.triples.cached import Say, made_once
from tracin_dask.triples.digests import ROW_DIGEST, RowDigester, numbers_sha256, texts_sha256
from tracin_dask.triples.group_lines import Fault, LineFinder
from tracin_dask.triples.groups import FORMAT_VERSION, LABELS, GroupInfo, GroupStore, open_groups
from tracin_dask.triples.idmap import bare_integers
from tracin_dask.triples.ingest import Meter, StageProgress, no_progress
from tracin_dask.triples.ingest_errors import disk_explained, file_sha256
from tracin_dask.triples.integers import are_ids, maps_of
from tracin_dask.triples.lines import (
    BLOCK_BYTES,
    SHOWN_LINES,
    Block,
    InvalidLines,
    Table,
    read_blocks,
    read_columns,
)
from tracin_dask.triples.parts import MAX_LINE_BYTES
from tracin_dask.triples.sort import KeyLayout, sort_triples
from tracin_dask.triples.store import MISSING_ID, SHARD_ROWS, Source, TripleStore
from tracin_dask.triples.suggestions import meant_in
from tracin_dask.triples.text import known_triples
from tracin_dask.triples.write import create_array, smallest_integer_type, write_row_digests, write_texts

logger = logging.getLogger(__name__)

FORM = "`head TAB relation TAB tail TAB group`"
NOT_A_TRAINING_TRIPLE = "triple that the training set does not have"
_ROW_BYTES = 8
_LINE_TYPE = np.dtype(np.int32)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupOptions:
    """Options for reading a file of groups that rarely change.

    Parameters
    ----------
    labels, ids
        Take bare integers as labels of entities and relations, or as ids. They must be stated where they could be
        either.
    skip_invalid
        Skip and count lines that are malformed or name no training triple, instead of stopping.
    overwrite
        Replace existing groups at the output path.
    memory_bytes
        Memory for sorting; a file that does not fit is sorted in parts on disk.
    """

    labels: bool = False
    ids: bool = False
    skip_invalid: bool = False
    overwrite: bool = False
    memory_bytes: int = 1 << 30
    progress: StageProgress = field(default=no_progress, compare=False)


def ingest_groups(
    path: AnyPath, store: TripleStore, output: AnyPath, *, options: GroupOptions | None = None
) -> GroupStore:
    """Read the group of every training triple of a store, and write the groups in the order of the store's rows.

    A line is `head TAB relation TAB tail TAB group`, with ids or labels; lines may be in any order. A triple that
    occurs several times in the training set has one group, or as many lines as occurrences, which are taken in the
    order of the training file.

    Raises
    ------
    TriplesError
        If a line is malformed or names no training triple, a training triple has no group, or a triple has several
        groups but not as many lines as occurrences in the training set.
    StoreError
        If `output` exists, another process is writing it, or the disk is full.
    """
    text_file, target, options = input_place(path), place_of(output), options or GroupOptions()
    digest = file_sha256(text_file)
    assert digest is not None  # noqa: S101 - there is a path
    text = _GroupText(path=text_file, sha256=digest, store=store, options=options)
    with (
        disk_explained(text_file, target),
        target.new_folder(overwrite=options.overwrite) as part,
        scratch_folder(part) as scratch,
    ):
        _fill(part, text, scratch)
    return open_groups(target)


def ingest_groups_cached(
    path: AnyPath,
    store: TripleStore,
    cache: AnyPath,
    *,
    options: GroupOptions | None = None,
    say: Say = logger.warning,
) -> GroupStore:
    """Read groups into the directory `cache`, or open those made earlier from the same file, store and options.

    Earlier ones are read once, and made anew if they are damaged; `say` gets a message then.
    """
    file, options = input_place(path), options or GroupOptions()
    stated = (options.labels, options.ids, options.skip_invalid)
    key = [FORMAT_VERSION, store.info.fingerprint, *stated, file_sha256(file)]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    output = place_of(cache) / f"{file.name.split('.')[0]}-groups-{digest}.zarr"
    return made_once(
        output,
        open_groups,
        lambda overwrite: ingest_groups(file, store, output, options=replace(options, overwrite=overwrite)),
        say,
    )


@dataclass(slots=True, kw_only=True)
class _GroupText:
    """A file of groups, and its labels and faults as reading goes on."""

    path: Place
    sha256: str
    store: TripleStore
    options: GroupOptions
    numbers: dict[str, int] = field(default_factory=dict)
    """Number of each group label, in order of first occurrence."""
    invalid: InvalidLines = field(default_factory=InvalidLines)
    has_ids: bool | None = None

    def blocks(self, group_of_line: Path) -> Iterator[TripleBlock]:
        """Read ids block by block; the group of every line goes to a file of int32."""
        meter = Meter(self.options.progress, "reading groups", self.path.num_bytes())
        block_bytes = min(BLOCK_BYTES, max(MAX_LINE_BYTES, self.options.memory_bytes // 8))
        blocks = read_blocks(self.path, block_bytes=block_bytes, on_bytes=lambda data: meter.add(len(data)))
        with group_of_line.open("wb") as file:
            for block in blocks:
                found, groups = self._read(block)
                file.write(groups.data)
                yield found

    def _read(self, block: Block) -> tuple[TripleBlock, ndarray]:
        """Return the lines of a block that name triples of this graph, and the groups of all its lines."""
        table = read_columns(block, 4, self.invalid)
        entities, relations = self.store.entities, self.store.relations
        if self.has_ids is None and len(table.line_index):
            looks, stated = partial(self._holds_ids, table), self.options
            maps = maps_of(entities, relations)
            self.has_ids = are_ids(looks, maps, labels=stated.labels, ids=stated.ids, where=self.path)
        triples = replace(table, columns=table.columns[:3])
        found = known_triples(triples, entities, relations, has_ids=bool(self.has_ids), invalid=self.invalid)
        rows = np.searchsorted(table.line_index, found.train_index)
        groups = np.full(block.num_lines, MISSING_ID, _LINE_TYPE)
        groups[found.train_index - block.first_line] = self._numbered(table.columns[3].take(pa.array(rows)))
        return found, groups

    @staticmethod
    def _holds_ids(table: Table) -> bool:
        """Check whether the first lines hold only bare integers before the group."""
        return all((bare_integers(column.slice(0, 1000)) >= 0).all() for column in table.columns[:3])

    def _numbered(self, labels: pa.StringArray) -> Int64[ndarray, " row"]:
        """Return the number of each label; new labels get the next number."""
        encoded = labels.dictionary_encode()
        known = [self.numbers.setdefault(label, len(self.numbers)) for label in encoded.dictionary.to_pylist()]
        numbers: ndarray = np.array(known, np.int64)[encoded.indices.to_numpy()]
        return numbers

    def add_unknown(self, found: TripleBlock) -> None:
        """Record lines whose triples are not in the training set."""
        if len(found):
            found = found.where(np.argsort(found.train_index))
            shown = [self._words(triple) for triple in found.triples[:SHOWN_LINES].tolist()]
            self.invalid.add(NOT_A_TRAINING_TRIPLE, found.train_index.tolist(), shown)

    def refuse_invalid(self) -> None:
        """Raise for lines that cannot be used, unless they are skipped."""
        if self.options.skip_invalid or not self.invalid.counts:
            return
        labels = "; if its integers are labels, pass --labels" if self.has_ids else ""
        described = self.invalid.describe(self.path, partial(meant_in, self.store))
        raise TriplesError(
            f"{described}\nExpected lines of {FORM}, each of a training triple. Correct the "
            f"file{labels}, or pass --skip-invalid to skip such lines."
        )

    def refuse_unsettled(self, missing: Fault, ambiguous: Fault) -> None:
        """Raise if a training triple has no group, or an ambiguous one."""
        if missing.count:
            raise TriplesError(
                f"{self.path}: {missing.count:,} of {len(self.store):,} training triples have no group; the first is "
                f"{self._words(missing.triple)!r} with train_index {missing.line:,}; add a line for each, for example "
                "with a group `other`"
            )
        if ambiguous.count:
            raise TriplesError(
                f"{self.path}, line {ambiguous.line + 1}: {self._words(ambiguous.triple)!r}: the lines of this triple "
                f"name different groups, but the training set has it another number of times ({ambiguous.count:,} such "
                "triples in all); give each triple one group, or one line per occurrence in the training set"
            )

    def _words(self, triple: Sequence[int]) -> str:
        """Write a triple in the form of the file."""
        if self.has_ids:
            return "\t".join(map(str, triple))
        maps = (self.store.entities, self.store.relations, self.store.entities)
        return "\t".join(labels.label(part) for labels, part in zip(maps, triple, strict=True))


def _fill(part: Place, text: _GroupText, scratch: Path) -> None:
    """Read and sort the lines, find that of every row of the store, and write the rows' groups."""
    store = text.store
    layout = KeyLayout(num_entities=store.info.num_entities, num_relations=store.info.num_relations)
    of_line = scratch / "group_of_line"
    lines = sort_triples(text.blocks(of_line), layout, memory_bytes=text.options.memory_bytes, scratch=scratch)
    text.refuse_invalid()
    if not lines.num_triples:
        raise TriplesError(f"{text.path}: no line of a triple of this graph; expected lines of {FORM}")
    group_of_line = np.memmap(of_line, dtype=_LINE_TYPE, mode="r")
    finder = LineFinder(store, lines.blocks, group_of_line, text.add_unknown)
    group = zarr.create_group(part.zarr_store(), zarr_format=3)
    number_type = smallest_integer_type(len(text.numbers) - 1)
    rows = create_array(group, "group", (len(store),), number_type, fill_value=MISSING_ID)
    digest = hashlib.sha256()
    digester = RowDigester()
    meter = Meter(text.options.progress, "writing groups", len(store) * _ROW_BYTES)
    start = 0
    for shard in _in_shards(finder.lines()):
        numbers = group_of_line[shard].astype(number_type)
        rows[start : start + len(shard)] = numbers
        digest.update(numbers.astype("<i8").data)
        digester.add(numbers)
        start += len(shard)
        meter.add(len(shard) * _ROW_BYTES)
    text.refuse_invalid()
    text.refuse_unsettled(finder.missing, finder.ambiguous)
    labels, of_rows = pa.array(list(text.numbers), pa.string()), digester.finish()
    write_texts(group, LABELS, labels)
    write_row_digests(group, of_rows)
    info = _info(text, digest.hexdigest(), {LABELS: texts_sha256(labels), ROW_DIGEST: numbers_sha256(of_rows)})
    group.attrs.put(info.attributes())


def _info(text: _GroupText, groups_sha256: str, digests: Mapping[str, str]) -> GroupInfo:
    content = [text.store.info.fingerprint, list(text.numbers), groups_sha256]
    return GroupInfo(
        num_triples=len(text.store),
        num_groups=len(text.numbers),
        store_fingerprint=text.store.info.fingerprint,
        skipped=dict(text.invalid.counts),
        source=Source(name=text.path.name, size_bytes=text.path.num_bytes(), sha256=text.sha256),
        fingerprint=hashlib.sha256(json.dumps(content).encode()).hexdigest(),
        digests=digests,
    )


def _in_shards(parts: Iterator[Int64[ndarray, " row"]]) -> Iterator[Int64[ndarray, " row"]]:
    """Cut a stream anew, so that every piece but the last is a whole shard."""
    pending = np.empty(0, np.int64)
    for part in parts:
        pending = np.concatenate([pending, part])
        while len(pending) >= SHARD_ROWS:
            yield pending[:SHARD_ROWS]
            pending = pending[SHARD_ROWS:]
    if len(pending):
        yield pending
