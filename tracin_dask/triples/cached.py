"""What is made once and kept in a folder: opened if it is there and sound, made if not."""

import time
from collections.abc import Callable
from typing import TypeVar

from tracin_dask.errors import StoreError
from tracin_dask.places.files import exists
from tracin_dask.places.place import BusyError, Place, StoreExistsError
from tracin_dask.triples.groups import GroupStore
from tracin_dask.triples.store import TripleStore

POLL_SECONDS = 0.5
Say = Callable[[str], object]
"""Called with a message for the user."""
Made = TypeVar("Made", TripleStore, GroupStore)


def made_once(output: Place, open_it: Callable[[Place], Made], make: Callable[[bool], Made], say: Say) -> Made:
    """Open what an earlier call made, after reading it once; or make it, waiting for another process that does so.

    `make` is called with whether to overwrite what is there.

    Raises
    ------
    StoreError
        If it cannot be made.
    """
    is_damaged = False
    while True:
        try:
            if is_damaged or not exists(output):
                return make(is_damaged)
            found = open_it(output)
            found.verify()
        except BusyError:
            time.sleep(POLL_SECONDS)
            is_damaged = False
        except StoreExistsError:
            if is_damaged:
                raise
        except StoreError as error:
            if is_damaged or not exists(output):
                raise
            say(f"{error}\nmaking it anew")
            is_damaged = True
        else:
            return found
