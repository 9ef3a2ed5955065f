"""Tables of groups: ordered by influence, with names, and complete in a file."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from made_results import made_groups, made_result, ranked
from rich.console import Console

from tracin_dask.errors import ConfigError
from tracin_dask.report.group_file import write_groups
from tracin_dask.report.group_table import TOTALS_MEANING, largest_groups
from tracin_dask.report.groups import LISTED_GROUPS

NUM_ENTITIES = 130


def result(influences, rank_by="absolute"):
    """Give the result of rows whose heads are 0, 1, 2, ..., and whose relations alternate; head 1 has a name."""
    values = np.array(influences)
    heads = np.arange(len(values))
    names = ["[bold] acid" if head == 1 else None for head in heads]
    groups = (
        made_groups("head", values, heads, names),
        made_groups("relation", values, heads % 2, [None] * min(2, len(heads))),
    )
    number = values.shape[1]
    tests = np.array([[0, 1, 2], [3, 0, 4]])[:number]
    nothing = (ranked([]),) * number
    run = {"rank_by": rank_by, "groupings": [{"group_by": "head"}, {"group_by": "relation"}]}
    return made_result(ranked([]), test_triples=tests, rankings=nothing, further=nothing, groups=groups, run=run)


def shown(given, **options):
    console = Console(width=80)
    with console.capture() as capture:
        console.print(largest_groups(given, **options))
    return capture.get()


def rows(text, title):
    lines = text[text.index(title) :].splitlines()[4:]
    until = next(number for number, line in enumerate(lines) if line.startswith("└"))
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines[:until]]


INFLUENCES = [[0.5], [-2.0], [1.0], [0.75]]


def test_the_group_table_is_ordered_by_net_influence_and_shows_names():
    text = shown(result(INFLUENCES))
    assert rows(text, "Groups by relation: 2") == [
        ["1", "+1.500", "+1.500", "0", "2", "0"],
        ["2", "-1.250", "+0.750", "-2.000", "2", "1"],
    ]
    by_head = rows(text, "Groups by head: 4")
    assert [row[1] for row in by_head] == ["-2.000", "+1.000", "+0.750", "+0.500"]
    assert [row[5] for row in by_head] == ["[bold] acid", "2", "3", "0"]
    assert TOTALS_MEANING in " ".join(text.split())


@pytest.mark.parametrize(("rank_by", "first"), [("proponents", "0"), ("opponents", "1"), ("absolute", "0")])
def test_the_group_table_is_ordered_by_the_ranked_side(rank_by, first):
    assert rows(shown(result(INFLUENCES, rank_by)), "Groups by relation")[0][5] == first


def test_the_group_table_is_cut_and_its_title_states_the_number_of_groups():
    text = shown(result(INFLUENCES), rows=3)
    assert len(rows(text, "Groups by head: the 3 largest of 4")) == 3


def test_groups_of_equal_influence_are_ordered_by_number():
    found = result([[1.0], [-1.0], [1.0]]).groups[0].table(0)
    assert found["group"].to_pylist() == [0, 1, 2]


def test_the_json_lists_the_largest_groups_and_the_parquet_file_all(tmp_path):
    influences = np.random.default_rng(0).normal(size=(NUM_ENTITIES, 2))
    given = result(influences.tolist())
    listed = given.to_dict(1)["group_totals"][0]
    assert (listed["num_groups"], len(listed["groups"])) == (NUM_ENTITIES, LISTED_GROUPS)
    write_groups(given, tmp_path / "groups.parquet")
    table = pq.read_table(tmp_path / "groups.parquet").to_pandas()
    assert len(table) == 2 * (NUM_ENTITIES + 2)
    heads = table[(table.test_index == 1) & (table.group_by == "head")].sort_values("group")
    np.testing.assert_allclose(heads.net_influence, influences[:, 1], rtol=1e-6)
    assert set(heads.test_head) == {3}
    assert heads.group_name.fillna("").tolist()[:3] == ["", "[bold] acid", ""]
    assert [path.name for path in tmp_path.iterdir()] == ["groups.parquet"]
    pd.testing.assert_frame_equal(given.groups_to_pandas(), table, check_dtype=False)


def test_a_result_without_groups_has_no_group_table_and_no_group_file(tmp_path):
    given = replace(result(INFLUENCES), groups=())
    for make in (given.groups_to_pandas, lambda: write_groups(given, tmp_path / "groups.parquet")):
        with pytest.raises(ConfigError, match="the run added up no groups; ask for some with group_by"):
            make()
    assert not list(tmp_path.iterdir())
