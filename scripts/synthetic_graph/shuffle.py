"""Rows in random order with bounded memory: thrown into buckets on disk, then each bucket is permuted."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class Buckets:
    """Files of triples; which one a row falls into, and where in it, is drawn: the joint order is uniformly random."""

    def __init__(self, folder: Path, num_rows: int, *, bucket_rows: int) -> None:
        """Make the folder, for buckets that hold about `bucket_rows` rows each."""
        folder.mkdir()
        self._paths = [folder / f"{number:06d}" for number in range(max(1, round(num_rows / bucket_rows)))]
        for path in self._paths:
            path.touch()

    def add(self, rows: NDArray[np.int32], random: np.random.Generator) -> None:
        """Throw each row [row, 3] into a bucket."""
        bucket = random.integers(len(self._paths), size=len(rows), dtype=np.int32)
        ordered = rows[np.argsort(bucket, kind="stable")]
        ends = np.cumsum(np.bincount(bucket, minlength=len(self._paths))).tolist()
        for path, start, end in zip(self._paths, [0, *ends], ends, strict=False):
            if start < end:
                with path.open("ab") as file:
                    file.write(ordered[start:end].tobytes())

    def drain(self, random: np.random.Generator) -> Iterator[NDArray[np.int32]]:
        """Give the rows [row, 3] bucket by bucket in their final order, and remove the files."""
        for path in self._paths:
            rows = np.fromfile(path, dtype=np.int32).reshape(-1, 3)
            path.unlink()
            yield rows[random.permutation(len(rows))]
        self._paths[0].parent.rmdir()
