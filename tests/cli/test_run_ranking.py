"""`tracin-dask run`: which training triples are ranked, and the exact ranks of listed ones."""

import numpy as np
import pytest


def listed(file, triples):
    """Write triples by their ids to a file."""
    file.write_text("".join("\t".join(map(str, triple)) + "\n" for triple in triples.tolist()))
    return file


@pytest.fixture
def ranked(explain):
    """The training lines, from 0, that a run with these options ranks, with their influences."""

    def lines(*words):
        contents = explain("--top-k", 600, *words)
        return {entry["train_index"]: entry["influence"] for entry in contents["influences"]}

    return lines


def assert_ranked(masked, everything, expected):
    assert sorted(masked) == np.flatnonzero(expected).tolist()
    assert 0 < len(masked) < len(everything)
    assert masked == {line: everything[line] for line in masked}


@pytest.mark.parametrize("words", [["predicate:3", "predicate:2"], ["0", "1"]])
def test_relations_are_named_by_labels_or_ids(ranked, project, words):
    chosen = np.isin(project.lines[:, 1], [0, 1])
    assert_ranked(ranked("--only-relations", *words), ranked(), chosen)
    assert_ranked(ranked("--exclude-relations", *words), ranked(), ~chosen)


def test_only_candidates_are_ranked(ranked, project, tmp_path):
    file = listed(tmp_path / "candidates.txt", project.lines[[5, 20]])
    equal = (project.lines == project.lines[5]).all(axis=1) | (project.lines == project.lines[20]).all(axis=1)
    assert_ranked(ranked("--candidates", file), ranked(), equal)


def test_only_triples_that_touch_the_test_triple_are_ranked(ranked, project):
    head, _, tail = project.lines[5]
    ends = project.lines[:, [0, 2]]
    expected = {"head": (ends == head).any(axis=1), "tail": (ends == tail).any(axis=1)}
    expected |= {"either": expected["head"] | expected["tail"], "both": expected["head"] & expected["tail"]}
    for what, rows in expected.items():
        assert_ranked(ranked("--touching", what), ranked(), rows)


def test_the_test_triple_itself_is_not_ranked(ranked, project):
    assert_ranked(ranked("--exclude-self"), ranked(), (project.lines != project.lines[5]).any(axis=1))


def test_the_exact_ranks_of_listed_triples(explain, ranked, project, tmp_path):
    file = listed(tmp_path / "listed.txt", project.lines[[100, 20]])
    everything = ranked()
    order = sorted(everything, key=lambda line: (-everything[line], line))
    ranks = explain("--rank-by", "proponents", "--rank-of", file)["ranks"]
    assert {100, 20} <= {entry["train_index"] for entry in ranks}
    for entry in ranks:
        assert entry["influence"] == everything[entry["train_index"]]
        assert entry["rank"] == order.index(entry["train_index"]) + 1
