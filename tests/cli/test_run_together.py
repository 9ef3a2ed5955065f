"""`tracin-dask run --together`: one answer for a file of test triples, or for each set that it names."""

import json

import numpy as np
import pytest

import tracin_dask
from tracin_dask.errors import ConfigError, TriplesError

TESTS = [("1 2 3", "repurposed"), ("3 2 1", 'known, "odd" name'), ("4 0 5", "repurposed")]


@pytest.fixture
def words(project, tmp_path):
    file = tmp_path / "test.txt"

    def make(*, with_sets: bool) -> list[object]:
        lines = ["\t".join([*triple.split(), name] if with_sets else triple.split()) for triple, name in TESTS]
        file.write_text("\n".join(lines) + "\n")
        return ["run", *project.options(), "--test", file, "--batch-size", 100, "--top-k", 600]

    return make


def by_line(ranking) -> np.ndarray:
    return ranking.influence[np.argsort(ranking.train_index)]


def test_a_file_of_test_triples_gets_one_answer_their_mean(words, tool, tmp_path):
    tool(*words(with_sets=False), "--output-dir", tmp_path / "single")
    shown = tool(*words(with_sets=False), "--together", "--output", tmp_path / "all.json")
    assert shown.exit_code == 0, shown.output
    assert "Proponents of the mean over 3 test triple(s), set all" in " ".join(shown.stdout.split())
    single, together = (tracin_dask.read_result(tmp_path / name) for name in ("single", "all.json"))
    expected = np.mean([by_line(ranking) for ranking in single.rankings], axis=0)
    np.testing.assert_allclose(by_line(together.rankings[0]), expected, atol=2e-6 * np.abs(expected).max())
    assert together.test_triples.tolist() == [[1, 2, 3], [3, 2, 1], [4, 0, 5]]
    assert together.sets.names == ("all",)


def test_each_set_of_a_fourth_column_gets_an_answer_that_is_read_back_whole(words, tool, tmp_path):
    options = ["--together", "--group-by", "relation", "--normalize", "cosine", "--contrast", "7"]
    shown = tool(*words(with_sets=True), *options, "--output-dir", tmp_path / "sets")
    assert shown.exit_code == 0, shown.output
    assert "scored 600 training triples against 2 answers" in shown.stdout
    found = tracin_dask.read_result(tmp_path / "sets")
    assert found.sets.names == ("repurposed", 'known, "odd" name')
    assert found.sets.of_test.tolist() == [0, 1, 0]
    assert found.contrast_tails.tolist() == [7, 7, 7]
    contents = json.loads((tmp_path / "sets" / "set_0.json").read_text())
    assert contents["test_set"]["num_test_triples"] == 2
    assert [member["test_index"] for member in contents["test_set"]["test_triples"]] == [0, 2]
    table = found.to_pandas()
    assert set(table.test_set) == set(found.sets.names)
    assert len(found.group_tables().__next__()) > 0
    summary = json.loads((tmp_path / "sets" / "summary.json").read_text())
    assert [entry["file"] for entry in summary["results"]] == ["set_0.json", "set_1.json"]


def test_sets_of_one_test_triple_are_that_test_triple(words, tool, tmp_path):
    tool(*words(with_sets=True), "--together", "--output-dir", tmp_path / "sets")
    tool(*words(with_sets=False), "--output-dir", tmp_path / "single")
    sets, single = (tracin_dask.read_result(tmp_path / name) for name in ("sets", "single"))
    np.testing.assert_allclose(by_line(sets.rankings[1]), by_line(single.rankings[1]), rtol=1e-6)


def test_wrong_uses_are_refused(words, tool, project, tmp_path):
    with pytest.raises(ConfigError, match=r"--together explains the test triples of a file .* give --test FILE, too"):
        tool("run", *project.options(), "--test-triple", 1, 2, 3, "--together", "--output", tmp_path / "a.json")
    command = words(with_sets=True)
    (tmp_path / "test.txt").write_text("1\t2\t3\tone\n1\t2\t99999\ttwo\n")
    with pytest.raises(TriplesError, match="tail id out of range"):
        tool(*command, "--together", "--output-dir", tmp_path / "why")


def test_a_fourth_column_without_together_is_refused_with_the_option(words, tool, tmp_path):
    with pytest.raises(ConfigError, match=r"test\.txt: a fourth column names sets of test triples; add --together"):
        tool(*words(with_sets=True), "--output-dir", tmp_path / "why")
