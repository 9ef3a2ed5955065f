"""Arrow arrays of numbers and texts, made without Arrow's own conversion: that imports pandas, which takes a second."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Shaped
from numpy import ndarray

_TYPES = {np.dtype(np.int64): pa.int64(), np.dtype(np.float64): pa.float64()}


def number_array(values: Shaped[ndarray, " row"]) -> pa.Array:
    """Wrap whole numbers or floats of 64 bits; nothing is copied."""
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(_TYPES[values.dtype], len(values), [None, pa.py_buffer(values)])


def text_array(values: Sequence[str | None]) -> pa.StringArray:
    """Make an array of texts; None is null."""
    encoded = [b"" if value is None else value.encode() for value in values]
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    is_known = np.packbits(np.array([value is not None for value in values], bool), bitorder="little")
    buffers = [pa.py_buffer(part) for part in (is_known, offsets, b"".join(encoded))]
    return pa.StringArray.from_buffers(len(values), *buffers[1:], buffers[0])


def list_array(values: Shaped[ndarray, "row part"]) -> pa.Array:
    """Make an array of lists of equal length."""
    ends = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.Array.from_buffers(
        pa.list_(pa.float64()), len(values), [None, pa.py_buffer(ends)], children=[number_array(values.ravel())]
    )


def ragged_array(values: pa.Array, lengths: Sequence[int]) -> pa.Array:
    """Make an array of lists of given lengths, whose values follow one another."""
    ends = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=ends[1:])
    return pa.Array.from_buffers(pa.list_(values.type), len(lengths), [None, pa.py_buffer(ends)], children=[values])


def flag_array(values: Sequence[bool]) -> pa.BooleanArray:
    """Make an array of truth values."""
    return pa.BooleanArray.from_buffers(pa.bool_(), len(values), [None, _bits(values)])


def known_array(values: Sequence[float | None]) -> pa.FloatingPointArray:
    """Make an array of floats; None is null."""
    numbers = np.array([0.0 if value is None else value for value in values], np.float64)
    is_known = _bits([value is not None for value in values])
    return pa.Array.from_buffers(pa.float64(), len(values), [is_known, pa.py_buffer(numbers)])


def _bits(values: Sequence[bool]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(np.array(values, bool), bitorder="little"))


def repeated(column: pa.Array, size: int) -> pa.Array:
    """Repeat the only value of a column."""
    return column.take(number_array(np.zeros(size, np.int64)))


def table_of(columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> pa.Table:
    """Put columns side by side."""
    return pa.Table.from_arrays(list(columns.values()), names=list(columns))


def numbers_of(column: pa.ChunkedArray) -> ndarray:
    """Give the numbers of a column.

    Raises
    ------
    ValueError
        If they are not whole numbers or floats of 64 bits, or one is missing.
    """
    known = {arrow: dtype for dtype, arrow in _TYPES.items()}
    if column.type not in known or column.null_count:
        raise ValueError(f"found {column.type} with {column.null_count} missing where numbers of 64 bits are expected")
    dtype = known[column.type]
    parts = [np.frombuffer(part.buffers()[1], dtype, len(part), 8 * part.offset) for part in column.chunks if len(part)]
    return np.concatenate([np.empty(0, dtype), *parts])
