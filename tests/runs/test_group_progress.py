"""Progress is exact, whatever is reported, and is reported seldom."""

from hypothesis import given
from hypothesis import strategies as st

from tracin_dask.runs.execute.group_progress import GroupProgress, SeldomReport

GROUPS = [[(0, 100), (100, 150)], [(150, 250)]]


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@given(st.lists(st.tuples(st.sampled_from([0, 150, 7]), st.integers(0, 120))), st.permutations([0, 150]))
def test_rows_of_a_finished_group_count_once(reports, finished):
    seen = []
    progress = GroupProgress(GROUPS, seen.append)
    for group, rows in reports:
        progress.add(group, rows)
    assert sum(seen) <= 250
    for group in finished:
        progress.finish(group)
    progress.add(0, 50)
    assert sum(seen) == 250


def test_a_partial_report_counts_at_once():
    seen = []
    GroupProgress(GROUPS, seen.append).add(150, 30)
    assert seen == [30]


@given(st.lists(st.tuples(st.floats(0, 0.7), st.integers(1, 10)), max_size=200), st.floats(0.5, 5))
def test_progress_reports_are_limited_in_rate_without_losing_rows(steps, every_seconds):
    clock, reports, rows_left = Clock(), [], 0
    report = SeldomReport(lambda rows: reports.append((clock.seconds, rows)), every_seconds, clock)
    for seconds, rows in steps:
        clock.seconds += seconds
        before = len(reports)
        report(rows)
        rows_left = 0 if len(reports) > before else rows_left + rows
    assert len(reports) <= clock.seconds / every_seconds
    assert sum(rows for _, rows in reports) + rows_left == sum(rows for _, rows in steps)
