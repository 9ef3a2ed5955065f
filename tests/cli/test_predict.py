"""`tracin-dask predict`: the numbers of `run`, the best tails and heads, files, and refusals."""

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tracin_dask import read_result
from tracin_dask.errors import ConfigError, TriplesError
from tracin_dask.report.predictions import known_numbers


@pytest.fixture
def predict(project, tool, tmp_path):
    """Predict, and give what was said and the rows."""

    def run(*words, model=None):
        result = tool("predict", *project.options(model)[:-2], *words, "--output", tmp_path / "found.json")
        assert result.exit_code == 0, result.output
        return result.output, json.loads((tmp_path / "found.json").read_text())["rows"]

    return run


@pytest.fixture
def test_file(project, tmp_path):
    lines = np.concatenate([project.lines[[5, 30, 99]], [[3, 1, 17]]])
    path = tmp_path / "test.txt"
    path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines.tolist()))
    return path


def test_scores_probabilities_and_ranks_are_those_that_run_states(predict, project, tool, tmp_path, test_file):
    _, rows = predict("--test", test_file)
    tool("run", *project.options(), "--audit", "off", "--test", test_file, "--output-dir", tmp_path / "why")
    stated = read_result(tmp_path / "why").predictions
    for name, values in known_numbers(stated):
        assert [row[name] for row in rows] == values.tolist()
    assert [row["num_training_lines"] for row in rows] == [len(lines) for lines in stated.train_index]
    assert sum(row["num_training_lines"] > 0 for row in rows) >= 3


