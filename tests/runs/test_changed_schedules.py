"""A schedule of learning rates that was changed: read with every line, or refused by one message."""

from pathlib import Path

import pytest
from changed_files import NUM_EXAMPLES, Changed, changed_files, check_read
from hypothesis import given, settings
from hypothesis import strategies as st

from tracin_dask.runs.inputs.learning_rates import read_schedule

KEYS = st.sampled_from(["0", "5", "010", "77", "epoch_5.pt", "model é.pt", "a/b 1.pt"])
RATES = st.sampled_from(["0.1", "1e-3", "9", "0.001", "2.5E-4", ".5", "1."])
LINES = st.lists(
    st.tuples(KEYS, RATES).map("\t".join), min_size=1, max_size=6, unique_by=lambda line: line.split("\t")[0]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("changed")


@settings(max_examples=NUM_EXAMPLES, database=None, deadline=None)
@given(changed_files(LINES))
def test_a_changed_schedule_is_read_line_by_line_or_refused(folder, changed: Changed):
    path = changed.written(folder, "rates.tsv")

    def wanted() -> list[tuple[str, float]]:
        rows = [[word.strip(" ") for word in line.decode().split("\t")] for line in changed.lines if line.strip()]
        return [
            (key.lstrip("0") or "0" if key.isascii() and key.isdecimal() else key, float(rate)) for key, rate in rows
        ]

    check_read(path, lambda: list(read_schedule(path).rates.items()), wanted)
