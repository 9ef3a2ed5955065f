"""`tracin-dask run --group-by`: totals in the JSON, on screen and in a Parquet file, and refusals."""

import gzip
import math
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tracin_dask.errors import ConfigError, TriplesError

NUM_ROWS = 600


@pytest.fixture
def sources(project, tmp_path: Path) -> Path:
    """Write the training triples with a fourth column, in another order, as a gzip file."""
    lines = (project.folder / "train.txt").read_text().splitlines()
    grouped = [f"{line}\tsource {int(line.split(':')[1].split()[0]) % 4}" for line in lines]
    order = np.random.default_rng(0).permutation(NUM_ROWS)
    path = tmp_path / "sources.tsv.gz"
    path.write_bytes(gzip.compress("".join(f"{grouped[place]}\n" for place in order).encode()))
    return path


def said(text: str) -> str:
    return " ".join(text.split())


def sums(contents, group_of):
    """Sum the influences of a result that lists all of them, by a function of an entry."""
    found: dict[object, list[float]] = {}
    for entry in contents["influences"]:
        found.setdefault(group_of(entry), []).append(entry["influence"])
    return {group: (len(values), math.fsum(values)) for group, values in found.items()}


def test_group_totals_equal_the_sums_of_all_reported_influences(explain, sources):
    contents = explain("--top-k", NUM_ROWS, "--group-by", "relation", "--group-by", "tail", "--group-by", sources)
    assert [totals["group_by"] for totals in contents["group_totals"]] == ["relation", "tail", "sources.tsv.gz"]
    keys = ("train_relation_label", "train_tail_label")
    expected = [sums(contents, lambda entry, key=key: entry[key]) for key in keys]
    source = sums(contents, lambda entry: f"source {int(entry['train_head_label'].removeprefix('CHEBI:')) % 4}")
    for totals, known in zip(contents["group_totals"], [*expected, source], strict=True):
        assert totals["num_groups"] == len(known)
        for group in totals["groups"]:
            number, net = known[group["group_label"]]
            assert group["num_training_triples"] == number
            assert group["net_influence"] == pytest.approx(net, rel=1e-12)
            both = group["positive_influence"] + group["negative_influence"]
            assert group["negative_influence"] <= 0 <= group["positive_influence"]
            assert both == pytest.approx(net, rel=1e-9)


def test_the_group_table_on_screen_shows_names(project, tool, tmp_path):
    words = ["--entity-names", project.folder / "node_name_dict.txt", "--group-by", "head", "--group-by", "relation"]
    job = ["--test-triple", *project.test_ids, "--output", tmp_path / "a.json"]
    shown = said(tool("run", *project.options(), *job, *words).stdout)
    assert "Groups by head: the 10 largest of" in shown
    assert "Groups by relation: " in shown
    assert "drug, no. " in shown.split("Groups by head")[1]
    assert "predicate:" in shown.split("Groups by relation")[1]
    assert "Sums over all training triples of a group; net: positive plus negative influences" in shown


def test_save_groups_writes_the_groups_of_all_test_triples(project, tool, sources, tmp_path):
    (tmp_path / "test.txt").write_text("1 2 3\n3 2 1\n")
    table = tmp_path / "deep" / "groups.parquet"
    words = ["--group-by", sources, "--group-by", "head", "--save-groups", table, "--output-dir", tmp_path / "why"]
    result = tool("run", *project.options(), "--test", tmp_path / "test.txt", *words, "--threads-per-worker", 1)
    assert result.exit_code == 0, result.output
    assert f"groups: 4 from {sources}, stored as" in said(result.stderr)
    assert f"wrote {table}: the totals of all groups" in said(result.stdout)
    rows = pq.read_table(table).to_pandas()
    assert set(zip(rows.test_index, rows.test_head, rows.test_relation, rows.test_tail, strict=True)) == {
        (0, 1, 2, 3),
        (1, 3, 2, 1),
    }
    assert (rows.groupby(["test_index", "group_by"]).num_training_triples.sum() == NUM_ROWS).all()
    net = rows.groupby(["test_index", "group_by"]).net_influence.sum().unstack()
    np.testing.assert_allclose(net["head"], net["sources.tsv.gz"], rtol=1e-9)
    heads = rows[(rows.test_index == 0) & (rows.group_by == "head")]
    assert len(heads) == len(np.unique(project.lines[:, 0]))
    assert heads.net_influence.abs().is_monotonic_decreasing


