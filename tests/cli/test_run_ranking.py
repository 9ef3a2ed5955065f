"""`tracin-dask run`: which training triples are ranked, and the exact ranks of listed ones."""

import numpy as np
import pytest

from tracin_dask.errors import ConfigError


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


def lines_within(lines, ends, hops):
    """Say which lines a walk of so many training triples from some entities ends with, in any direction."""
    near = np.zeros(lines.max() + 1, dtype=bool)
    near[ends] = True
    for _ in range(hops - 1):
        touched = near[lines[:, 0]] | near[lines[:, 2]]
        near[lines[touched][:, [0, 2]]] = True
    return near[lines[:, 0]] | near[lines[:, 2]]


def test_only_triples_within_hops_are_ranked(ranked, project, explain):
    expected = lines_within(project.lines, project.lines[5, [0, 2]], 1)
    assert_ranked(ranked("--within-hops", 1), ranked(), expected)
    assert len(ranked("--within-hops", 2)) == lines_within(project.lines, project.lines[5, [0, 2]], 2).sum()
    contents = explain("--within-hops", 2, "--directed-hops", "--max-degree", 500, "--min-degree", 2)
    assert contents["run"]["masks"] == {"within_hops": 2, "directed_hops": True, "min_degree": 2, "max_degree": 500}
    assert 0 < contents["num_ranked_rows"] < len(project.lines)


def test_only_triples_on_paths_are_ranked(ranked, project):
    head, _, tail = project.lines[5]
    heads, tails = project.lines[:, 0], project.lines[:, 2]
    after, before = set(tails[heads == head]) - {head, tail}, set(heads[tails == tail]) - {head, tail}
    middle = list(after & before)
    expected = (heads == head) & np.isin(tails, [*middle, tail]) | (tails == tail) & np.isin(heads, middle)
    assert_ranked(ranked("--on-paths", 2, "--directed-hops"), ranked(), expected)


def test_triples_on_walks_that_enter_an_entity_twice_are_ranked_on_request(explain):
    words = ["--on-paths", 3, "--directed-hops"]
    strict, walks = explain(*words), explain(*words, "--all-walks")
    assert walks["run"]["masks"] == {"on_paths": 3, "all_walks": True, "directed_hops": True}
    assert strict["num_ranked_rows"] < walks["num_ranked_rows"]


def test_every_relation_has_its_best_triples(explain):
    contents = explain("--top-k", 2, "--top-k-per", "relation")
    relations = [entry["train_relation"] for entry in contents["influences"]]
    assert sorted(relations) == sorted(2 * list(range(4)))
    sizes = [abs(entry["influence"]) for entry in contents["influences"]]
    assert sizes == sorted(sizes, reverse=True)
    assert contents["top_k"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-degree", 5], "--max-degree counts only with --within-hops or --on-paths; give one of these, too"),
        (["--within-hops", 3, "--all-walks"], "--all-walks counts only with --on-paths; give it, too"),
        (["--on-paths", 3, "--min-degree", 9, "--max-degree", 8], "--min-degree must be at most the .*, 8, not 9"),
        (
            ["--mode", "self", "--within-hops", 2, "--touching", "head"],
            "--touching and --within-hops compare with test",
        ),
        (["--mode", "self", "--on-paths", 2], "--on-paths compares with test triples, and --mode self has none"),
    ],
)
def test_walks_that_make_no_sense_are_refused(tool, project, tmp_path, words, message):
    test = [] if "self" in words else ["--test-triple", *project.test_ids]
    with pytest.raises(ConfigError, match=message):
        tool("run", *project.options(), *test, "--output", tmp_path / "why.json", *words)


@pytest.mark.parametrize("words", [["--on-paths", 5], ["--on-paths", 1], ["--within-hops", 0], ["--top-k-per", "head"]])
def test_walks_of_other_lengths_are_refused(refused, project, words):
    message = refused("run", *project.options(), "--test-triple", *project.test_ids, *words)
    assert words[0] in message
    assert str(words[1]) in message