def test_the_best_tails_are_those_of_a_plain_loop_without_those_of_training(predict, project):
    head, relation, _ = project.lines[5].tolist()
    _, rows = predict("--tails-of", head, relation, "--top", "7")
    with torch.no_grad():
        scores = project.model.score_tails(torch.tensor([[head, relation]]))[0].numpy()
    known = {int(tail) for one, kind, tail in project.lines if (one, kind) == (head, relation)}
    order = [tail for tail in np.argsort(-scores, kind="stable").tolist() if tail not in known]
    assert known
    assert [row["tail"] for row in rows] == order[:7]
    assert [row["place"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert [row["filtered_rank"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    np.testing.assert_allclose([row["score"] for row in rows], scores[order[:7]], rtol=1e-5)


def test_listed_tails_have_the_scores_and_ranks_of_given_triples(predict, project):
    head, relation, _ = project.lines[5].tolist()
    said, listed = predict("--tails-of", head, relation, "--keep-known", "--top", "40")
    words = [word for row in listed for word in ("--test-triple", row["head"], row["relation"], row["tail"])]
    _, given = predict(*words)
    assert "40 of 40 tails" in said
    for ours, theirs in zip(listed, given, strict=True):
        assert ours["score"] == theirs["score"]
        assert (ours["filtered_rank"], ours["raw_rank"]) == (theirs["filtered_tail_rank"], theirs["raw_tail_rank"])
        assert ours["is_training_triple"] == (theirs["num_training_lines"] > 0)
    assert any(row["is_training_triple"] for row in listed)
    assert "known" in said


def test_labels_name_questions_and_names_are_shown(predict, project, tmp_path):
    (tmp_path / "some.txt").write_text("CHEBI:7\nCHEBI:21\n")
    head, relation, _ = project.test_labels
    names = ["--entity-names", project.folder / "node_name_dict.txt"]
    said, rows = predict(
        *("--tails-of", head, relation, "--candidates", tmp_path / "some.txt", "--keep-known", *names),
    )
    assert {row["tail_label"] for row in rows} == {"CHEBI:7", "CHEBI:21"}
    assert "drug, no. 1 [α]" in said
    assert "2 of 2 tails" in said


def test_candidates_of_a_type_are_those_with_the_prefix(project, predict):
    head, relation, _ = project.test_labels
    _, rows = predict("--tails-of", head, relation, "--candidates-type", "CHEBI", "--top", "3")
    assert len(rows) == 3
    with pytest.raises(ConfigError, match=r"--candidates-type MONDO: no label of an entity starts with MONDO:.*CHEBI"):
        predict("--tails-of", head, relation, "--candidates-type", "MONDO")


def test_several_questions_are_one_table_in_every_format(project, tool, tmp_path):
    options = project.options()[:-2]
    tables = {}
    for suffix in ("tsv", "parquet", "json"):
        path = tmp_path / f"found.{suffix}"
        words = ["--tails-of", "3", "1", "--tails-of", "4", "2", "--top", "2", "--output", path]
        assert tool("predict", *options, *words).exit_code == 0
        tables[suffix] = path
    rows = json.loads(tables["json"].read_text())["rows"]
    assert [(row["head"], row["place"]) for row in rows] == [(3, 1), (3, 2), (4, 1), (4, 2)]
    with tables["tsv"].open(newline="") as file:
        found = list(csv.DictReader(file, delimiter="\t"))
    assert [float(row["score"]) for row in found] == [row["score"] for row in rows]
    assert list(found[0]) == list(rows[0])
    table = pq.read_table(tables["parquet"])
    assert table["score"].to_pylist() == [row["score"] for row in rows]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say what to predict: --test FILE, --test-triple H R T, --tails-of H R, or --heads-of R T"),
        (["--tails-of", "1", "1", "--test-triple", "1", "1", "1"], "ask one at a time"),
        (["--test-triple", "1", "1", "1", "--keep-known"], "--keep-known: only with --tails-of or --heads-of"),
        (["--tails-of", "1", "9"], "--tails-of: the relation 9 is not among the 4 that"),
        (["--tails-of", "CHEBI:6", "predicate:1"], r"--tails-of: the head CHEBI:6 is not among the 40 .*did you mean"),
        (["--heads-of", "1", "1"], "--heads-of: ConvE scores all tails .* ask for tails with --tails-of"),
        (["--test-triple", "1", "1", "99"], "the tail 99 is not among the 40"),
    ],
)
def test_questions_that_have_no_answer_are_refused(predict, words, message):
    with pytest.raises(ConfigError, match=message):
        predict(*words)


def test_an_unknown_candidate_is_named_by_its_line(predict, tmp_path):
    (tmp_path / "some.txt").write_text("CHEBI:7\nCHEBI:22\n")
    words = ["--tails-of", "1", "1", "--candidates", tmp_path / "some.txt"]
    with pytest.raises(TriplesError, match=r"some.txt, line 2: 'CHEBI:22' is not among the 40 .*--skip-invalid"):
        predict(*words)
    _, rows = predict(*words, "--skip-invalid", "--keep-known")
    assert [row["tail_label"] for row in rows] == ["CHEBI:7"]


def test_a_file_of_another_suffix_is_refused(refused, project):
    words = [*project.options()[:-2], "--tails-of", "1", "1"]
    assert "the suffix chooses the format of a table: .csv, .tsv, .parquet, .json" in refused(
        "predict", *words, "--output", "found.xlsx"
    )


def test_of_several_checkpoints_the_last_predicts(predict, project, tmp_path, test_file):
    (tmp_path / "model").mkdir()
    for epoch, factor in ((1, 1.0), (2, 1.5)):
        contents = torch.load(project.folder / "model.pt", weights_only=True)
        state = contents["model_state_dict"]
        state["entity_embeddings.weight"] = state["entity_embeddings.weight"] * factor
        torch.save({**contents, "epoch": epoch}, tmp_path / f"model/checkpoint_epoch_{epoch}.pt")
    said, rows = predict("--test", test_file, model=tmp_path / "model")
    _, last = predict("--test", test_file, model=tmp_path / "model/checkpoint_epoch_2.pt")
    assert rows == last
    assert "the last of 2 checkpoints predicts" in said
