"""Arrays of texts in a group: their UTF-8 one behind the other, and where each ends.

Zarr's own arrays of texts, which earlier versions wrote, take ten times as long to read.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import UInt8

from tracin_dask.errors import StoreError
from tracin_dask.triples.arrays import Arrays, damage_explained

ENDS = "_end"
"""What the name of the array of ends has behind that of the texts."""
MISSING_BYTE = 255
"""No text has it: a missing part of an array reads as this, and is refused."""
MISSING_TEXT = "\n"
"""The same for arrays that earlier versions wrote."""


def count_texts(arrays: Arrays, name: str) -> int:
    """Count the texts of an array; raises as `Arrays`."""
    is_whole = arrays.open(name).dtype != np.uint8
    return int(arrays.open(name if is_whole else name + ENDS).shape[0])


def read_texts(arrays: Arrays, name: str, count: int) -> pa.StringArray:
    """Read an array of so many texts.

    Raises
    ------
    StoreError
        If it, or a part of it, is missing or damaged.
    """
    array = arrays.open(name)
    if array.dtype != np.uint8:
        return _read_whole(arrays, name, count)
    ends, contents = arrays.read(name + ENDS, 0, count), arrays.read(name, 0, array.shape[0])
    if (ends < 0).any() or (contents == MISSING_BYTE).any():
        raise _missing(arrays, name)
    with damage_explained(arrays.path, f"{name} is damaged", arrays.remedy):
        return _texts_of(contents, np.concatenate([np.zeros(1, np.int64), ends]))


def _texts_of(contents: UInt8[np.ndarray, " byte"], offsets: np.ndarray) -> pa.StringArray:
    buffers = (pa.py_buffer(offsets), pa.py_buffer(contents))
    texts = pa.LargeStringArray.from_buffers(len(offsets) - 1, *buffers)
    texts.validate(full=True)
    return texts.cast(pa.string())


def _read_whole(arrays: Arrays, name: str, count: int) -> pa.StringArray:
    """Read an array that an earlier version wrote."""
    values = arrays.read(name, 0, count)
    with damage_explained(arrays.path, f"{name} is damaged", arrays.remedy):
        texts = pa.array(values.tolist(), pa.string())
    if pc.any(pc.equal(texts, MISSING_TEXT)).as_py():
        raise _missing(arrays, name)
    return texts


def _missing(arrays: Arrays, name: str) -> StoreError:
    return StoreError(f"{arrays.path}: a part of {name} is missing; {arrays.remedy}")
