"""A folder of the file system for what is needed only while something is made: sorted runs, memory maps."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tracin_dask.errors import ConfigError
from tracin_dask.places.files import locked_file
from tracin_dask.places.place import Place

_MOST_BYTES_OF_SOCKETS_FOLDER = 75
"""A socket's path has at most 107 bytes, and multiprocessing adds `/pymp-xxxxxxxx/listener-xxxxxxxx`."""


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


@contextlib.contextmanager
def shared_scratch(folder: Place) -> Iterator[Place]:
    """Give an empty folder of files that other machines see, too; it is deleted afterwards.

    What an interrupted process left there is deleted first.

    Raises
    ------
    BusyError
        If another process uses it.
    """
    folder.parent.make_folder()
    with locked_file(folder):
        _delete(folder)
        folder.make_folder()
        try:
            yield folder
        except BaseException:
            with contextlib.suppress(OSError):  # tasks may still write; the next use deletes that
                _delete(folder)
            raise
        _delete(folder)


def _delete(folder: Place) -> None:
    for file in folder.find("*"):
        file.delete()
    if folder.is_folder():
        folder.delete()


def check_room_for_sockets(what: str) -> None:
    """Refuse a folder for temporary files whose path leaves no room for the sockets of multiprocessing.

    Processes that exchange tensors would wait for each other for ever.

    Raises
    ------
    ConfigError
        Saying `what` needs the sockets.
    """
    folder = tempfile.gettempdir()
    size = len(os.fsencode(folder))
    if size > _MOST_BYTES_OF_SOCKETS_FOLDER:
        raise ConfigError(
            f"{what} needs sockets in the folder for temporary files, but the path {folder} has {size} bytes, more "
            f"than {_MOST_BYTES_OF_SOCKETS_FOLDER}; set TMPDIR to a shorter one"
        )
