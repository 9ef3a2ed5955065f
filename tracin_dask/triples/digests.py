"""Digests of what a store holds: by them a store sees damaged attributes, and parts that belong to another store."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64
from numpy import ndarray

DIGEST_ROWS = 32_768
"""Rows that have one digest; reading decompresses as many at a time anyway."""
ROW_DIGEST = "row_digest"
"""The array of the digests of all chunks of rows."""
ATTRIBUTES_DIGEST = "attributes_sha256"


def row_digests(*columns: ndarray) -> Int64[ndarray, " chunk"]:
    """Digest each chunk of rows; the first row is the first of a chunk."""
    numbers = [np.ascontiguousarray(column, dtype="<i8") for column in columns]
    digests = []
    for start in range(0, len(numbers[0]), DIGEST_ROWS):
        digest = hashlib.blake2b(digest_size=8)
        for column in numbers:
            digest.update(column[start : start + DIGEST_ROWS].data)
        digests.append(int.from_bytes(digest.digest(), "little", signed=True))
    return np.array(digests, np.int64)


class RowDigester:
    """Digests rows that come in blocks of any size."""

    def __init__(self) -> None:
        """Start without rows."""
        self._digests: list[Int64[ndarray, " chunk"]] = []
        self._rest: tuple[ndarray, ...] = ()

    def add(self, *columns: ndarray) -> None:
        """Digest the next rows, as far as they fill chunks."""
        if self._rest:
            columns = tuple(map(np.concatenate, zip(self._rest, columns, strict=True)))
        whole = len(columns[0]) // DIGEST_ROWS * DIGEST_ROWS
        self._digests.append(row_digests(*(column[:whole] for column in columns)))
        self._rest = tuple(column[whole:].copy() for column in columns)

    def finish(self) -> Int64[ndarray, " chunk"]:
        """Give the digests of all chunks."""
        return np.concatenate([*self._digests, row_digests(*self._rest)])


def num_chunks(num_rows: int) -> int:
    """Count the chunks of some rows."""
    return -(-num_rows // DIGEST_ROWS)


def chunk_range(start: int, stop: int, num_rows: int) -> tuple[int, int]:
    """Widen a range of rows to whole chunks."""
    return start // DIGEST_ROWS * DIGEST_ROWS, min(-(-stop // DIGEST_ROWS) * DIGEST_ROWS, num_rows)


def first_other(expected: Int64[ndarray, " all_chunks"], first_row: int, *columns: ndarray) -> int | None:
    """Find the first row of the first chunk that is not as digested; None if all are."""
    first = first_row // DIGEST_ROWS
    found = row_digests(*columns)
    is_other = found != expected[first : first + len(found)]
    return (first + int(is_other.argmax())) * DIGEST_ROWS if is_other.any() else None


def numbers_sha256(*numbers: Int64[ndarray, " _"]) -> str:
    """Digest arrays of numbers, as if they were one."""
    digest = hashlib.sha256()
    for each in numbers:
        digest.update(np.ascontiguousarray(each, dtype="<i8").data)
    return digest.hexdigest()


def lines_of(texts: pa.StringArray) -> memoryview:
    """Give the bytes of texts in UTF-8, a newline behind each."""
    empty, newline = (pa.scalar(text, pa.large_string()) for text in ("", "\n"))
    lines = pc.binary_join_element_wise(texts.cast(pa.large_string()), empty, newline)
    _, ends, contents = lines.buffers()
    return memoryview(contents)[: np.frombuffer(ends, np.int64)[len(lines)]] if len(lines) else memoryview(b"")


def texts_sha256(texts: pa.StringArray) -> str:
    """Digest an array of texts."""
    return hashlib.sha256(lines_of(texts)[:-1]).hexdigest()


def with_digest(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Add a digest of all attributes to them."""
    return {**attributes, ATTRIBUTES_DIGEST: _sha256(attributes)}


def is_as_written(attributes: Mapping[str, Any]) -> bool:
    """Tell whether attributes have the digest that `with_digest` gave them."""
    others = {name: value for name, value in attributes.items() if name != ATTRIBUTES_DIGEST}
    return attributes.get(ATTRIBUTES_DIGEST) == _sha256(others)


def _sha256(attributes: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(attributes, sort_keys=True).encode()).hexdigest()
