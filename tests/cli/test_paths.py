"""`tracin-dask paths`: paths from head to tail through the training triples of a result."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from made_paths import result_of, triples_with
from made_results import made_result

import tracin_dask
from tracin_dask.errors import ConfigError, ResultError, TriplesError

STEPS = [(0, 0, 3), (3, 1, 2), (2, 1, 3)]
NAMES = {0: "aspirin, [bold]", 2: "pain"}


@pytest.fixture
def why(tmp_path):
    """Write the result of one test triple with two paths, one of which has an opponent."""
    path = tmp_path / "why.json"
    tracin_dask.write_result(result_of(STEPS, [8.0, 2.0, -1.0], names=NAMES), path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Write the result of three test triples, the second of which has no path."""
    rankings = (triples_with(STEPS, [8.0, 2.0, -1.0]), triples_with([], []), triples_with(STEPS[:2], [9.0, 9.0]))
    tests, further = np.array([[0, 1, 2], [5, 1, 6], [0, 0, 2]]), (triples_with([], []),) * 3
    given = made_result(rankings[0], NAMES, test_triples=tests, rankings=rankings, further=further)
    given.write_directory(tmp_path / "why")
    return tmp_path / "why"


@pytest.fixture
def types(tmp_path):
    path = tmp_path / "types.tsv"
    path.write_text("CHEBI:0\tdrug\nCHEBI:2\tdisease\nCHEBI:3\tgene\n")
    return path


def words_of(result):
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def test_paths_of_one_answer_are_printed_with_scores_and_metapaths(tool, why, types):
    text = words_of(tool("paths", why, "--types", types))
    assert "Paths of aspirin, [bold] — predicate:1 — pain: 2" in text
    assert "1 │ +5.000 │ aspirin, [bold] -[predicate:0]-> CHEBI:3" in text
    assert "Metapaths: 2" in text
    assert "+5.000 │ 1 │ drug -[predicate:0]-> gene -[predicate:1]-> disease" in text
    assert "+3.500 │ 1 │ drug -[predicate:0]-> gene <-[predicate:1]- disease" in text
    assert "found 2 paths of 2 to 3 hops through the 3 listed training triples" in text


