"""Files whose triples do not lie in three columns between tabs: one message says what was found, options read them."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracin_dask.errors import ConfigError, TriplesError
from tracin_dask.triples.idmap import IdMap
from tracin_dask.triples.ingest import IngestOptions, ingest, ingest_cached
from tracin_dask.triples.lines import InvalidLines
from tracin_dask.triples.shape import DELIMITERS, PLAIN, Shape
from tracin_dask.triples.text import open_triples, read_triples
from tracin_dask.triples.training_triples import read_training_triples

PRIMEKG = "relation,x_index,x_id,x_name,y_index,y_id,y_name\n"
OF_KG = "--columns x_index,relation,y_index --delimiter ,"
MANY = "".join(f"e{number % 40}\tr{number % 7}\te{number * 3 % 40}\n" for number in range(400))


def rows(path, shape: Shape = PLAIN) -> list[tuple[str, ...]]:
    invalid = InvalidLines()
    text = open_triples(path, labels=True, shape=shape)
    found = [
        (*(column[row].as_py() for column in table.columns), int(table.line_index[row]))
        for table in text.tables(invalid)
        for row in range(len(table.line_index))
    ]
    text.refuse(invalid)
    return found


@pytest.mark.parametrize(
    ("text", "found", "options"),
    [
        (f"{PRIMEKG}ppi,0,9,A,1,8,B\n", "7 columns separated by commas", OF_KG),
        ("A:1\tr\tA:2\t1\tS\nA:2\tr\tA:3\t1\tS\n", "5 columns separated by tabs", "--columns 1,2,3"),
        ("a,r,b\nb,r,c\n", "3 columns separated by commas", "--delimiter ,"),
        ("a;r;b\nb;r;c\n", "3 columns separated by semicolons", "--delimiter ';'"),
        ("a|r|b\nb|r|c\n", "3 columns separated by pipes", "--delimiter '|'"),
        ("a r b\nb r c\n", "3 columns separated by spaces", "--delimiter space"),
        ("id\tsubject\tpredicate\tobject\nx\ta\tr\tb\n", "4 columns", "--columns subject,predicate,object"),
        ("source\tmetaedge\ttarget\tn\na\tr\tb\t1\n", "4 columns", "--columns source,metaedge,target"),
        ("2\n0 1 0\n1 2 0\n", "line 1 is the number 2, and 3 columns", "--columns 1,3,2 --delimiter space"),
    ],
)  # fmt: skip
def test_one_message_says_what_was_found_and_the_options_that_it_names_read_the_file(write, text, found, options):
    path = write("t.txt", text)
    with pytest.raises(TriplesError) as caught:
        rows(path)
    message = str(caught.value)
    assert found in message
    assert "expected 3 columns separated by tabs" in message
    assert f"Read it with `{options}`" in message
    assert "\n" not in message
    words = options.replace("'", "").split()
    given = dict(zip(words[::2], words[1::2], strict=True))
    delimiter = given.get("--delimiter")
    columns = tuple(given["--columns"].split(",")) if "--columns" in given else ()
    assert rows(path, Shape(columns=columns, delimiter=DELIMITERS.get(delimiter, delimiter)))


def test_a_plain_file_beside_options_of_another_one_is_told_what_to_do(write):
    with pytest.raises(TriplesError) as caught:
        rows(write("t.txt", "a\tr\tb\n"), Shape(delimiter=","))
    assert str(caught.value).endswith(
        "It needs neither --columns nor --delimiter; if another file of the command does, `tracin-dask ingest` that"
        " one first, and give its store"
    )


@pytest.mark.fault("a file with other columns than three", promised="one message that names the options")
@pytest.mark.parametrize(
    ("text", "found"),
    [("abc\ndef\n", "no columns found in lines like 'abc'"), ("a\tb\nc\td\n", "2 columns separated by tabs found")],
)
def test_a_file_without_three_columns_is_named_so(write, text, found):
    with pytest.raises(TriplesError, match=rf"t.txt: {found}.*; expected 3 columns separated by tabs"):
        rows(write("t.txt", text))


def test_columns_are_taken_by_name_or_by_number(write):
    path = write("kg.csv", f'{PRIMEKG}ppi,0,9,"A, the first",1,8,"B ""b"""\n')
    assert rows(path, Shape(columns=("x_name", "relation", "y_name"), delimiter=",")) == [
        ("A, the first", "ppi", 'B "b"', 0)
    ]
    assert rows(path, Shape(columns=("2", "1", "5"), delimiter=",", header=True)) == [("0", "ppi", "1", 0)]


