"""The progress of a run in a log: a line every so often, with the speed of this run alone."""

from functools import partial

import pytest

from tracin_dask.cli.say import say
from tracin_dask.monitor import progress_bar


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    now = [100.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: now[0])
    return now


def lines_of(clock, reports, capsys, *, is_resumed):
    with progress_bar.run_progress(is_resumed=is_resumed, say=partial(say, err=True), bars=None) as report:
        for seconds, done in reports:
            clock[0] += seconds
            report(done, 1000)
    return capsys.readouterr().err.splitlines()


def test_lines_state_the_recent_speed_and_the_last_one_that_of_the_whole_run(clock, capsys):
    assert lines_of(clock, [(10, 100), (30, 200), (10, 1000)], capsys, is_resumed=False) == [
        "scored 200 of 1,000 training triples, 3/s, 0:04:00 left",
        "scored 1,000 of 1,000 training triples, 20/s",
    ]


def test_what_an_interrupted_run_recorded_does_not_count_as_done_by_this_one(clock, capsys):
    assert lines_of(clock, [(10, 900), (40, 940), (10, 1000)], capsys, is_resumed=True) == [
        "scored 940 of 1,000 training triples, 1/s, 0:01:00 left",
        "scored 1,000 of 1,000 training triples, 2/s",
    ]


def test_a_run_that_finds_everything_recorded_states_no_speed(clock, capsys):
    assert lines_of(clock, [(0, 1000)], capsys, is_resumed=True) == ["scored 1,000 of 1,000 training triples"]
