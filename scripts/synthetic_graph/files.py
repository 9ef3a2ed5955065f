"""The text files of a graph, in the formats that `tracin-dask` reads."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_LINES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """The labels of entities and relations by id; `ends` are those of entities with a newline, for the last column."""

    entities: pa.StringArray
    ends: pa.StringArray
    relations: pa.StringArray

    @classmethod
    def of(cls, entities: pa.StringArray, relations: Iterable[str]) -> "Labels":
        """Prepare labels for writing triples."""
        ends = pc.binary_join_element_wise(entities, "", "\n")
        return cls(entities=entities, ends=ends, relations=pa.array(list(relations), pa.string()))


def write_triples(file: BinaryIO, rows: NDArray[np.int32], labels: Labels) -> None:
    """Write rows [row, 3] as lines of head TAB relation TAB tail."""
    for start in range(0, len(rows), _LINES):
        head, relation, tail = (pa.array(column) for column in rows[start : start + _LINES].T)
        columns = labels.entities.take(head), labels.relations.take(relation), labels.ends.take(tail)
        _write_text(file, pc.binary_join_element_wise(*columns, "\t"))


def write_numbered(path: Path, texts: pa.StringArray) -> None:
    """Write lines of text TAB its place."""
    with path.open("wb") as file:
        for start in range(0, len(texts), _LINES):
            part = texts[start : start + _LINES]
            numbers = pa.array(np.arange(start, start + len(part))).cast(pa.string())
            _write_text(file, pc.binary_join_element_wise(part, pc.binary_join_element_wise(numbers, "", "\n"), "\t"))


def _write_text(file: BinaryIO, texts: pa.StringArray) -> None:
    """Write texts one behind the other: that is how the array holds them."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    file.write(data[int(ends[0]) : int(ends[-1])])
