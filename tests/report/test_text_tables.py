"""Text tables are read back as they were by `csv` and pandas, and hold nothing that a spreadsheet would execute."""

import csv
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracin_dask.places.registry import place_of
from tracin_dask.report.text_table import write_text_table

TEXTS = st.text(st.one_of(st.sampled_from(" ,;\"\t\r\n'=+-@α𝄞"), st.characters(exclude_categories=["Cs", "Cc"])))
DELIMITERS = pytest.mark.parametrize("delimiter", [",", "\t"])
FORMULAS = ["=HYPERLINK(1)", "+1", "-2", "@SUM(A1)", "\t=1", "\r=1"]
PLAIN = ["", "a=b", "'=1", " =1", "1-2", "biolink:treats", 'a, "b"\n=c']


def written(tmp_path, texts, delimiter, *, raw_text=True) -> bytes:
    table = pa.table({"name": pa.array(texts, pa.string()), "value": np.linspace(-1, 1 / 3, len(texts))})
    write_text_table([table], place_of(tmp_path / "table"), delimiter=delimiter, raw_text=raw_text)
    return (tmp_path / "table").read_bytes()


@DELIMITERS
@settings(max_examples=60)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_any_text_comes_back_from_csv_and_pandas(tmp_path_factory, delimiter, texts):
    data = written(tmp_path_factory.mktemp("any"), texts, delimiter)
    [header, *rows] = csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter)
    assert header == ["name", "value"]
    assert [name for name, _ in rows] == texts
    assert [float(value) for _, value in rows] == np.linspace(-1, 1 / 3, len(texts)).tolist()
    options = {"sep": delimiter, "dtype": {"name": str}, "keep_default_na": False}
    table = pd.read_csv(io.BytesIO(data), **options)
    assert table["name"].tolist() == texts
    assert table["value"].tolist() == np.linspace(-1, 1 / 3, len(texts)).tolist()


@DELIMITERS
def test_text_that_a_spreadsheet_would_execute_gets_an_apostrophe(tmp_path, delimiter):
    data = written(tmp_path, [*FORMULAS, *PLAIN], delimiter, raw_text=False)
    rows = list(csv.DictReader(io.StringIO(data.decode(), newline=""), delimiter=delimiter))
    assert [row["name"] for row in rows] == [*(f"'{text}" for text in FORMULAS), *PLAIN]
    assert float(rows[0]["value"]) == -1


def test_a_table_with_nothing_unusual_is_written_without_quotes_and_with_unix_lines(tmp_path):
    assert written(tmp_path, ["CHEBI:1", "α"], ",") == "name,value\nCHEBI:1,-1.0\nα,0.3333333333333333\n".encode()


def test_what_is_not_known_is_empty(tmp_path):
    assert b"\n,-1.0\n" in written(tmp_path, [None, "b"], ",", raw_text=False)


def test_an_error_leaves_no_piece_of_a_table(tmp_path):
    def tables():
        yield pa.table({"a": [1]})
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_text_table(tables(), place_of(tmp_path / "table"), delimiter=",", raw_text=False)
    assert list(tmp_path.iterdir()) == []
