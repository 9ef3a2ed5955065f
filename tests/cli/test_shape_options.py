"""The options that say how triples lie in files: the same for ingesting, training and running."""

import os
from pathlib import Path
from threading import Thread

import pytest

from tracin_dask.errors import ConfigError, TriplesError
from tracin_dask.triples.idmap import read_id_map
from tracin_dask.triples.store import open_store

CSV = ["--columns", "a,b,c", "--delimiter", ","]
SIZES = ["--embedding-dim", 6, "--embedding-height", 2, "--embedding-width", 3, "--kernel-height", 1]
TRAINING = [*SIZES, "--kernel-width", 1, "--output-channels", 1, "--num-epochs", 1, "--no-gpu"]


def as_csv(lines: str) -> str:
    """Put the columns of triples into another order, below a header."""
    rows = [line.split("\t") for line in lines.splitlines()]
    return "".join(f"{line}\n" for line in ["c,x,a,b", *(f"{t},1,{h},{r}" for h, r, t in rows)])


def test_train_reads_and_refuses_what_ingest_does(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = "".join(f"e{n % 5}\tr{n % 2}\te{n * 2 % 5}\n" for n in range(20))
    Path("train.csv").write_text(as_csv(lines))
    Path("train.txt").write_text(f"head\trelation\ttail\n{lines}")
    with pytest.raises(TriplesError, match=r"train.csv: 4 columns separated by commas found, .*--columns"):
        tool("train", "--train", "train.csv", "-o", "model", *TRAINING)
    with pytest.raises(TriplesError, match=r"train.txt, line 1: .* looks like a header: .*--header"):
        tool("train", "--train", "train.txt", "-o", "model", *TRAINING)
    for number, words in enumerate((["train.csv", *CSV], ["train.txt", "--header"])):
        made = tool("train", "--train", *words, "-o", f"model{number}", *TRAINING)
        assert made.exit_code == 0, made.output
        assert read_id_map(f"model{number}/entity_to_id.tsv").labels.to_pylist() == [f"e{n}" for n in range(5)]
        assert read_id_map(f"model{number}/relation_to_id.tsv").labels.to_pylist() == ["r0", "r1"]


def test_run_reads_train_and_test_in_the_shape_that_is_stated(tool, project, tmp_path):
    lines = (project.folder / "train.txt").read_text()
    (tmp_path / "train.csv").write_text(as_csv(lines))
    (tmp_path / "test.csv").write_text(as_csv(lines.splitlines(keepends=True)[5]))
    options = project.options()
    options[options.index("--train") + 1] = tmp_path / "train.csv"
    run = ["run", *options, "--test", tmp_path / "test.csv", "--output", tmp_path / "why.json"]
    with pytest.raises(TriplesError, match="4 columns separated by commas found"):
        tool(*run)
    made = tool(*run, *CSV)
    assert made.exit_code == 0, made.output
    assert "columns a, b, c of 4, separated by commas, below a header" in made.output
    plain = tool("run", *project.options(), "--test-triple", *project.test_labels, "--output", tmp_path / "plain.json")
    assert plain.exit_code == 0
    influences = [
        (tmp_path / name).read_text().split('"influences"')[1].split('"run"')[0] for name in ("why.json", "plain.json")
    ]
    assert influences[0] == influences[1]


def test_shape_options_are_refused_where_no_text_is_read(tool, project, tmp_path):
    tool("ingest", project.folder / "train.txt", "-o", tmp_path / "graph.zarr")
    options = project.options()
    options[options.index("--train") + 1] = tmp_path / "graph.zarr"
    with pytest.raises(ConfigError, match=r"--columns, --delimiter: only for a text file, but .* is a store already"):
        tool("plan", *options, *CSV, "--test-triple", *project.test_labels)


def test_a_header_of_test_triples_is_refused(tool, project, tmp_path):
    line = "\t".join(project.test_labels)
    (tmp_path / "test.txt").write_text(f"head\trelation\ttail\n{line}\n")
    with pytest.raises(TriplesError, match=r"test.txt, line 1: .* looks like a header"):
        tool("plan", *project.options(), "--test", tmp_path / "test.txt")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--columns", "a,b"], "columns must be three different names or numbers"),
        (["--delimiter", "tabs"], "delimiter must be one of tab, comma, space, semicolon, pipe"),
    ],
)
def test_shapes_that_make_no_sense_are_refused(refused, tmp_path, words, message):
    (tmp_path / "train.txt").write_text("a\tr\tb\n")
    assert message in refused("ingest", tmp_path / "train.txt", "-o", tmp_path / "graph.zarr", *words)


def test_run_reads_all_its_files_from_pipes(tool, project, tmp_path):
    lines = (project.folder / "train.txt").read_bytes()
    listed = b"".join(lines.splitlines(keepends=True)[:50])
    given = {"--train": lines, "--test": listed, "--rank-of": listed, "--candidates": listed}
    given["--group-by"] = lines.replace(b"\n", b"\tgroup\n")
    words, threads = [], []
    for option, data in given.items():
        path = tmp_path / f"pipe{option}"
        os.mkfifo(path)
        threads.append(Thread(target=path.write_bytes, args=[data], daemon=True))
        threads[-1].start()
        words += [option, path]
    options = project.options()
    place = options.index("--train")
    made = tool("run", *options[:place], *options[place + 2 :], *words, "--output-dir", tmp_path / "why")
    assert made.exit_code == 0, made.output
    assert f"training triples: {len(project.lines):,} from" in made.output
    assert len(list((tmp_path / "why").glob("*.json"))) == 51  # one for each test triple, and the summary
    for thread in threads:
        thread.join(timeout=10)


@pytest.mark.fault("one pipe for two options", promised="one message")
def test_one_pipe_for_two_options_is_refused(refused, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    words = ["ingest", tmp_path / "pipe", "--entity-to-id", tmp_path / "pipe", "-o", tmp_path / "graph.zarr"]
    assert "is given twice, but can be read only once; write it to a file" in refused(*words)


def test_a_job_of_slurm_cannot_read_standard_input(tool, tmp_path, project):
    words = ["--model-path", project.folder / "model.pt", "--train", "-", "--mode", "self", "--output", "why.json"]
    with pytest.raises(ConfigError, match="standard input: a job cannot read it; write it to a file"):
        tool("submit", tmp_path / "slurm.yaml", *words)


def test_a_store_and_the_summary_say_how_the_file_was_read(tool, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("kg.csv").write_text("c,x,a,b\nt,1,h,r\n")
    made = tool("ingest", "kg.csv", *CSV, "-o", "graph.zarr")
    read_as = "columns a, b, c of 4, separated by commas, below a header"
    assert f"read as           {read_as}" in made.output
    assert open_store("graph.zarr").info.source.read_as == read_as
