"""Rooms stay small enough to be seen at a glance."""

from pathlib import Path

import pytest

import tracin_dask

PACKAGE = Path(tracin_dask.__file__).parent
MOST_FILES = 10


@pytest.mark.parametrize("room", ["runs", "models"])
def test_no_folder_of_these_rooms_has_too_many_files(room: str):
    folders = [path.parent for path in (PACKAGE / room).rglob("__init__.py")]
    assert len(folders) > 3
    assert {folder: number for folder in folders if (number := len(list(folder.glob("*.py")))) > MOST_FILES} == {}
