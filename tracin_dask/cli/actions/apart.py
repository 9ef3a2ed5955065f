"""Keeps what is printed apart from a file that is written to standard output."""

import contextlib
import sys
from collections.abc import Iterator

from tracin_dask.places.place import Place
from tracin_dask.places.target import is_standard_output


@contextlib.contextmanager
def printed_apart(target: Place | None) -> Iterator[None]:
    """Print to standard error while a file goes to standard output."""
    path = None if target is None else target.local_path()
    if path is not None and is_standard_output(path):
        with contextlib.redirect_stdout(sys.stderr):
            yield
    else:
        yield
