"""The tasks of an ingest that workers share: each reads or writes a part, and gives what the next ones need."""

import itertools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import zarr

from tracin_dask.errors import StoreError
from tracin_dask.places.place import Place
from tracin_dask.triples.arrays import Arrays, open_group
from tracin_dask.triples.block import TripleBlock
from tracin_dask.triples.discover import Found, find
from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.lines import InvalidLines
from tracin_dask.triples.opening import is_compressed
from tracin_dask.triples.parts import WHOLE, Part, cut
from tracin_dask.triples.runs import Run, SortedRuns, write_run
from tracin_dask.triples.sort import KeyLayout, sorted_parts
from tracin_dask.triples.store import AGAIN, ENTITY_LABEL, RELATION_LABEL, SHARD_ROWS, TRAIN_INDEX, TRIPLES
from tracin_dask.triples.tally import Tallied
from tracin_dask.triples.text import TripleText
from tracin_dask.triples.texts import read_texts
from tracin_dask.triples.write import StoreTexts, write_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """A part of a text, and the path by which all processes know the file."""

    text: TripleText
    path: Place
    part: Part = WHOLE

    def lines(self, first_line: int = 0) -> TripleText:
        """Give the part as a text of its own; its lines are counted from the stated number."""
        part = self.part if self.part == WHOLE else replace(self.part, first_line=first_line)
        return replace(self.text, path=self.path, format=self.text.format.at(self.path, part))

    def refuse_here(self, first_line: int) -> None:
        """Read the part as this process knows its file.

        Raises
        ------
        TriplesError
            For what cannot be read, with its line in the whole file.
        """
        for _ in replace(self, path=self.text.path).lines(first_line).tables(InvalidLines()):
            pass


def parts_of(text: TripleText, part_bytes: int) -> list[TextPart]:
    """Cut a text into parts of so many bytes; what is compressed, or is no text of lines, is one part."""
    path = text.path.absolute()
    if not text.format.is_lines or is_compressed(text.path):
        return [TextPart(text=text, path=path)]
    return [TextPart(text=text, path=path, part=part) for part in cut(text.path.num_bytes(), part_bytes)]


def find_in_part(part: TextPart) -> Found:
    """Find the labels or the largest ids of a part."""
    return find(part.lines())


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The lines of a part."""

    num_lines: int

    @classmethod
    def of(cls, found: Found) -> "Lines":
        """Keep only their number."""
        return cls(num_lines=found.num_lines)


def join_found(found: Sequence[Found]) -> Found:
    """Join what was found in several parts."""
    return found[0].joined(found[1:])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PartRuns:
    """The sorted rows of a part, in files, and its lines that cannot be used."""

    runs: tuple[Run, ...]
    invalid: InvalidLines

    @property
    def num_lines(self) -> int:
        """Lines of the part."""
        return self.invalid.num_lines


def read_maps(store: Place, num_entities: int, num_relations: int) -> StoreTexts:
    """Read the labels that a store begins with."""
    arrays = _arrays(store)
    return StoreTexts(
        entities=IdMap(labels=read_texts(arrays, ENTITY_LABEL, num_entities)),
        relations=IdMap(labels=read_texts(arrays, RELATION_LABEL, num_relations)),
    )


def write_part_runs(part: TextPart, maps: StoreTexts, scratch: Place, max_rows: int, sample_rows: int) -> PartRuns:
    """Read a part, and write its rows in sorted runs of at most so many rows, whose names no other task takes."""
    invalid, runs = InvalidLines(), []
    blocks = part.lines().blocks(maps.entities, maps.relations, invalid=invalid)
    for rows, _ in sorted_parts(blocks, maps.key_layout, max_rows):
        runs.append(write_run(scratch / f"{uuid.uuid4().hex}.rows", rows, sample_rows))
    return PartRuns(runs=tuple(runs), invalid=invalid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What came of reading all parts."""

    num_triples: int
    num_runs: int
    invalid: InvalidLines
    """By their numbers in the whole file."""


def sum_up(parts: Sequence[PartRuns]) -> Reading:
    """Count what came of all parts."""
    runs = [run for part in parts for run in part.runs]
    invalid = reduce(InvalidLines.followed_by, (part.invalid for part in parts), InvalidLines())
    return Reading(num_triples=sum(run.num_rows for run in runs), num_runs=len(runs), invalid=invalid)


def join_runs(parts: Sequence[PartRuns], sample_rows: int) -> SortedRuns:
    """Join the runs of all parts, which have at least one row."""
    before = itertools.accumulate((part.num_lines for part in parts), initial=0)
    runs = [(run, first) for part, first in zip(parts, before, strict=False) for run in part.runs]
    return SortedRuns.of([run for run, _ in runs], sample_rows, [first for _, first in runs])


def write_sorted(runs: SortedRuns, layout: KeyLayout, store: Place, start: int, stop: int) -> None:
    """Write the rows start ≤ row < stop, which are whole shards, into the arrays of a store."""
    rows = runs.read(start, stop)
    group = zarr.open_group(store.zarr_store(), mode="r+", zarr_format=3)
    for at in range(0, len(rows), SHARD_ROWS):
        shard = rows[at : at + SHARD_ROWS]
        write_rows(group, start + at, TripleBlock(triples=layout.unpack(shard.keys), train_index=shard.train_index))


def tally_rows(store: Place, maps: StoreTexts, num_triples: int) -> Tallied:
    """Count and hash the rows of a store in its order.

    Raises
    ------
    StoreError
        If a row is missing.
    """
    arrays, tally = _arrays(store), maps.tally()
    for start in range(0, num_triples, SHARD_ROWS):
        stop = min(start + SHARD_ROWS, num_triples)
        triples = arrays.read(TRIPLES, start, stop).astype(np.int64)
        train_index = arrays.read(TRAIN_INDEX, start, stop)
        if (triples < 0).any() or (train_index < 0).any():
            raise StoreError(f"{store}: rows {start:,} to {stop:,} were not written whole; {AGAIN}")
        tally.add(TripleBlock(triples=triples, train_index=train_index))
    return tally.finish()


def why_unusable(path: Place, num_bytes: int, mark: Place | None) -> str | None:
    """Say why this process cannot share in an ingest: it sees another text, or not the folder of sorted rows."""
    try:
        found = path.num_bytes()
    except OSError as error:
        return f"cannot read {path}: {error.strerror or error}"
    if found != num_bytes:
        return f"sees {path} with {found:,} bytes instead of {num_bytes:,}"
    return None if mark is None or mark.is_file() else f"does not see the folder {mark.parent}"


def _arrays(store: Place) -> Arrays:
    path = str(store)
    return Arrays(group=open_group(path, "not a store that can be read", AGAIN), path=path, remedy=AGAIN)
