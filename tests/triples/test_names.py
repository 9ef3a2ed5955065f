"""Readable names of entities and relations."""

import gzip
import json

import pytest

from tracin_dask.errors import TriplesError
from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.names import read_edge_map, read_names


def edge(predicate: str, **qualifiers: str) -> str:
    names = [f"{end}_{kind}_qualifier" for end in ("object", "subject") for kind in ("aspect", "direction")]
    return json.dumps(dict.fromkeys(names, "") | {"predicate": predicate} | qualifiers)


def test_entity_names_may_repeat_and_hold_commas_quotes_and_other_scripts(write):
    path = write("node_name_dict.txt", 'aspirin, "acetyl"\t2\nβ-blocker\t0\nβ-blocker\t1\n')
    assert read_names(path, IdMap.of("abcd")).to_pylist() == ["β-blocker", "β-blocker", 'aspirin, "acetyl"', ""]


@pytest.mark.parametrize("line", ["x\t0", "x\t9", "x\t-1", "x\tone"])
def test_a_second_name_or_an_invalid_id_is_refused_with_its_line(write, line):
    path = write("names.txt", f"a\t0\n{line}\n")
    with pytest.raises(TriplesError, match=r"names.txt, line 2: 'x.*expected an id from 0 to 2, each at most once"):
        read_names(path, IdMap.of("abc"))


