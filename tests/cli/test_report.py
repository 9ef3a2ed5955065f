"""`tracin-dask report`: from a run to tables, with self-influences and distances in the graph."""

import json
import subprocess
import sys

import networkx as nx
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from made_results import made_result, ranked

from tracin_dask import write_result
from tracin_dask.cli.main import group
from tracin_dask.errors import ConfigError, ResultError

SUMMARY = "batch_tracin_summary.json"


@pytest.fixture
def folder(tmp_path):
    """Write the result of two test triples, as a folder and as files."""
    sides = (ranked([0.5, -0.25]), ranked([1.0], 7))
    given = made_result(
        sides[0], test_triples=np.array([[0, 1, 2], [3, 0, 4]]), rankings=sides, further=(ranked([]),) * 2
    )
    given.write_directory(tmp_path / "why")
    write_result(given, tmp_path / "why.parquet")
    return tmp_path / "why"


@pytest.fixture(scope="module")
def run(project, tmp_path_factory):
    """Run on three test triples with self-influences; give the folder and the store."""
    home = tmp_path_factory.mktemp("run")
    (home / "test.txt").write_text("".join("\t".join(map(str, line)) + "\n" for line in project.lines[5:8].tolist()))

    def tool(*words):
        result = CliRunner().invoke(group, list(map(str, words)), catch_exceptions=False)
        assert result.exit_code == 0, result.output

    names = ["--entity-names", project.folder / "node_name_dict.txt", "--edge-map", project.folder / "edge_map.json"]
    tool("ingest", project.folder / "train.txt", "--output", home / "graph.zarr", *project.maps(), *names)
    job = ["--model-path", project.folder / "model.pt", "--train", home / "graph.zarr", "--threads-per-worker", 1]
    tool("run", *job, "--test", home / "test.txt", "--output-dir", home / "why", "--also-self-influence")
    tool("run", *job, "--mode", "self", "--top-k", 600, "--output", home / "self.json")
    return home


def triple(project, line):
    return tuple(project.lines[line].tolist())


def said(tool, *words):
    result = tool("report", *words)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_run_with_self_influences_gives_full_tables(tool, run, project, tmp_path):
    text = said(tool, run / "why", "--csv", "--train-self-influence", "--output-dir", tmp_path)
    assert text == f"wrote {tmp_path / SUMMARY} and 3 more file(s) in the same folder (--csv)\n"
    listed = json.loads((run / "self.json").read_text())["self_influences"]
    own = {entry["train_index"]: entry["self_influence"] for entry in listed}
    by_triple = {triple(project, line): value for line, value in own.items()}
    described = json.loads((tmp_path / SUMMARY).read_text())["results"]
    for number, about in enumerate(described):
        table = pd.read_csv(about["output_csv"])
        assert len(table.columns) == 15
        np.testing.assert_allclose(table["SelfInfluence"], by_triple[triple(project, 5 + number)], rtol=1e-5)
    result = json.loads((run / "why" / f"triple_{'_'.join(map(str, triple(project, 6)))}.json").read_text())
    table = pd.read_csv(described[1]["output_csv"])
    expected = [own[entry["train_index"]] for entry in result["influences"]]
    np.testing.assert_allclose(table["TrainSelfInfluence"], expected, rtol=1e-5)
    np.testing.assert_allclose(table["TracInScore"], [entry["influence"] for entry in result["influences"]], rtol=1e-15)
    assert table["TrainHead_label"].str.startswith("drug, no. ").all()
    relations = set(zip(table["TrainRel"], table["TrainRel_label"], strict=True))
    assert relations <= {("predicate:2", "biolink:treats (activity)"), *((f"predicate:{n}",) * 2 for n in (0, 1, 3))}