@pytest.mark.fault("columns that a file does not have", promised="one message")
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("x", "relation", "y_index"), "the columns are relation, x_index, .*; 'x' is not among them"),
        (("1", "2", "9"), "7 columns separated by commas found"),
    ],
)
def test_columns_that_a_file_does_not_have_are_refused(write, columns, message):
    with pytest.raises(TriplesError, match=message):
        rows(write("kg.csv", f"{PRIMEKG}ppi,0,9,A,1,8,B\n"), Shape(columns=columns, delimiter=","))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"columns": ("a", "b")}, "columns must be three different names or numbers"),
        ({"columns": ("a", "b", "a")}, "columns must be three different"),
        ({"columns": ("a", "2", "b")}, "columns must be all names or all numbers"),
        ({"delimiter": "x"}, "delimiter must be one of tab, comma, space, semicolon, pipe"),
        ({"columns": ("a", "b", "c"), "header": False}, "names, which stand in a header"),
    ],
)
def test_a_shape_that_makes_no_sense_is_refused(shape, message):
    with pytest.raises(ConfigError, match=message):
        Shape(**shape)


def test_a_header_gives_the_order_of_the_columns_by_their_usual_names(write):
    path = write("t.txt", "Tail\tHead\tRelation\nb\ta\tr\n")
    assert rows(path, Shape(header=True)) == [("a", "r", "b", 0)]
    path = write("t.txt", "one\ttwo\tthree\na\tr\tb\n")
    assert rows(path, Shape(header=True)) == [("a", "r", "b", 0)]


@pytest.mark.fault("a header line of usual names", promised="refused until --header is given")
@pytest.mark.parametrize(
    "line",
    ["head\trelation\ttail", "Subject\tPredicate\tObject", "source\tedge\ttarget", "from\trel\tto", "h\tr\tt",
     "x_id\trelation\ty_id", ":START_ID\t:TYPE\t:END_ID", "node1\tlabel\tnode2"],
)  # fmt: skip
@pytest.mark.parametrize("others", ["a\tr2\tb\n", MANY, "1\t2\t3\n4\t2\t1\n"], ids=["short", "long", "ids"])
def test_a_header_taken_for_a_triple_is_refused(write, tmp_path, line, others):
    train = write("train.txt", f"{line}\n{others}")
    with pytest.raises(TriplesError, match=r"train.txt, line 1: .* looks like a header: .*; add --header if it is one"):
        ingest(train, tmp_path / "graph.zarr")
    options = IngestOptions(shape=Shape(header=True))
    store = ingest(train, tmp_path / "graph.zarr", options=options)
    assert len(store) == len(others.splitlines())
    assert store.read(0, len(store)).train_index.max() == len(store) - 1
    assert not set(line.split("\t")) & set(store.entities.labels.to_pylist())


@pytest.mark.fault("a first line whose labels occur nowhere else", promised="refused until --header is given")
def test_a_first_line_of_labels_that_occur_nowhere_else_is_taken_for_a_header(write):
    path = write("train.txt", f"drug\tacts_on\tdisease\n{MANY}")
    with pytest.raises(TriplesError, match="looks like a header: its three labels occur nowhere else"):
        rows(path)
    assert len(rows(path, Shape(header=True))) == 400
    assert len(rows(path, Shape(header=False))) == 401


def test_a_first_line_of_words_above_integers_is_taken_for_a_header(write):
    with pytest.raises(TriplesError, match="looks like a header: the lines below it hold integers"):
        rows(write("train.txt", "drug\tacts_on\tdisease\n1\t0\t2\n3\t0\t1\n"))