FORMS = {
    "name TAB id": 'aspirin, "x"\t0\nβ\t1\nβ\t2\n',
    "id TAB name": '0\taspirin, "x"\n1\tβ\n2\tβ\n',
    "name TAB label": 'aspirin, "x"\tD:1\nβ\tD:2\nβ\tD:3\n',
    "label TAB name": 'D:1\taspirin, "x"\nD:2\tβ\nD:3\tβ\n',
    "header, name TAB id": 'name\tid\naspirin, "x"\t0\nβ\t1\nβ\t2\n',
    "header, id TAB name": 'ID\tName\n0\taspirin, "x"\n1\tβ\n2\tβ\n',
    "header, label TAB name": 'curie\tname\nD:1\taspirin, "x"\nD:2\tβ\nD:3\tβ\n',
    "KGX, id TAB name": 'id\tname\nD:1\taspirin, "x"\nD:2\tβ\nD:3\tβ\n',
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_names_are_read_by_id_or_label_in_either_order_with_or_without_header(write, form, packed):
    text = FORMS[form].encode()
    path = write("names", gzip.compress(text) if packed else text)
    assert read_names(path, IdMap.of(["D:1", "D:2", "D:3"])).to_pylist() == ['aspirin, "x"', "β", "β"]


def test_labels_that_the_graph_does_not_have_are_left_out_and_counted(write):
    said = []
    path = write("names.tsv", "a\tfirst\nx\tother\ny\tother\n")
    assert read_names(path, IdMap.of("ab"), say=said.append).to_pylist() == ["first", ""]
    assert said == [f"{path}: 2 of 3 names are of entities that the graph does not have"]


def test_a_label_with_two_names_is_refused_with_its_line(write):
    with pytest.raises(TriplesError, match=r"names\.tsv, line 3: 'a' has a second name, 'other'; expected one"):
        read_names(write("names.tsv", "b\tsecond\na\tfirst\na\tother\n"), IdMap.of("ab"))


def test_columns_that_could_both_be_the_names_are_refused_until_a_header_says_which(write):
    crossed = "a\tb\nb\ta\nc\tc\n"
    with pytest.raises(TriplesError, match=r"names\.tsv: either column could be the names, .* `name TAB label`"):
        read_names(write("names.tsv", crossed), IdMap.of("abcd"))
    for header, names in (("name\tlabel", ["b", "a", "c", ""]), ("label\tname", ["b", "a", "c", ""])):
        assert read_names(write("names.tsv", f"{header}\n{crossed}"), IdMap.of("abcd")).to_pylist() == names
    with pytest.raises(TriplesError, match="either column could be the names"):
        read_names(write("names.tsv", "0\t1\n1\t2\n2\t0\n"), IdMap.of("abc"))


def test_integers_that_could_be_ids_or_labels_are_refused_until_they_are_stated(write):
    path, entities = write("names.tsv", "zero\t0\none\t1\n"), IdMap.of("10")
    with pytest.raises(TriplesError, match=r"names\.tsv: are its integers ids or labels\?.* give --ids or --labels"):
        read_names(path, entities)
    assert read_names(path, entities, ids=True).to_pylist() == ["zero", "one"]
    assert read_names(path, entities, labels=True).to_pylist() == ["one", "zero"]
    assert read_names(path, IdMap.of("01")).to_pylist() == ["zero", "one"]


def test_relation_names_are_built_from_predicate_and_qualifiers(write):
    edges = {
        edge("biolink:treats"): "predicate:0",
        edge(
            "biolink:affects", object_aspect_qualifier="expression", object_direction_qualifier="increased"
        ): "predicate:1",
        edge("biolink:affects", subject_aspect_qualifier="activity"): "predicate:2",
        edge("biolink:affects", anatomical_context_qualifier="liver"): "predicate:3",
        edge("biolink:unused"): "predicate:99",
    }
    relations = IdMap.of(["predicate:3", "predicate:1", "predicate:2", "predicate:0", "predicate:7"])
    assert read_edge_map(write("edge_map.json", json.dumps(edges)), relations).to_pylist() == [
        "biolink:affects (anatomical_context_qualifier liver)",
        "biolink:affects (expression, increased)",
        "biolink:affects (subject activity)",
        "biolink:treats",
        "",
    ]


def test_relations_with_equal_names_stay_distinguishable(write):
    edges = {
        edge("p", object_aspect_qualifier="a", object_direction_qualifier=""): "predicate:0",
        edge("p", object_aspect_qualifier="", object_direction_qualifier="a"): "predicate:1",
    }
    found = read_edge_map(write("edge_map.json", json.dumps(edges)), IdMap.of(["predicate:0", "predicate:1"]))
    assert found.to_pylist() == ["p (a) [predicate:0]", "p (a) [predicate:1]"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "expected JSON"),
        ("[]", "expected a JSON object, found list"),
        (json.dumps({"no json": "predicate:0"}), "'no json': expected JSON"),
        (json.dumps({edge("p"): 3}), "is 3; expected a text"),
        (json.dumps({edge("p"): "x", edge("q"): "x"}), "label 'x' appears a second time; expected each only once"),
        (json.dumps({json.dumps({"object_aspect_qualifier": "a"}): "x"}), 'expected "predicate"'),
        (json.dumps({json.dumps({"predicate": "p", "object_aspect_qualifier": 1}): "x"}), "is 1; expected a text"),
    ],
)
def test_an_edge_map_with_unexpected_content_is_refused(write, content, reason):
    with pytest.raises(TriplesError, match=rf"edge_map.json: .*{reason}"):
        read_edge_map(write("edge_map.json", content), IdMap.of(["x"]))


@pytest.mark.parametrize("text", ["\n", "a\nb", "\r", "a\u2028"])
def test_an_edge_map_with_line_breaks_in_a_name_is_refused(write, text):
    for key in (
        edge(text),
        edge("treats", object_aspect_qualifier=text),
        json.dumps({"predicate": "treats", text: "x"}),
    ):
        path = write("edge_map.json", json.dumps({key: "r"}))
        with pytest.raises(TriplesError, match=r"edge_map\.json: key .*expected texts without line breaks"):
            read_edge_map(path, IdMap.of(["r"]))


@pytest.mark.parametrize("name", ["\r", "\v\r", "\n"])
def test_an_entity_name_of_line_breaks_is_refused_with_its_line(write, name):
    with pytest.raises(TriplesError, match=r"names\.txt, line 2: "):
        read_names(write("names.txt", f"a\t0\n{name}\t1\n"), IdMap.of("ab"))


def test_a_missing_edge_map_is_refused(tmp_path):
    with pytest.raises(TriplesError, match=r"none.json: cannot be read"):
        read_edge_map(tmp_path / "none.json", IdMap.of(["x"]))
