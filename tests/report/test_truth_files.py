"""Files of known explanations are read in the shapes that people have; what cannot be read is named with its line."""

import gzip
import json
from pathlib import Path

import pytest

from tracin_dask.errors import TruthError
from tracin_dask.report.truth.edges import read_edges
from tracin_dask.report.truth.own import read_own_truth
from tracin_dask.report.truth.paths import read_paths

HEADER = "Drug,Disease,Intermediates,drugmechdb_path_id"


@pytest.fixture
def write(tmp_path: Path):
    def file(content: str | bytes, name: str = "truth.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return file


def edge(*parts: str, **others: object) -> str:
    return json.dumps(dict(zip(("subject", "predicate", "object"), parts, strict=True)) | others)


def test_edges_are_read_once_each_without_their_other_keys(write):
    lines = [edge("A", "p", "B"), "", edge("A", "p", "B", source="x"), edge("β", "p (x)", "B")]
    found = read_edges(write("\ufeff" + "\r\n".join(lines) + "\n", "edges.jsonl"))
    assert found.triples == (("A", "p", "B"), ("β", "p (x)", "B"))
    assert found.predicates() == {("A", "B"): ["p"], ("β", "B"): ["p (x)"]}
    packed = read_edges(write(gzip.compress("\n".join(lines).encode()), "edges.jsonl.gz"))
    assert packed.triples == found.triples
    assert packed.file.sha256 != found.file.sha256


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "expected a JSON object with texts"),
        (r'{"subject": "\ud800", "predicate": "p", "object": "o"}', "'subject' has half of a surrogate pair"),
        ("[1]", "expected a JSON object with texts"),
        ('{"subject": "A", "object": "B"}', "'predicate' is missing"),
        (edge("A", "", "B"), "'predicate' is ''"),
        ('{"subject": 1, "predicate": "p", "object": "B"}', "'subject' is 1"),
    ],
)
def test_a_line_that_is_no_edge_is_refused_with_its_number_and_text(write, line, why):
    with pytest.raises(TruthError, match=r"edges\.jsonl, line 3: ") as error:
        read_edges(write(f"{edge('A', 'p', 'B')}\n\n{line}\n", "edges.jsonl"))
    assert why in str(error.value)
    assert repr(line)[:30] in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        f'{HEADER}\nD,M,"[A, B]",1\nD,M,[],2\nD,M,"[C]",3\n',
        f"{HEADER}\r\nD,M,\"['A', 'B']\",1\r\nD,M,,2\r\nD,M,\"['C']\",3\r\n",
        'drug,DISEASE,"[A, B]",DrugMechDB Path ID\nD,M,"[A, B]",1\nD,M,[],2\nD,M,[C],3\n',
        f"{HEADER}\nD,M,[A, B],1\nD,M,[],2\nD,M,[ C ],3\n",
        "path_id,source,disease id,Drug-ID,path\n1,x,M,D,[D, A, B, M]\n2,x,M,D,[D, M]\n3,x,M,D,[C]\n",
        "drug\tdisease\tnodes\tid\nD\tM\t[A, B]\t1\nD\tM\t[]\t2\n\nD\tM\t[C]\t3\n",
        f'{HEADER}\nD,M,"[""A"", ""B""]",1\nD,M,[],2\nD,M,"[""C""]",3\n',
    ],
    ids=["quoted", "python", "a list as header", "bare", "other order, with ends", "tabs", "json"],
)
def test_all_paths_of_a_pair_are_kept_in_every_form_of_the_table(write, text):
    found = read_paths(write(text))
    assert [(path.drug, path.disease, path.intermediates, path.path_id) for path in found.paths] == [
        ("D", "M", ("A", "B"), "1"),
        ("D", "M", (), "2"),
        ("D", "M", ("C",), "3"),
    ]
    assert found.num_pairs == 1


def test_names_with_commas_stay_whole_in_quotes(write):
    (path,) = read_paths(write(f"{HEADER}\nD,M,\"['acid, 2-', 'B']\",1\n")).paths
    assert path.intermediates == ("acid, 2-", "B")


