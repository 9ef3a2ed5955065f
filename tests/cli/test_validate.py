"""`tracin-dask validate` from files to tables, and what it refuses."""

import json
import re

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tracin_dask import ingest
from tracin_dask.cli.validate import command
from tracin_dask.errors import ConfigError, ResumeError, TriplesError

SMALL = [
    *("--embedding-dim", "12", "--embedding-height", "4", "--embedding-width", "3", "--output-channels", "2"),
    *("--batch-size", "16", "--num-epochs", "3", "--learning-rate", "0.02"),
    *("--workers", "1", "--threads-per-worker", "1", "--device", "cpu"),
]
SUBSETS = ["--num-subsets", "3", "--num-repeated", "2", "--num-tests", "3"]


@pytest.fixture
def graph(tmp_path):
    """Text files in which drug i treats the diseases i and i + 1, and interacts with drug i + 1."""
    lines = [f"D:{i}\ttreats\tM:{(i + k) % 8}" for i in range(8) for k in range(2)]
    lines += [f"D:{i}\tinteracts\tD:{(i + k) % 8}" for i in range(8) for k in (1, 2)]
    (tmp_path / "train.txt").write_text("\n".join(lines[:28]) + "\n")
    (tmp_path / "learnt.txt").write_text("\n".join(lines[:8]) + "\n")
    (tmp_path / "test.txt").write_text("\n".join(lines[28:]) + "\n")
    return tmp_path


@pytest.fixture
def call(graph):
    def call(study, *arguments, train="train.txt", test="test.txt", only=("plain", "random")):
        chosen = [word for name in only for word in ("--only", name)]
        files = ["--train", graph / train, "--test", graph / test, "-o", graph / study]
        result = CliRunner().invoke(command, [study, *map(str, files), *SMALL, *chosen, *map(str, arguments)])
        if result.exception:
            raise result.exception
        return result

    return call


def test_lds_writes_and_shows_its_table(call, graph):
    result = call("lds", *SUBSETS)
    assert "Linear datamodeling score" in result.stdout
    said = "1 training on each of 3 random parts, 50% of 28 training triples; 3 test triples"
    assert said in result.stdout.replace("\n", " ")
    rows = pq.read_table(graph / "lds" / "table.parquet").to_pylist()
    assert {row["method"] for row in rows} == {"plain", "random", "noise ceiling"}
    assert (graph / "lds" / "plot.html").is_file()
    assert json.loads((graph / "lds" / "summary.json").read_text())["seed"] == 0


def test_the_same_command_continues_and_another_graph_seed_or_study_is_refused(call, graph):
    call("lds", *SUBSETS)
    again = call("lds", *SUBSETS, "--num-subsets", "4")
    assert "trained 7 of 7 models" in again.stderr
    with pytest.raises(ResumeError, match="base seed 0, now it is 1"):
        call("lds", *SUBSETS, "--seed", "1")
    (graph / "stability").symlink_to(graph / "lds")
    with pytest.raises(ResumeError, match="study lds, now it is stability"):
        call("stability")
    lines = (graph / "train.txt").read_text().splitlines()
    (graph / "train.txt").write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(ConfigError, match="the folder has a study of another graph"):
        call("lds", *SUBSETS)


def test_a_store_gives_the_numbers_of_its_text(call, graph):
    text = call("lds", *SUBSETS).stdout
    ingest(graph / "train.txt", graph / "graph.zarr")
    (graph / "lds").rename(graph / "of-text")
    store = call("lds", *SUBSETS, train="graph.zarr").stdout
    assert table_in(store) == table_in(text)


def table_in(shown):
    return [line for line in shown.splitlines() if re.search(r"\d\.\d{3}", line)]


def test_methods_of_a_file_are_compared(call, graph):
    (graph / "mine.yaml").write_text("rows: {parameters: ['entity_embeddings.*'], checkpoints: all}\n")
    result = call("lds", *SUBSETS, "--methods", graph / "mine.yaml", "--checkpoint-epochs", "1,3", only=())
    assert "rows" in result.stdout
    assert "plain" not in result.stdout


@pytest.mark.parametrize(
    ("study", "arguments", "title"),
    [
        ("mislabel", ["--num-graphs", "1", "--fraction", "0.2", "--top-k", "3"], "Mislabelled training triples"),
        ("stability", ["--num-tests", "2", "--num-seeds", "2", "--top-k", "3"], "Overlap of top lists"),
        ("replay", [*SUBSETS, "--quantity", "loss"], "Replay of a training"),
    ],
)
def test_other_studies_run_from_the_command_line(call, graph, study, arguments, title):
    assert title in call(study, *arguments).stdout
    assert pq.read_table(graph / study / "table.parquet").num_rows > 0


@pytest.mark.parametrize(
    ("options", "title"),
    [([], "all together"), (["--singly"], "each test triple alone"), (["--sufficient"], "for other heads")],
)
def test_deletion_of_necessary_and_sufficient_explanations(call, options, title):
    arguments = ["--num-epochs", "60", "--num-seeds", "2", "--top-k", "2", "--num-tests", "2"]
    result = call("deletion", *arguments, *options, test="learnt.txt", only=("random neighbour",))
    assert title in result.stdout.replace("\n", " ")


def test_contradictions_and_unknown_methods_are_refused(call, graph):
    with pytest.raises(ConfigError, match="--sufficient adds facts of heads, and --singly is about deletions"):
        call("deletion", "--sufficient", "--singly")
    with pytest.raises(ConfigError, match="--only 'plane': there is no such method; did you mean 'plain'"):
        call("lds", only=("plane",))
    with pytest.raises(ConfigError, match="--checkpoint-epochs ends with 2, but --num-epochs is 3; name 3 last"):
        call("lds", *SUBSETS, "--checkpoint-epochs", "1,2")
    facts = graph / "facts.tsv"
    facts.write_text("D:1\ttreats\n")
    with pytest.raises(TriplesError, match=r"facts.tsv:1: 2 field\(s\)"):
        call("deletion", "--facts", facts)
