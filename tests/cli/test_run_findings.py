"""`run` and `train` say what was found in the graph, and leave out test triples that cannot be used where asked."""

import json

import numpy as np
import pytest

from tracin_dask.errors import TriplesError


def test_run_says_what_it_counted_in_a_text_file_and_nothing_where_all_is_well(project, tool, tmp_path):
    duplicates = len(project.lines) - len(np.unique(project.lines, axis=0))
    words = ["--test-triple", *project.test_ids, "--output", tmp_path / "why.json", "--cache-dir", tmp_path / "cache"]
    first = tool("run", *project.options(), *words)
    assert f"duplicates: {duplicates}; self-loops: " in first.output
    assert "unused" not in first.output
    assert "that no training triple has" not in first.output


def test_run_says_which_test_triples_have_an_entity_without_training_triples(project, tool, tmp_path):
    (tmp_path / "train.txt").write_text(
        "".join(
            line
            for line in (project.folder / "train.txt").read_text().splitlines(keepends=True)
            if "CHEBI:14\t" not in line and not line.endswith("CHEBI:14\n")
        )
    )
    (tmp_path / "test.txt").write_text("2 1 5\n3 1 5\n4 0 2\n")
    words = project.options()
    words[words.index("--train") + 1] = tmp_path / "train.txt"
    output = ["--cache-dir", tmp_path / "cache", "--output-dir", tmp_path / "why"]
    done = tool("run", *words, *output, "--test", tmp_path / "test.txt")
    assert done.exit_code == 0, done.output
    assert "unused entities: 1" in done.output
    assert "2 of 3 test triples have an entity that no training triple has, e.g. 'CHEBI:14'" in done.output


@pytest.fixture
def tests(project, tmp_path):
    """A file of test triples whose second line is unknown."""
    known = "\t".join(project.test_labels)
    path = tmp_path / "test.txt"
    path.write_text(f"{known}\nCHEBI:7\tpredicate:2\tCHEBI:999\n")
    return path


def test_run_leaves_out_unusable_test_triples_with_skip_invalid_and_counts_them(project, tool, tests, tmp_path):
    output = ["--cache-dir", tmp_path / "cache", "--output", tmp_path / "why.json"]
    with pytest.raises(TriplesError, match=r"(?s)line 2: unknown tail label: .*did you mean.*or pass --skip-invalid"):
        tool("run", *project.options(), *output, "--test", tests)
    done = tool("run", *project.options(), *output, "--test", tests, "--skip-invalid")
    assert done.exit_code == 0, done.output
    assert f"--test: 1 test triples from {tests}; 1 line(s) left out: 1 × unknown tail label" in done.output
    assert json.loads((tmp_path / "why.json").read_text())["test_triple"]["head"] == project.lines[5][0]


def test_skip_invalid_is_for_the_test_triples_of_a_store_too(project, tool, tests, tmp_path):
    store = tmp_path / "graph.zarr"
    tool("ingest", project.folder / "train.txt", *project.maps(), "-o", store)
    words = [store if word == f"{project.folder}/train.txt" else word for word in project.options()]
    done = tool("run", *words, "--output", tmp_path / "why.json", "--test", tests, "--skip-invalid")
    assert done.exit_code == 0, done.output


def test_train_says_how_many_entities_are_only_in_validation_or_test(tool, tmp_path):
    (tmp_path / "train.txt").write_text("a\tr\tb\nb\tr\tc\n")
    (tmp_path / "valid.txt").write_text("a\tr\tx\n")
    (tmp_path / "test.txt").write_text("y\tr\tx\na\tr\tc\n")
    files = [word for name in ("train", "valid", "test") for word in (f"--{name}", tmp_path / f"{name}.txt")]
    sizes = ["--embedding-dim", 24, "--embedding-height", 4, "--embedding-width", 6, "--num-epochs", 1]
    done = tool("train", *files, *sizes, "-o", tmp_path / "model")
    assert done.exit_code == 0, done.output
    assert "2 entities are only in --valid or --test: no training triple has them." in done.output