def test_self_influences_have_group_totals(project, tool, tmp_path):
    table = tmp_path / "groups.parquet"
    words = ["--mode", "self", "--group-by", "relation", "--save-groups", table, "--output", tmp_path / "a.json"]
    result = tool("run", *project.options(), *words)
    assert "Groups by relation" in result.stdout
    rows = pq.read_table(table).to_pandas()
    assert rows.test_head.isna().all()
    assert (rows.positive_influence > 0).all()
    assert (rows.negative_influence == 0).all()


def test_group_totals_continue_when_the_same_command_runs_again(project, tool, stop, sources, tmp_path):
    words = ["--group-by", sources, "--batch-size", 100, "--output", tmp_path / "a.json"]
    command = ["run", *project.options(), "--test-triple", *project.test_ids, *words]
    stop(*command, after=2)
    text = gzip.decompress(sources.read_bytes()).decode()
    sources.write_bytes(gzip.compress(text.replace("source 3", "source 2").encode()))
    with pytest.raises(RuntimeError, match=r"another run \(group by: \['\w{12}…'\] then, \['\w{12}…'\] now\)"):
        tool(*command)
    sources.write_bytes(gzip.compress(text.encode()))
    result = tool(*command)
    assert result.exit_code == 0
    assert "training triples were recorded by an earlier, interrupted run" in result.stdout


def test_plan_prints_the_groups_and_their_memory(project, tool, sources):
    words = ["--mode", "self", "--group-by", "relation", "--group-by", sources]
    shown = said(tool("plan", "--verbose", *project.options(), *words).stdout)
    assert "4 by relation, 4 by sources.tsv.gz; adding up takes 0 MiB of the memory" in shown


def test_group_by_refuses_a_value_that_is_neither_part_nor_file(project, refused, tmp_path):
    words = ["--mode", "self", "--output", tmp_path / "a.json", "--group-by", "tails"]
    assert "'tails' is neither relation, head or tail, nor a file of groups" in refused(
        "run", *project.options(), *words
    )


def test_save_groups_without_group_by_is_refused(project, tool, tmp_path):
    words = ["--mode", "self", "--output", tmp_path / "a.json", "--save-groups"]
    with pytest.raises(ConfigError, match="--save-groups writes the totals of --group-by; give both, or none"):
        tool("run", *project.options(), *words, tmp_path / "groups.parquet")
    with pytest.raises(ConfigError, match="is a folder; name a file in it"):
        tool("run", *project.options(), *words, tmp_path, "--group-by", "head")
    with pytest.raises(ConfigError, match=r"writes a Parquet table; call it .*/groups\.parquet$"):
        tool("run", *project.options(), *words, tmp_path / "groups.csv", "--group-by", "head")
    with pytest.raises(ConfigError, match=r"the table of groups cannot be written to .*train.txt: "):
        tool("run", *project.options(), *words, project.folder / "train.txt" / "g.parquet", "--group-by", "head")


def test_group_lines_of_other_triples_stop_the_run_or_are_skipped(project, tool, sources, tmp_path):
    text = gzip.decompress(sources.read_bytes()).decode()
    path = tmp_path / "sources.tsv"
    path.write_text(f"CHEBI:0\tpredicate:9\tCHEBI:0\tnew\n{text}")
    tool("ingest", project.folder / "train.txt", *project.maps(), "-o", tmp_path / "graph.zarr")
    command = ["run", "--model-path", project.folder / "model.pt", "--train", tmp_path / "graph.zarr", "--mode", "self"]
    command += ["--cache-dir", tmp_path / "cache", "--output", tmp_path / "a.json", "--group-by", path]
    with pytest.raises(TriplesError, match=r"sources.tsv, line 1: unknown relation label: 'CHEBI:0\\tpredicate:9\\t"):
        tool(*command)
    result = tool(*command, "--skip-invalid")
    assert "; 1 line(s) left out" in said(result.stderr)
    with pytest.raises(ConfigError, match="--skip-invalid: only for a text file"):
        tool(*command[:-2], "--skip-invalid")