def test_lines_of_the_output_fit_80_columns(tool, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for choice in ([], ["--test-index", 0]):
        tables = [line for line in tool("paths", folder, *choice).stdout.splitlines() if line.startswith(("│", "┃"))]
        assert tables
        assert max(map(len, tables)) <= 80


@pytest.mark.parametrize(
    ("options", "scores"),
    [
        (["--directed"], ["+5.000"]),
        (["--proponents-only"], ["+5.000"]),
        (["--measure", "sum"], ["+10.00", "+7.00"]),
        (["--measure", "min"], ["+2.000", "-1.000"]),
        (["--measure", "geometric"], ["+4.000", "none"]),
        (["--most-paths", 1], ["+5.000"]),
        (["--top", 1], ["+5.000"]),
        (["--fewest-hops", 3, "--most-hops", 4], []),
    ],
)
def test_options_choose_and_score_paths(tool, why, options, scores):
    text = tool("paths", why, *options).stdout
    rows = [line for line in text.split("Metapaths")[0].splitlines() if line.startswith(("│ 1", "│ 2"))]
    assert [row.split("│")[2].strip() for row in rows] == scores


def test_what_has_no_score_or_is_left_out_is_counted(tool, why):
    assert "1 of 2 paths have an opponent, and so no harmonic mean; they are last" in words_of(
        tool("paths", why, "--measure", "harmonic")
    )
    text = words_of(tool("paths", why, "--most-paths", 1))
    assert "left out 1 of 2 paths, those of the lowest scores: --most-paths is 1" in text


def test_many_answers_are_listed_by_their_best_path(tool, folder):
    text = words_of(tool("paths", folder))
    assert "Answers by their best path: 3" in text
    order = ["│ 2 │ aspirin, [bold]", "│ 1 │ +9.000", "│ 0 │ aspirin, [bold]", "│ 2 │ +5.000"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "+14.00 │ 2 │ 2 │ CHEBI -[predicate:0]-> CHEBI" in text
    assert "1 of 3 answers have no path: try" in text


@pytest.mark.parametrize("choice", [["--test-index", 2], ["--test-triple", "aspirin, [bold]", "predicate:0", "pain"]])
def test_an_answer_is_chosen_as_in_show(tool, folder, choice):
    text = words_of(tool("paths", folder, *choice))
    assert "Paths of aspirin, [bold] — predicate:0 — pain: 1" in text


def test_where_there_is_no_path_it_says_what_to_try(tool, folder):
    text = words_of(tool("paths", folder, "--test-index", 1, "--directed", "--proponents-only"))
    assert "Paths of CHEBI:5 — predicate:1 — CHEBI:6: none" in text
    assert "found 0 paths of 2 to 3 hops through the 0 listed training triples" in text
    remedies = "a result with a larger --top-k, --most-hops 4, --fewest-hops 1, no --directed or no --proponents-only"
    assert f"there is no path: try {remedies}" in text


def test_entities_without_a_type_are_counted(tool, why, types):
    types.write_text("CHEBI:0\tdrug\n")
    text = words_of(tool("paths", why, "--types", types))
    assert "2 of 3 entities on paths have no type, such as CHEBI:2; add them to the file of --types" in text
    assert "drug -[predicate:0]-> (no type)" in text


def test_paths_and_metapaths_are_written(tool, folder, types, tmp_path):
    options = ["--types", types, "--output", tmp_path / "paths.csv", "--metapaths", tmp_path / "metapaths.json"]
    text = words_of(tool("paths", folder, *options))
    assert f"wrote {tmp_path}/paths.csv wrote {tmp_path}/metapaths.json" in text
    with (tmp_path / "paths.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["test_index"], row["path"], row["score"]) for row in rows] == [
        ("0", "1", "5.0"),
        ("0", "2", "3.5"),
        ("2", "1", "9.0"),
    ]
    counts = json.loads((tmp_path / "metapaths.json").read_text())
    assert (
        counts
        == tracin_dask.metapath_counts(
            tracin_dask.read_result(folder), types=tracin_dask.read_entity_types(types)
        ).to_pylist()
    )


def test_bad_options_are_refused_before_the_result_is_read(refused, tool, tmp_path):
    assert "ends in .xlsx, but the suffix chooses" in refused("paths", "none", "--output", tmp_path / "paths.xlsx")
    assert "is a folder; name a file in it" in refused("paths", "none", "--metapaths", tmp_path)
    assert "'5' is not a whole number from 1 to 4" in refused("paths", "none", "--most-hops", 5)
    with pytest.raises(ConfigError, match="--fewest-hops 3 is more than --most-hops 2"):
        tool("paths", "none", "--fewest-hops", 3, "--most-hops", 2)
    with pytest.raises(ConfigError, match=r"same\.csv would be written twice"):
        tool("paths", "none", "--output", tmp_path / "same.csv", "--metapaths", tmp_path / "same.csv")


def test_a_bad_file_of_types_is_refused_with_its_line(tool, why, types):
    types.write_text("CHEBI:0\tdrug\nCHEBI:0\tdrug\nCHEBI:0\tgene\n")
    with pytest.raises(TriplesError, match=r"types\.tsv, line 3: 'CHEBI:0' has a second type, 'gene' after 'drug'"):
        tool("paths", why, "--types", types)
    types.write_text("CHEBI:0\tdrug\nCHEBI:2\n")
    with pytest.raises(TriplesError, match=r"(?s)types\.tsv, line 2: .*Expected `label TAB type` in every line"):
        tool("paths", why, "--types", types)


def test_results_without_test_triples_and_missing_answers_are_refused(tool, folder, tmp_path):
    tracin_dask.write_result(made_result(triples_with(STEPS, [3.0, 2.0, 1.0]), test_triples=None), tmp_path / "a.json")
    with pytest.raises(ConfigError, match="self-influence has no test triple to find paths for"):
        tool("paths", tmp_path / "a.json")
    with pytest.raises(ResultError, match="no answer has index 3: the result has 3, counted from 0"):
        tool("paths", folder, "--test-index", 3)
    with pytest.raises(ResultError, match="none: no such file or folder"):
        tool("paths", tmp_path / "none")


def test_finding_paths_loads_no_large_library(why, types):
    script = (
        "import sys; from tracin_dask.cli.main import call\n"
        "try: call(sys.argv[1:])\n"
        "finally: print([name for name in ('torch', 'zarr', 'dask', 'distributed', 'pandas') if name in sys.modules])"
    )
    words = [sys.executable, "-c", script, "paths", why, "--types", types, "--output", why.with_suffix(".csv")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.endswith("[]\n")