@pytest.mark.parametrize(
    "text",
    [
        f"drug\tr1\tdisease\n{MANY}",  # the relation occurs again
        f"e1\tacts_on\tdisease\n{MANY}",  # the head does
        f"drug\tacts_on\tdisease\n{MANY}e1\tseen_once\te2\n",  # another relation occurs only once, too
        "drug\tacts_on\tdisease\na\tr\tb\n",  # too few lines
        "x\tr\ty\n",
        f"subject\tr1\tobject\n{MANY}",
    ],
)
def test_a_triple_in_the_first_line_is_taken_for_one(write, text):
    assert len(rows(write("train.txt", text))) == text.count("\n")


@pytest.mark.fault("a line break within quotes", promised="one message with the line")
def test_a_quoted_field_with_a_line_break_is_refused_with_its_line_even_where_lines_are_skipped(write, tmp_path):
    train = write("train.csv", 'a,r,b\na,r,"b\nc,r,d\n"\n')
    options = IngestOptions(skip_invalid=True, shape=Shape(delimiter=","))
    with pytest.raises(TriplesError, match=r"train.csv, line 2: a quoted field does not end in this line"):
        ingest(train, tmp_path / "graph.zarr", options=options)


def test_line_numbers_in_messages_count_the_header_and_train_index_does_not(write, tmp_path):
    train = write("train.csv", "head,relation,tail\na,r,b\na,r\nb,r,c\n")
    shape = Shape(delimiter=",", header=True)
    with pytest.raises(TriplesError, match=r"train.csv, line 3: wrong number of columns: 'a,r'"):
        ingest(train, tmp_path / "graph.zarr", options=IngestOptions(shape=shape))
    store = ingest(train, tmp_path / "graph.zarr", options=IngestOptions(shape=shape, skip_invalid=True))
    assert sorted(store.read(0, 2).train_index.tolist()) == [0, 2]
    assert store.info.source.read_as == "columns head, relation, tail of 3, separated by commas, below a header"


@pytest.mark.fault("fewer or more lines than OpenKE's count line announces", promised="one message")
def test_lines_that_are_not_as_many_as_announced_are_refused(write):
    path = write("train2id.txt", "3\n0 1 0\n1 2 0\n")
    with pytest.raises(TriplesError, match=r"line 1: 3 lines are announced, but 2 follow; is the file complete\?"):
        rows(path, Shape(columns=("1", "3", "2"), delimiter=" "))


def test_another_shape_is_another_cached_store(write, tmp_path):
    train, cache = write("train2id.txt", "2\n0\t1\t0\n1\t2\t1\n"), tmp_path / "cache"
    stores = [
        ingest_cached(train, cache, options=IngestOptions(shape=Shape(columns=columns)))
        for columns in (("1", "3", "2"), ("2", "3", "1"))
    ]
    assert [store.read(0, 2).triples.tolist() for store in stores] == [[[0, 0, 1], [1, 1, 2]], [[1, 0, 0], [2, 1, 1]]]


@pytest.mark.fault("an unusable line of JSON", promised="one message with the line")
@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("{", "line that is not JSON"),
        ("[1]", "missing key"),
        ('{"subject": "a", "predicate": "r"}', "missing key"),
        ('{"subject": "a", "predicate": "r", "object": null}', "value that is no text"),
        ('{"subject": "a", "predicate": "r", "object": true}', "value that is no text"),
        ('{"subject": "a", "predicate": "r", "object": ""}', "empty field"),
        (r'{"subject": "a", "predicate": "r", "object": "b\tc"}', "tab or end of line in a field"),
        (r'{"subject": "a", "predicate": "r", "object": "\ud800"}', "invalid UTF-8"),
        ('{"subject": "a", "predicate": "r", "object": "b"}' * 2, "line that is not JSON"),
        ("", "line that is not JSON"),
    ],
)
def test_an_unusable_line_of_json_is_refused_with_its_number(write, line, kind):
    good = '{"id": 1, "subject": "a", "predicate": "r", "object": "b"}\n'
    with pytest.raises(TriplesError, match=rf"1 line cannot be used: 1 × {kind}\n.*, line 2: {kind}"):
        rows(write("edges.jsonl", f"{good}{line}\n{good}"))


