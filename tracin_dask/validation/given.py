"""Numbers from other tools: what a study asks them for, and the arrays that they answer with."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.errors import ScoresError
from tracin_dask.places.explained import writing
from tracin_dask.places.files import write_bytes

QUESTION = "explained.npz"
"""The file in a study's folder that says what is explained."""


def write_question(
    folder: Path, *, training: Int[ndarray, "row 3"], tests: Int[ndarray, "test 3"], checkpoints: Sequence[str]
) -> None:
    """Write the ids of the training and test triples, and the checkpoints of the explained model, by their epochs.

    Raises
    ------
    WriteError
        If the folder cannot be written.
    """
    names = np.array([Path(name).relative_to(folder).as_posix() for name in checkpoints])
    file = io.BytesIO()
    np.savez(file, training_triples=training, test_triples=tests, checkpoints=names)
    with writing(folder / QUESTION, "what is explained"):
        write_bytes(folder / QUESTION, file.getvalue())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GivenScores:
    """An array of numbers from another tool, read rows by rows."""

    path: Path
    array: ndarray

    @classmethod
    def of(cls, path: Path, shape: tuple[int, int]) -> "GivenScores":
        """Open a NumPy file of numbers [test, training triple].

        Raises
        ------
        ScoresError
            If there is none, or it is of another shape.
        """
        asked = f"{QUESTION} in the folder of the study has the {shape[0]:,} test and {shape[1]:,} training triples"
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise ScoresError(f"{path} is no NumPy file ({error}); {asked} that it needs numbers for") from error
        if not isinstance(array, ndarray):  # np.load opens .npz files, too
            raise ScoresError(f"{path} has several arrays; expected one of {list(shape)}: {asked}")
        if array.shape != shape or array.dtype.kind not in "fiu":
            raise ScoresError(f"{path} has {array.dtype} {list(array.shape)}; expected numbers {list(shape)}: {asked}")
        return cls(path=path, array=array)

    def read(self, start: int, stop: int) -> Float[ndarray, "test row"]:
        """Read some rows.

        Raises
        ------
        ScoresError
            If a number is not finite.
        """
        found: ndarray = self.array[:, start:stop].astype(np.float64)
        if not np.isfinite(found).all():
            raise ScoresError(f"{self.path}: NaN or infinity among the training triples {start:,} to {stop:,}")
        return found
