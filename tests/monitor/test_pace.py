"""One estimate of the time left, for the terminal and for the page."""

import sys

import pytest

from tracin_dask.monitor import progress_bar
from tracin_dask.monitor.pace import RECENT_SECONDS, Pace
from tracin_dask.monitor.state import RunState
from tracin_dask.monitor.words import headline


def test_rows_of_an_earlier_run_do_not_count_as_speed():
    pace = Pace(1_000, 900, 0.0)
    assert pace.seconds_left(5.0) is None
    pace.report(950, 10.0)
    assert (pace.rate(10.0), pace.seconds_left(10.0)) == (5.0, 10.0)


def test_the_time_left_follows_the_recent_speed():
    pace = Pace(100_000, 0, 0.0)
    for second in range(1, 101):
        pace.report(10 * second, float(second))
    for second in range(1, 101):
        pace.report(1_000 + 100 * second, 100.0 + second)
    assert pace.rate(200.0) == pytest.approx(100.0, rel=0.05)
    assert pace.seconds_left(200.0) == pytest.approx((100_000 - 11_000) / 100, rel=0.05)
    assert pace.mean_rate(200.0) == 11_000 / 200


def test_a_run_whose_batches_take_minutes_has_a_time_left():
    pace = Pace(1_000, 0, 0.0)
    for report in range(1, 5):
        pace.report(100 * report, 300.0 * report)
    assert pace.seconds_left(1_200.0) == pytest.approx(1_800.0)
    assert pace.seconds_left(1_400.0) > 1_800.0  # nothing for long


def test_many_reports_take_no_memory():
    pace = Pace(10**9, 0, 0.0)
    for report in range(100_000):
        pace.report(report, report / 100)
    assert len(pace._reports) <= RECENT_SECONDS + 3
    assert sys.getsizeof(pace._reports) < 2_000


def test_terminal_and_page_state_the_same_time_left(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: now[0])
    start = {"event": "start", "run": "a1", "triples": 1_000, "tasks": 9, "resumed_triples": 0, "test_triples": 1}
    run, done = RunState(start, now=100.0), 0
    with progress_bar.run_progress(is_resumed=False, say=sys.stderr.write, bars=None) as report:
        for seconds, rows in ((3, 10), (11, 90), (8, 50), (19, 100)):
            now[0], done = now[0] + seconds, done + rows
            run.reported("w1", 0, rows, now[0])
            report(done, 1_000)
    assert "scored 250 of 1,000 training triples, 6/s, 0:01:59 left" in capsys.readouterr().err
    assert "6 triples/s, 0:00:41 so far, <b>0:01:59 left</b>" in headline(run.figures(now[0]))
