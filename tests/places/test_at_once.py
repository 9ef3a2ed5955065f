"""Several files are treated at the same time, in order, and not all of them are taken ahead."""

import threading
from pathlib import Path

import pytest

from tracin_dask.places.at_once import AT_ONCE, at_once
from tracin_dask.places.registry import place_of

BUCKET = place_of("s3://bucket/answers")
"""Asked for nothing but whether it lies in the file system."""


def test_answers_come_in_the_order_of_the_items():
    assert list(at_once(lambda number: number**2, range(100), BUCKET)) == [number**2 for number in range(100)]
    assert list(at_once(str, [], BUCKET)) == []


def test_few_items_are_taken_ahead():
    items = iter(range(10 * AT_ONCE))
    answers = at_once(str, items, BUCKET)
    assert next(answers) == "0"
    assert next(items) == AT_ONCE
    answers.close()


def test_an_error_is_raised_and_what_was_not_begun_is_left():
    done = []

    def do(number):
        if number == 3:
            raise OSError("no space")
        done.append(number)

    with pytest.raises(OSError, match="no space"):
        list(at_once(do, range(100 * AT_ONCE), BUCKET))
    assert len(done) < 3 * AT_ONCE


def test_the_file_system_needs_no_threads(tmp_path: Path):
    here = threading.get_ident()
    assert set(at_once(lambda _: threading.get_ident(), range(100), place_of(tmp_path))) == {here}
    assert here not in set(at_once(lambda _: threading.get_ident(), range(100), BUCKET))
