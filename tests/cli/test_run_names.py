"""Readable names in place of labels: in every option that names entities, relations or triples."""

import json

import pytest
from click.testing import Result

from tracin_dask.errors import ConfigError, ResultError, TriplesError

COMMA = "drug, no. {} [α]"


@pytest.fixture
def names(project, tmp_path):
    """Name entities; 1 and 2 share a name, and quotes, commas and other scripts occur."""
    lines = [f"{COMMA.format(number)}\t{number}\n" for number in range(40) if number not in {1, 2}]
    (tmp_path / "names.tsv").write_text("".join([*lines, 'the "twin"\t1\n', 'the "twin"\t2\n']))
    return ["--entity-names", tmp_path / "names.tsv", "--edge-map", project.folder / "edge_map.json"]


@pytest.fixture
def explain(project, tool, names, tmp_path):
    def run(*words) -> tuple[dict, Result]:
        result = tool("run", *project.options(), *names, *words, "--output", tmp_path / "a.json", "--top-k", 600)
        assert result.exit_code == 0, result.output
        return json.loads((tmp_path / "a.json").read_text()), result

    return run


@pytest.fixture
def named(project):
    """Name a test triple that is in the training file: by names, and by labels."""
    index = next(place for place, line in enumerate(project.lines.tolist()) if line[1] == 0 and not {1, 2} & {*line})
    head, _, tail = project.lines[index].tolist()
    return [COMMA.format(head), "biolink:treats (activity)", COMMA.format(tail)], project.lines[index]


def influences(contents):
    return [(entry["train_index"], entry["influence"]) for entry in contents["influences"]]


def test_names_and_ids_of_a_test_triple_give_the_same_result(explain, named):
    words, ids = named
    assert influences(explain("--test-triple", *words)[0]) == influences(explain("--test-triple", *map(str, ids))[0])


def test_contrast_and_masks_of_relations_take_names(explain, named):
    ids = named[1]
    other = next(number for number in range(3, 40) if number != ids[2])
    by_name = ["--contrast", COMMA.format(other), "--only-relations", "biolink:treats (activity)"]
    by_id = ["--contrast", str(other), "--only-relations", "0"]
    found = [influences(explain("--test-triple", *map(str, ids), *more)[0]) for more in (by_name, by_id)]
    assert found[0] == found[1]
    without = explain("--test-triple", *map(str, ids), "--exclude-relations", "biolink:treats (activity)")[0]
    assert {index for index, _ in influences(without)}.isdisjoint({index for index, _ in found[0]})


def test_lists_of_training_triples_and_files_of_test_triples_take_names(explain, named, tmp_path):
    words, ids = named
    for name, triple in (("names.txt", words), ("ids.txt", map(str, ids))):
        (tmp_path / name).write_text("\t".join(triple) + "\n")
    by_names, by_ids = (
        explain("--test", path, "--candidates", path, "--rank-of", path)[0]
        for path in (tmp_path / "names.txt", tmp_path / "ids.txt")
    )
    assert influences(by_names) == influences(by_ids) != []
    assert by_names["ranks"] == by_ids["ranks"]


def test_an_ambiguous_name_is_refused_with_its_candidates_everywhere(explain, named, tmp_path):
    words, _ = named
    twin = ['the "twin"', *words[1:]]
    candidates = r"name of 2 entities: CHEBI:7 \(id 1\), CHEBI:14 \(id 2\); give the label of one"
    with pytest.raises(ConfigError, match=rf"the head the \"twin\" is ambiguous .*{candidates}"):
        explain("--test-triple", *twin)
    with pytest.raises(ConfigError, match=rf"the other tail the \"twin\" is ambiguous .*{candidates}"):
        explain("--test-triple", *words, "--contrast", 'the "twin"')
    (tmp_path / "test.txt").write_text("\t".join(twin) + "\n")
    for option in ("--test", "--candidates", "--rank-of"):
        asked = [] if option == "--test" else ["--test-triple", *words]
        with pytest.raises(TriplesError, match=rf"test\.txt, line 1: ambiguous head name: .*{candidates}"):
            explain(*asked, option, tmp_path / "test.txt")


def test_near_misses_are_suggested_and_not_taken(explain, named):
    words, _ = named
    with pytest.raises(ConfigError, match=r"did you mean drug, no\. \d+ \[α\] \(CHEBI:\d+\)"):
        explain("--test-triple", f"{words[0]}!", *words[1:])
    with pytest.raises(ConfigError, match=r"did you mean biolink:treats \(activity\) \(predicate:\d\)"):
        explain("--test-triple", *words, "--only-relations", "biolink:treats")
    with pytest.raises(ConfigError, match=r"the head 21 is not among .* \(did you mean CHEBI:21"):
        explain("--test-triple", "21", *words[1:])


def test_show_finds_answers_by_names_and_refuses_names_of_several(project, tool, names, named, tmp_path):
    words, ids = named
    tests = [[1, *ids[1:]], [2, *ids[1:]], ids]
    (tmp_path / "test.txt").write_text("".join("\t".join(map(str, triple)) + "\n" for triple in tests))
    files = ["--test", tmp_path / "test.txt", "--output-dir", tmp_path / "why"]
    assert tool("run", *project.options(), *names, *files).exit_code == 0
    assert f"Proponents of {words[0]}" in " ".join(
        tool("show", tmp_path / "why", "--test-triple", *words).stdout.split()
    )
    with pytest.raises(
        ResultError, match=r"is ambiguous: 2 test triples .*: CHEBI:7 .* \(ids 1 .*, CHEBI:14 .* \(ids 2 "
    ):
        tool("show", tmp_path / "why", "--test-triple", 'the "twin"', *words[1:])
    assert "Proponents" in tool("show", tmp_path / "why", "--test-triple", "CHEBI:14", *words[1:]).stdout
    with pytest.raises(ResultError, match=r"no head is 'the twin'; did you mean the \"twin\"\?"):
        tool("show", tmp_path / "why", "--test-triple", "the twin", *words[1:])