def test_json_lines_take_other_keys_and_whole_numbers(write):
    path = write("t.jsonl", '{"a": 1, "b": "r", "c": 10}\n{"c": 2, "b": "r", "a": "x"}\n')
    assert rows(path, Shape(columns=("a", "b", "c"))) == [("1", "r", "10", 0), ("x", "r", "2", 1)]
    with pytest.raises(TriplesError, match="the columns are a, b, c; say which are head, relation and tail"):
        rows(path)


@pytest.mark.parametrize("text", ["[\n{}\n]\n", '{"nodes": [\n'])
def test_a_json_document_is_named_with_the_command_that_cuts_it_into_lines(write, text):
    with pytest.raises(TriplesError, match=r"a JSON document; expected one object per line: `jq -c '.\[\]'`"):
        rows(write("t.json", text))


def test_parquet_files_are_read_by_their_columns(tmp_path):
    table = pa.table(
        {
            "n": [1.5, 2.5],
            "object": ["b", "c"],
            "subject": pa.array(["a", "a"]).dictionary_encode(),
            "predicate": [1, 2],
        }
    )
    path = tmp_path / "edges.parquet"
    pa.parquet.write_table(table, path)
    assert rows(path) == [("a", "1", "b", 0), ("a", "2", "c", 1)]
    with pytest.raises(TriplesError, match="the column n holds double; expected text or whole numbers"):
        rows(path, Shape(columns=("n", "subject", "object")))
    with pytest.raises(TriplesError, match="leave out --delimiter and --header"):
        rows(path, Shape(header=True))


@pytest.mark.fault("an unusable row of Parquet", promised="one message with the row")
def test_unusable_rows_of_parquet_are_refused_with_their_number(tmp_path):
    table = pa.table({"head": ["a", None, "a\tb"], "relation": ["r"] * 3, "tail": ["b", "c", "d"]})
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(TriplesError, match=r"(?s)2 rows cannot be used.*row 2: empty field.*row 3: tab or end of line"):
        rows(tmp_path / "t.parquet")
    (tmp_path / "t.parquet").write_bytes((tmp_path / "t.parquet").read_bytes()[:-9])
    with pytest.raises(TriplesError, match=r"a damaged Parquet file: .*; write it again"):
        rows(tmp_path / "t.parquet")


def test_lists_of_training_triples_may_have_any_format_that_is_recognised(write, tmp_path):
    store = ingest(write("train.txt", "a\tr\tb\nb\tr\tc\n"), tmp_path / "graph.zarr")
    listed = write("listed.jsonl", '{"head": "b", "relation": "r", "tail": "c"}\n')
    assert read_training_triples(listed, store).train_index.tolist() == [1]
    entities, relations = IdMap.of("abc"), IdMap.of("r")
    assert read_triples(listed, entities, relations).tolist() == [[1, 0, 2]]


FIELDS = st.sampled_from(["a", "b", "r", "", "é", '"a"', 'a"b', "x,y", " ", "a b"])


@settings(max_examples=60)
@given(st.lists(st.lists(FIELDS, min_size=3, max_size=4), max_size=20), st.sampled_from([",", ";", "|", " ", "\t"]))
def test_splitting_by_columns_in_blocks_of_any_size_gives_the_same_rows(tmp_path_factory, lines, delimiter):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    text = [delimiter.join(["h", "r", "t"]), *(delimiter.join(words) for words in lines)]
    path.write_text("\n".join(text) + "\n")
    shape, found = Shape(columns=("1", "2", "3"), delimiter=delimiter, header=False), []
    for block_bytes in (1, 20, 1 << 20):
        invalid = InvalidLines()
        opened = replace(open_triples(path, labels=True, shape=shape), block_bytes=block_bytes)
        tables = list(opened.tables(invalid))
        index = [line for table in tables for line in table.line_index.tolist()]
        texts = [table.text(row) for table in tables for row in range(len(table.line_index))]
        found.append((index, texts, invalid.counts))
        assert len(index) + invalid.counts.total() == len(text) - (not lines[-1] if lines else 0)
    assert found[0] == found[1] == found[2]
