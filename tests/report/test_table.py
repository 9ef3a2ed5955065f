"""Tables that a run prints: proponents and opponents of a test triple, with names."""

from dataclasses import replace

import numpy as np
import pytest
from made_page import full_result
from made_results import made_result, ranked
from rich.console import Console

from tracin_dask.report.rank_table import rank_table
from tracin_dask.report.ranks import TIES_OF_ZERO
from tracin_dask.report.table import SELF_MEANING, SIGNS, influence_tables


def shown(given, *, width=80, **options):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(influence_tables(given, **options))
    return capture.get()


def rows(text, title):
    """Give the cells of the rows of one table, by its title."""
    lines = text[text.index(title) :].splitlines()[4:]
    until = next(number for number, line in enumerate(lines) if line.startswith("└"))
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines[:until]]


def test_proponents_and_opponents_have_separate_tables():
    text = shown(made_result(ranked([-2.0, 0.5, 0.25, -0.125])))
    assert rows(text, "Proponents of CHEBI:0 — predicate:1 — CHEBI:2") == [
        ["1", "+0.500", "CHEBI:1", "predicate:1", "CHEBI:2", "2"],
        ["2", "+0.250", "CHEBI:0", "predicate:0", "CHEBI:2", "3"],
    ]
    assert rows(text, "Opponents of CHEBI:0 — predicate:1 — CHEBI:2") == [
        ["1", "-2.000", "CHEBI:0", "predicate:0", "CHEBI:2", "1"],
        ["2", "-0.125", "CHEBI:1", "predicate:1", "CHEBI:2", "4"],
    ]


def test_what_the_ranking_leaves_out_completes_both_sides():
    text = shown(made_result(ranked([-2.0, 0.5]), further=(ranked([0.25, -0.125], 100),)))
    assert [row[1] for row in rows(text, "Proponents of")] == ["+0.500", "+0.250"]
    assert [row[5] for row in rows(text, "Opponents of")] == ["1", "102"]


@pytest.mark.parametrize(
    ("run", "size"),
    [
        ({}, "drop of loss per step on it."),
        ({"explain": "score"}, "rise of score per step on it."),
        ({"normalize": "cosine"}, "cosine of the gradients."),
        ({"normalize": "relatif"}, "drop of loss by equal steps."),
        ({"normalize": "relatif", "explain": "score"}, "rise of score by equal steps."),
        ({"preconditioner": "adam"}, "drop of loss per Adam step."),
        ({"preconditioner": "adam", "normalize": "cosine"}, "cosine in Adam's norm."),
        ({"preconditioner": "adam", "normalize": "relatif", "explain": "score"}, "rise of score by Adam's norm."),
    ],
)
def test_the_meaning_of_sign_and_size_is_printed_below_the_tables(run, size):
    assert SIGNS.startswith("> 0 speaks for the prediction, < 0 against")
    assert " ".join(shown(made_result(ranked([1.0]), run=run)).split()).endswith(SIGNS + size)
    assert len(SIGNS + size) <= 80


def test_the_table_title_states_the_contrast_tail_and_the_loss():
    asked = made_result(ranked([1.0]), contrast_tails=np.array([1]), run={"loss": "one-to-all"})
    title = "Proponents of CHEBI:0 — predicate:1 — CHEBI:2"
    assert f"{title}, and not CHEBI:1 (loss one-to-all)" in " ".join(shown(asked).split())
    assert f"{title} ┏" in " ".join(shown(made_result(ranked([1.0]))).split())


def test_a_table_without_entries_says_none():
    text = shown(made_result(ranked([1.0])))
    assert rows(text, "Opponents of") == [["", "none", "", "", "", ""]]
    assert len(rows(text, "Proponents of")) == 1


def test_a_table_has_at_most_the_requested_rows():
    given = made_result(ranked([6.0, 5.0, 4.0, 3.0, -1.0]))
    assert len(rows(shown(given, rows=3), "Proponents of")) == 3


NAMES = {0: "1-[4-chlorophenyl] [bold]acid", 1: "aspirin"}


def test_tables_show_names_instead_of_labels_including_brackets():
    text = shown(made_result(ranked([0.5, 0.25, -0.125]), names=NAMES), width=120)
    assert "Opponents of 1-[4-chlorophenyl] [bold]acid — predicate:1 — CHEBI:2" in text
    found = rows(text, "Proponents of")
    assert [row[2:5] for row in found] == [
        ["1-[4-chlorophenyl] [bold]acid", "predicate:0", "CHEBI:2"],
        ["aspirin", "predicate:1", "CHEBI:2"],
    ]


def test_self_influence_has_one_table_and_its_own_explanation():
    text = shown(made_result(ranked([3.0, 2.0, 0.5]), test_triples=None))
    found = rows(text, "Training triples of the largest self-influence")
    assert [row[1] for row in found] == ["+3.000", "+2.000", "+0.500"]
    assert " ".join(text.split()).endswith(SELF_MEANING)
    assert "Opponents" not in text


def test_result_tables_fit_into_80_columns():
    text = shown(made_result(ranked([0.5, 0.25, -0.125]), names=NAMES))
    assert max(map(len, text.splitlines())) <= 80


def test_ranks_of_no_influence_have_no_percentile():
    ranks = replace(
        full_result().ranks, influence=np.array([[8.0, 0.0], [3.0, -1.0]]), rank=np.array([[1, 140], [1, 2]])
    )
    console = Console(width=120)
    texts = []
    for test_index in range(2):
        with console.capture() as capture:
            console.print(rank_table(ranks, full_result().labels, test_index))
        texts.append(" ".join(capture.get().split()))
    assert "│ 140 │ no influence │ 0 │" in texts[0]
    assert "│ 1 │ 100.00 │ +8.000 │" in texts[0]
    assert texts[0].endswith(TIES_OF_ZERO)
    assert "o influence" not in texts[1]
