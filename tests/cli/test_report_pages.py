"""`tracin-dask report` with known explanations: columns of truth in tables, marks and all influences on pages."""

import json

import numpy as np
import pandas as pd
import pytest
from made_truth import COLUMNS, hand_made

from tracin_dask.cli.actions import saved_histogram
from tracin_dask.errors import ConfigError, ResultError

EDGES = [("D:1", "biolink:affects", "G:1"), ("G:1", "biolink:causes", "M:1")]
PATHS = 'Drug,Disease,Path,id\nD:1,M:1,"[G:1]",a\nD:1,M:1,"[G:3, G:2]",b\n'


@pytest.fixture
def why(tmp_path):
    hand_made().write_directory(tmp_path / "why")
    lines = [json.dumps(dict(zip(("subject", "predicate", "object"), edge, strict=True))) for edge in EDGES]
    (tmp_path / "edges.jsonl").write_text("\n".join(lines))
    (tmp_path / "paths.csv").write_text(PATHS)
    return tmp_path / "why"


@pytest.fixture
def known(tmp_path):
    return ["--edges", tmp_path / "edges.jsonl", "--paths", tmp_path / "paths.csv"]


def test_columns_of_truth_are_in_every_table(tool, why, known):
    tool("report", why, "--csv", "--tsv", "--parquet", *known)
    [file] = (why / "report").glob("triple_*.csv")
    tables = {"csv": pd.read_csv(file), "parquet": pd.read_parquet(why / "report" / "influences.parquet")}
    tables["tsv"] = pd.read_csv(why / "report" / "influences.tsv", sep="\t")
    names = {"IsGroundTruth": "is_ground_truth", "In_path": "in_path", "On_specific_path": "on_specific_path"}
    for name, column in names.items():
        assert np.flatnonzero(tables["csv"][name]).tolist() == COLUMNS[column]
    for column, places in COLUMNS.items():
        for kind in ("tsv", "parquet"):
            assert np.flatnonzero(tables[kind][column]).tolist() == places


def test_pages_mark_known_edges_and_steps_of_known_paths(tool, why, known):
    tool("report", why, "--html", *known)
    [page] = (why / "report").glob("triple_*.html")
    marked = page.read_text().count('class="badge">known')
    tool("report", why, "--html", "--overwrite")
    plain = page.read_text().count("known reasons")
    assert plain == 0
    assert marked >= len({*COLUMNS["is_ground_truth"], *COLUMNS["on_specific_path"]})


def test_truth_and_saved_influences_are_refused_where_they_change_nothing(tool, why, known, tmp_path):
    (tmp_path / "scores.zarr").mkdir()
    with pytest.raises(ConfigError, match=r"--saved-scores changes --html only; give one of these"):
        tool("report", why, "--csv", *known, "--saved-scores", tmp_path / "scores.zarr")
    with pytest.raises(ConfigError, match=r"--train changes --tsv and --parquet only"):
        tool("report", why, "--html", "--train", tmp_path / "graph.zarr")


def test_pages_that_exist_are_refused_before_anything_is_written(tool, why):
    tool("report", why, "--html")
    with pytest.raises(ResultError, match=r"of the files exist already.*--overwrite"):
        tool("report", why, "--html", "--csv")
    assert not list((why / "report").glob("*.csv"))


def test_the_histogram_of_saved_influences_counts_all_of_them(monkeypatch):
    values = np.random.default_rng(0).normal(size=(3, 1000)).astype(np.float32)
    values[2] = 0.5

    class Saved:
        tests_at_a_time = 2

        def blocks(self, start, count):
            return ((first, values[start : start + count, first : first + 300]) for first in range(0, 1000, 300))

    monkeypatch.setattr(saved_histogram, "open_saved", lambda *_: Saved())
    found = saved_histogram.histogram_of(hand_made(tests=((0, 0, 4),) * 3), None)
    assert found.counts.sum(axis=1).tolist() == [1000] * 3
    for row in range(2):
        expected, edges = np.histogram(values[row], bins=saved_histogram.BINS)
        np.testing.assert_allclose(found.edges[row], edges, rtol=1e-5)
        assert np.abs(found.counts[row] - expected).sum() <= 4  # a value at an edge may fall on either side
    assert found.counts[2].tolist() == [1000] + [0] * (saved_histogram.BINS - 1)
    found.check(3)