def test_predicates_are_read_one_for_each_step(write):
    text = 'Drug,Disease,Intermediates,Predicates\nD,M,[A],"[p (x), q]"\nD,M,[],\n'
    assert [path.predicates for path in read_paths(write(text)).paths] == [("p (x)", "q"), None]


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("D,M,a\nD,M,b\n", 1, "the header has no column for drug and disease and intermediates"),
        ("drug,compound,disease,path\n", 1, "two columns could be the drug"),
        (f"{HEADER}\nD,M,[A],1\nD,M,A,2\n", 3, "'A' is no list; expected one like"),
        (f'{HEADER}\nD,M,"[[A],[B]]",1\n', 2, "is no list"),
        (f'{HEADER}\nD,M,"[A,,B]",1\n', 2, "has an empty part"),
        (f"{HEADER}\nD,M,[A]\n", 2, "3 columns, but the header has 4"),
        (f"{HEADER}\n,M,[A],1\n", 2, "the drug is empty"),
        (f'{HEADER}\nD,M,[A],1\nD,M,"[A],1\n', 3, "no row of a table"),
        ("drug,disease,path,predicates\nD,M,[A],[p]\n", 2, "1 predicates for 2 steps"),
    ],
)
def test_a_table_of_another_form_is_refused_with_file_and_line(write, text, line, why):
    with pytest.raises(TruthError, match=rf"truth\.csv, line {line}: '") as error:
        read_paths(write(text))
    assert why in str(error.value)


def test_own_truth_has_six_columns_or_three_with_or_without_header(write):
    rows = "a\tr\tb\tc\ts\td\na\tr\tb\te\ts\tf\n"
    header = "Test_head\ttest_relation\ttest_tail\ttrain_head\ttrain_relation\ttrain_tail\n"
    for text in (rows, header + rows, rows.replace("\t", ",")):
        assert read_own_truth(write(text)).of_test == {("a", "r", "b"): (("c", "s", "d"), ("e", "s", "f"))}
    assert read_own_truth(write("head,relation,tail\nc,s,d\nc,s,d\n")).everywhere == (("c", "s", "d"),)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a\tb\n", 1, "2 columns; expected six columns"),
        ("a\tb\tc\na\tb\tc\td\te\tf\n", 2, "6 columns, but the first line has 3"),
        ("a\tb\tc\na\t\tc\n", 2, "column 2 is empty"),
    ],
)
def test_own_truth_of_another_form_is_refused_with_file_and_line(write, text, line, why):
    with pytest.raises(TruthError, match=rf"truth\.csv, line {line}: '") as error:
        read_own_truth(write(text))
    assert why in str(error.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", r"the file is empty"),
        (b"a\tb\tc\n\xe9\tb\tc\n", r"line 2: not in UTF-8"),
        (gzip.compress(b"a\tb\tc\n" * 99, mtime=0)[:-12], r"a damaged compressed file"),
    ],
)
def test_a_file_that_is_no_text_is_refused(write, content, why):
    with pytest.raises(TruthError, match=rf"truth\.csv.*{why}"):
        read_own_truth(write(content))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(TruthError, match=r"none\.jsonl: cannot be read: No such file"):
        read_edges(tmp_path / "none.jsonl")


def test_a_list_of_python_may_have_quotes_of_both_kinds(write):
    lists = ["[\"Alzheimer's\", 'd']", "['d', \"Alzheimer's\"]"]
    rows = ["D\tM\t" + one + "\t1" for one in lists]
    found = read_paths(write("\n".join([HEADER.replace(",", "\t"), *rows]), "paths.tsv"))
    assert [path.intermediates for path in found.paths] == [("Alzheimer's", "d"), ("d", "Alzheimer's")]
    with pytest.raises(TruthError, match=r"paths\.tsv, line 2: .* is no list"):
        read_paths(write(HEADER.replace(",", "\t") + "\nD\tM\t['a', b]\t1", "paths.tsv"))
