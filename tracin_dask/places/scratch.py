"""A folder of the file system for what is needed only while something is made: sorted runs, memory maps."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tracin_dask.places.place import Place


@contextlib.contextmanager
def scratch_folder(beneath: Place) -> Iterator[Path]:
    """Give an empty folder, deleted afterwards: in `beneath`, or in the system's folder for temporary files.

    The second is taken where `beneath` does not lie in the file system.
    """
    folder = beneath.local_path()
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="tracin-dask-") as temporary:
            yield Path(temporary)
        return
    scratch = folder / "sort"
    scratch.mkdir()
    yield scratch
    shutil.rmtree(scratch)
