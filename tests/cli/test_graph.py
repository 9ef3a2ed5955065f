"""`tracin-dask graph`: tables on 80 columns, warnings with remedies, and JSON."""

import json
import subprocess
import sys

import pytest

from tracin_dask.errors import TriplesError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shown(tool):
    def run(*words):
        result = tool("graph", *words)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_tables_fit_80_columns_and_names_are_shown(shown, project):
    text = shown(
        *(project.folder / "train.txt", *project.maps(), "--edge-map", project.folder / "edge_map.json"),
        *("--entity-names", project.folder / "node_name_dict.txt", "--top", "3"),
    )
    tables = [line for line in text.splitlines() if line.startswith(("│", "┃", "┏", "└"))]
    assert tables
    assert max(map(len, tables)) <= 80
    assert "drug, no." in text
    assert "biolink:treats (activity)" in " ".join(text.split())
    assert "Relations: the first 3 of 4" in text
    assert "CHEBI" in text


def test_warnings_say_what_to_do(shown, tmp_path):
    lines = [f"a{one}\tr\tb{one}\nb{one}\tr_back\ta{one}\n" for one in range(9)]
    (tmp_path / "kg.txt").write_text("".join([*lines, "a1\tr\tb1\n", "A1\tr\tb2\n"]))
    (tmp_path / "test.txt").write_text("a1\tr\tb3\na1\tr\tx\na2\tr\tb2\n")
    text = shown("kg.txt", "--test", "test.txt", "--json", "found.json")
    for part in (
        "1 lines repeat an earlier triple",
        "r_back to r (100%)",
        "`tracin-dask split --remove-pairs any`",
        "'A1' and 'a1'",
        "1 of 3 test triples in test.txt have an entity or a relation that the graph does not have",
        "1 of 3 test triples in test.txt are triples of the graph",
    ):
        assert part in text, part
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["counts"]["duplicates"] == 1
    assert found["test"]["unknown"] == 1
    assert {row["relation"]: row["inverse"]["relation"] for row in found["relations"]} == {"r": "r_back", "r_back": "r"}
    assert all(one["what"] and one["remedy"] for one in found["findings"])


def test_a_store_and_its_text_give_the_same(shown, tool, tmp_path, project):
    text = project.folder / "train.txt"
    tool("ingest", text, *project.maps(), "-o", "kg.zarr")
    shown(text, *project.maps(), "--json", "text.json")
    shown("kg.zarr", "--json", "store.json")
    of_text, of_store = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("text", "store"))
    assert of_text == of_store


def test_json_on_standard_output_stands_alone(tmp_path):
    (tmp_path / "kg.txt").write_text("a\tr\tb\n")
    words = [sys.executable, "-m", "tracin_dask", "graph", "kg.txt", "--json", "/dev/stdout"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout)["counts"]["lines"] == 1
    assert "Counts" in done.stderr


def test_a_graph_without_faults_is_said_to_be_so(shown, tmp_path):
    lines = [f"n{one}\tr\tn{two}\n" for one in range(6) for two in range(one)]
    (tmp_path / "kg.txt").write_text("".join(lines))
    assert "Nothing was found that will hurt." in shown("kg.txt")


def test_hostile_labels_are_shown_and_not_obeyed(shown, tmp_path):
    (tmp_path / "kg.txt").write_text("\x1b[31ma\tr[bold]\tb\nc\tr[bold]\tb\n")
    text = shown("kg.txt")
    assert "\x1b[31m" not in text
    assert "\\x1b[31ma" in text
    assert "r[bold]" in text


def test_a_malformed_line_is_named(tool, tmp_path):
    (tmp_path / "kg.txt").write_text("a\tr\tb\na\tr\n")
    with pytest.raises(TriplesError, match=r"kg.txt, line 2: wrong number of columns.*\n.*--skip-invalid"):
        tool("graph", "kg.txt")
    assert "lines that cannot be used were left out: 1 ×" in tool("graph", "kg.txt", "--skip-invalid").output