def test_hops_are_the_distance_of_the_nearer_end_in_the_training_graph(tool, run, project):
    said(tool, run / "why", "--parquet", "--tsv", "--train", run / "graph.zarr", "--most-hops", 2)
    table = pd.read_parquet(run / "why" / "report" / "influences.parquet")
    known = nx.Graph([(int(head), int(tail)) for head, _, tail in project.lines])
    for row in table.to_dict("records"):
        for role in ("head", "tail"):
            lengths = nx.single_source_shortest_path_length(known, row[f"test_{role}"], cutoff=2)
            ends = [lengths.get(row[f"train_{end}"]) for end in ("head", "tail")]
            nearest = min((hops for hops in ends if hops is not None), default=None)
            found = row[f"hops_to_{role}"]
            assert (None if pd.isna(found) else found) == nearest
    text = pd.read_csv(run / "why" / "report" / "influences.tsv", sep="\t")
    assert text["hops_to_head"].fillna(-1).tolist() == table["hops_to_head"].fillna(-1).tolist()
    assert {"test_self_influence", "self_influence", "test_filtered_tail_rank"} <= set(table.columns)


def test_a_store_of_another_graph_is_refused(tool, folder, run):
    with pytest.raises(ConfigError, match=r"the store is not the one of the run .*; give the store of the run"):
        tool("report", folder, "--parquet", "--train", run / "graph.zarr")
    assert not (folder / "report").exists()


@pytest.mark.parametrize("path", ["why", "why/summary.json"])
def test_tables_of_a_folder_lie_in_it(tool, folder, path):
    text = said(tool, folder.parent / path, "--csv", "--parquet")
    assert "SelfInfluence is empty, because the run did not compute it; run again with --also-self-influence" in text
    assert f"wrote {folder / 'report' / 'influences.parquet'} (--parquet)" in text
    assert len(list((folder / "report").iterdir())) == 4
    assert said(tool, folder, "--parquet", "--overwrite")
    tool("show", folder)  # the result is as it was


def test_tables_of_a_file_lie_in_a_folder_next_to_it(tool, folder):
    said(tool, folder.with_suffix(".parquet"), "--tsv")
    assert [file.name for file in (folder.parent / "why-report").iterdir()] == ["influences.tsv"]


def test_files_that_exist_are_refused_before_any_is_written(tool, folder):
    said(tool, folder, "--parquet")
    with pytest.raises(ResultError, match=r"1 of the files exist already, e\.g\. influences\.parquet; .*--overwrite"):
        tool("report", folder, "--csv", "--parquet")
    assert [file.name for file in (folder / "report").iterdir()] == ["influences.parquet"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to write: --html, --csv, --tsv or --parquet"),
        (["--csv", "--most-hops", 2], "--most-hops limits the distances in a training graph; give --train STORE, too"),
        (["--csv", "--train", "graph.zarr"], "--train changes --tsv and --parquet only; give one of these, or leave"),
        (["--parquet", "--raw-text"], "--raw-text changes --csv and --tsv only; give one of these, or leave it out"),
        (["--tsv", "--train-self-influence"], "--train-self-influence changes --csv only"),
    ],
)
def test_options_that_would_do_nothing_are_refused(tool, folder, words, message):
    with pytest.raises(ConfigError, match=message):
        tool("report", folder, *words)
    assert not (folder / "report").exists()


def test_what_cannot_be_written_is_explained(tool, folder):
    (folder / "file").write_text("")
    with pytest.raises(OSError, match=r"file/report: the report cannot be written: .*; files that are complete stay"):
        tool("report", folder, "--csv", "--output-dir", folder / "file" / "report")


def test_tables_need_no_large_library(folder):
    script = (
        "import sys; from tracin_dask.cli.main import call\n"
        "try: call(sys.argv[1:])\n"
        "finally: print([name for name in ('torch', 'zarr', 'dask', 'scipy', 'pandas') if name in sys.modules])"
    )
    words = [sys.executable, "-c", script, "report", folder, "--csv", "--tsv", "--parquet"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.endswith("[]\n")
