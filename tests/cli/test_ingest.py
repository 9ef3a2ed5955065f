"""`tracin-dask ingest`: output, options and refusals."""

import pytest
from click.testing import CliRunner

from tracin_dask.cli.ingest import command
from tracin_dask.cli.main import main
from tracin_dask.errors import ConfigError, TriplesError
from tracin_dask.triples.store import open_store


@pytest.fixture(autouse=True)
def _train(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.txt").write_text("b\tr\ta\na\ts\tc\na\tr\n")


def run(*arguments: str) -> str:
    result = CliRunner().invoke(command, [*arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_ingest_prints_counts_id_maps_and_the_next_command():
    output = run("train.txt", "-o", "graph.zarr", "--skip-invalid")
    words = {
        line.split("  ")[1].strip(): line.split("  ", 2)[2].strip() for line in output.splitlines() if "  " in line
    }
    assert words["training triples"] == "2"
    assert words["entities"] == "3"
    assert words["skipped lines"] == "1 × wrong number of columns"
    assert words["entity ids"] == "made from the data, written to graph.entity_to_id.tsv"
    assert (
        "Next: tracin-dask run --model-path MODEL.pt --train graph.zarr --entity-to-id graph.entity_to_id.tsv" in output
    )
    assert len(open_store("graph.zarr")) == 2


def test_ingest_uses_and_prints_the_given_maps_and_names(tmp_path):
    (tmp_path / "e.tsv").write_text("a\t1\nb\t0\nc\t2\n")
    (tmp_path / "names.tsv").write_text("Bee, the first\t0\n")
    output = run(
        "train.txt", "-o", "g.zarr", "--skip-invalid", "--entity-to-id", "e.tsv", "--entity-names", "names.tsv"
    )
    assert "3, 1 of them with a readable name" in output
    assert "as in e.tsv" in output
    assert "--entity-to-id e.tsv --relation-to-id g.relation_to_id.tsv" in output
    assert open_store("g.zarr").entity_names[0].as_py() == "Bee, the first"


def test_ingest_prints_what_it_counted_and_labels_that_look_alike(tmp_path):
    (tmp_path / "train.txt").write_text("a b\tr\ta b\na\u00a0b\tr\tc\na b\tr\ta b\n")
    output = " ".join(run("train.txt", "-o", "graph.zarr").split())
    assert "duplicates 1 self-loops 2 unused entities 0 unused relations 0" in output
    assert r"similar entities 2 labels differ from another one only by blanks" in output
    assert r"e.g. 'a b' and 'a\xa0b'" in output
    assert "similar relations" not in output


def test_ingest_options_labels_and_overwrite_take_effect(tmp_path):
    (tmp_path / "train.txt").write_text("7\t3\t9\n")
    run("train.txt", "-o", "ids.zarr")
    run("train.txt", "-o", "labels.zarr", "--labels")
    run("train.txt", "-o", "labels.zarr", "--labels", "--overwrite", "--memory", "64MiB")
    assert open_store("ids.zarr").info.num_entities == 10
    assert open_store("labels.zarr").info.num_entities == 2


def test_ingest_fails_at_an_invalid_line():
    with pytest.raises(TriplesError, match=r"train.txt, line 3: wrong number of columns"):
        run("train.txt", "-o", "graph.zarr")


def test_an_ingest_error_is_one_message_without_a_traceback(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["tracin-dask", "ingest", "train.txt", "-o", "graph.zarr"])
    with pytest.raises(SystemExit, match="1"):
        main()
    assert capsys.readouterr().err.startswith("Error: train.txt: 1 line cannot be used")


@pytest.mark.parametrize("size", ["much", "0", "-1GiB"])
def test_ingest_refuses_an_invalid_memory_size(size):
    result = CliRunner().invoke(command, ["train.txt", "-o", "graph.zarr", f"--memory={size}"])
    assert result.exit_code == 2
    assert f"'{size}' is not a size in bytes; expected e.g. 512MiB or 1GiB" in result.output


def test_ingest_help_explains_the_format_and_shows_an_example():
    output = run("--help")
    assert "head TAB relation TAB tail" in output
    assert "tracin-dask ingest train.txt --entity-to-id node_dict.txt" in output


@pytest.mark.parametrize(
    ("text", "words", "is_said"),
    [
        ("10\t2\t11\n0\t1\t2\n", (), True),
        ("10\t2\t11\n0\t1\t2\n", ("--ids",), False),
        ("10\t2\t11\n0\t1\t2\n", ("--labels",), False),
        ("a\tr\tb\n", (), False),
    ],
)
def test_the_summary_says_that_integers_were_taken_for_ids(tool, tmp_path, text, words, is_said):
    (tmp_path / "train.txt").write_text(text)
    said = tool("ingest", tmp_path / "train.txt", *words, "-o", tmp_path / "graph.zarr").output
    assert ("all are integers, taken for ids (--labels: they are labels)" in said) == is_said


@pytest.mark.parametrize("option", [("--scratch", "s"), ("--workers", "2"), ("--memory-per-worker", "1GiB")])
def test_options_of_workers_need_a_cluster(option):
    with pytest.raises(ConfigError, match=f"^{option[0]}: only with --cluster"):
        run("train.txt", "-o", "graph.zarr", *option)


def test_workers_cannot_ingest_a_dataset_of_pykeen():
    with pytest.raises(ConfigError, match="--cluster: only for a text file; pykeen:nations has ids"):
        run("pykeen:nations", "-o", "graph.zarr", "--cluster", "local")


def test_a_cluster_that_is_not_known_is_refused_before_the_text_is_read():
    with pytest.raises(ConfigError, match="unknown cluster 'moon'"):
        run("train.txt", "-o", "graph.zarr", "--cluster", "moon")
