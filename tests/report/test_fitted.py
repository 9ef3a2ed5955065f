"""Tables fit the terminal: words stay whole, shared prefixes are said once, and long names keep both ends."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_results import made_groups, made_result, ranked
from rich.cells import cell_len
from rich.console import Console

from tracin_dask.report.fitted import Column, FittedTable, FittedTables, triple_columns
from tracin_dask.report.scale import Scale
from tracin_dask.report.screen import answer_tables, list_of_answers
from tracin_dask.report.wrapping import ELLIPSIS, MOST_LINES, pieces, shortened, wrapped

HARD = {
    0: "2-[4-(4-chlorobenzoyl)phenoxy]-2-methylpropanoic acid, isopropyl ester (racemic)",
    1: "nuclear-transcribed mRNA catabolic process, nonsense-mediated decay",
    2: "Methylenetetrahydrofolatereductasedeficiencyandhomocystinuria",
    3: 'ß-アミノ酪酸 "γ-aminobutyric", 日本語の名前がとても長い場合の例',
}


def shown(what, width=80):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def table(heads, width=80, tails=("short",)):
    columns = [
        Column(heading="#", cells=[str(number) for number in range(len(heads))]),
        Column(heading="head", cells=heads, is_text=True),
        Column(heading="tail", cells=list(np.resize(tails, len(heads))), is_text=True),
    ]
    return shown(FittedTables(tables=[FittedTable(title="Title", columns=columns)]), width)


def hard_result():
    triples = np.array([[0, 0, 2], [1, 1, 3], [2, 1, 1], [3, 0, 0]])
    ranking = ranked([2e-7, -1e-7, 5e-9, 1e-8]).__class__(
        triples=triples, influence=np.array([2e-7, -1e-7, 5e-9, 1e-8]), train_index=np.arange(18_602_340, 18_602_344)
    )
    groups = made_groups("head", np.ones((4, 1)) * 1e-6, np.arange(4), list(HARD.values()))
    return made_result(ranking, HARD, test_triples=np.array([[1, 0, 2]]), groups=(groups,))


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_no_line_is_wider_than_the_terminal_whatever_the_names(width):
    for what in (answer_tables(hard_result()), list_of_answers(hard_result())):
        assert max(map(cell_len, shown(what, width).splitlines())) <= width


def test_names_are_whole_where_the_terminal_is_wide():
    text = shown(answer_tables(hard_result()), width=400)
    assert all(name in text for name in HARD.values())
    assert ELLIPSIS not in text


def test_words_stay_whole_where_they_fit_and_lines_may_end_behind_an_underscore():
    text = table(
        ["type 2 diabetes mellitus", "gene_associated_with_condition"], width=40, tails=["long tail name here"]
    )
    words = set(text.replace("│", " ").split())
    assert {
        "type",
        "diabetes",
        "mellitus",
        "long",
        "tail",
        "name",
        "here",
        "gene_associated_",
        "with_condition",
    } <= words


def test_head_relation_and_tail_share_a_column_where_words_would_be_broken():
    triples = [
        ("Vinorelbine", "affects (expression, increased)", "TOMM34"),
        ("malignant glioma", "gene_associated_with_condition", "regulation of anatomical structure morphogenesis"),
    ]
    numbers = [Column(heading=name, cells=["57,412", "1"]) for name in ("rank", "percentile", "influence", "line")]
    tables = FittedTables(tables=[FittedTable(title="Ranks", columns=[*numbers, *triple_columns(triples)])])
    narrow, wide = shown(tables), shown(tables, 160)
    assert max(map(cell_len, narrow.splitlines())) <= 80
    assert ELLIPSIS not in narrow
    assert {word for triple in triples for part in triple for word in part.split() if "_" not in word} <= set(
        narrow.split()
    )
    assert "head — relation — tail" in narrow
    assert next(line for line in wide.splitlines() if "head" in line).count("┃") == 8
    empty = [replace(column, cells=[""]) for column in [*numbers, *triple_columns([triples[0]])]]
    both = shown(FittedTables(tables=[*tables.tables, FittedTable(title="None", columns=empty)]))
    assert both.count("head — relation — tail") == 2
    assert both.count(" — ") == 2 * 2 + 2 * len(triples)


def test_a_prefix_that_all_share_is_left_out_and_said_once_but_only_if_room_is_lacking():
    heads = [f"Compound::DB0{number}" for number in range(3)]
    narrow, wide = (table(heads, tails=["x" * 20], width=width) for width in (44, 80))
    assert narrow.count("Compound::") == 1
    assert "Left out above: the prefix Compound:: of every head." in " ".join(narrow.split())
    assert wide.count("Compound::") == 3
    assert "Left out" not in wide


@pytest.mark.parametrize("heads", [["A::1", "B::2"], ["A::1", "A::"], ["12:1", "12:2"], ["of a: 1", "of a: 2"]])
def test_other_beginnings_are_no_prefix(heads):
    assert "Left out" not in table(heads, width=24, tails=["x" * 20])


@settings(max_examples=60)
@given(st.text(max_size=90).map(lambda text: " ".join(text.split())), st.integers(6, 40))
def test_wrapped_texts_keep_to_the_width_and_to_three_lines(text, width):
    lines = wrapped(text, width).split("\n")
    assert len(lines) <= MOST_LINES
    assert max(map(cell_len, lines)) <= width
    assert "".join(pieces(text)) == text
    if ELLIPSIS not in "".join(lines):
        assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_shortened_name_keeps_its_beginning_and_its_end():
    assert shortened("methylenetetrahydrofolate", 11) == f"methy{ELLIPSIS}olate"
    assert shortened("short", 5) == "short"


@pytest.mark.parametrize(
    ("values", "written", "factor"),
    [
        ([0.0123, -0.5], ["+0.0123", "-0.5000"], ""),
        ([27.036, -0.0142, 0.0], ["+27.036", "-0.014", "0"], ""),
        ([1.5e-5, -2.25e-6], ["+1.500", "-0.225"], "× 1e-05"),
        ([3.0e8, 1.0e7], ["+3.000", "+0.100"], "× 1e+08"),
        ([123456.7, 1.0], ["+123,456.7", "+1.0"], ""),
        ([float("nan"), 1.0], ["+nan", "+1.000"], ""),
        ([], [], ""),
    ],
)
def test_numbers_of_a_table_are_plain_decimals_of_one_scale(values, written, factor):
    scale = Scale.of(values)
    assert [scale.signed(value) for value in values] == written
    assert scale.heading("influence").partition("\n")[2] == factor


def test_both_tables_of_an_answer_have_the_scale_of_the_larger_influences():
    text = shown(answer_tables(made_result(ranked([2.5e-4, -1.25e-5]))))
    assert text.count("× 1e-04") == 2
    assert "+2.500" in text
    assert "-0.125" in text
    assert "e-05" not in text
