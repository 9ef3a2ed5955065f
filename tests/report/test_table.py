"""Tables that a run prints: proponents and opponents of a test triple, with names."""

import numpy as np
import pytest
from rich.console import Console

from tracin_dask.influence.reductions.topk import Ranking, TopK, ranked
from tracin_dask.report.table import SELF_MEANING, SIGNS, influence_tables
from tracin_dask.runs.result import InfluenceResult, Labels
from tracin_dask.triples.ingest import IngestOptions, ingest


@pytest.fixture
def store(tmp_path):
    (tmp_path / "train.txt").write_text("CHEBI:1\tpredicate:0\tMONDO:2\nCHEBI:3\tpredicate:1\tMONDO:2\n")
    return ingest(tmp_path / "train.txt", tmp_path / "graph.zarr")


@pytest.fixture
def named_store(tmp_path):
    (tmp_path / "train.txt").write_text("CHEBI:1\tpredicate:0\tMONDO:2\nCHEBI:3\tpredicate:1\tMONDO:2\n")
    (tmp_path / "names.txt").write_text("1-[4-chlorophenyl] [bold]acid\t0\naspirin\t1\n")
    options = IngestOptions(entity_names=tmp_path / "names.txt")
    return ingest(tmp_path / "train.txt", tmp_path / "named.zarr", options=options)


def side(influence, first_index=0):
    count = len(influence)
    return Ranking(
        test_index=np.zeros(count, np.int64),
        influence=np.array(influence, dtype=np.float64),
        train_index=np.arange(first_index, first_index + count),
        triples=np.resize([[0, 0, 2], [1, 1, 2]], (count, 3)),
    )


def result(store, *, high=(), low=(), is_self=False, contrast_tails=None, **run):
    top = TopK(k=20, highest=side(high), lowest=side(low, first_index=100))
    return InfluenceResult(
        test_triples=None if is_self else np.array([[0, 1, 2]]),
        rankings=(ranked(top, 0, "absolute"),),
        top=top,
        top_k=20,
        learning_rate=0.1,
        run={"rank_by": "absolute", "normalize": "none", "preconditioner": "none", "explain": "loss", "loss": "bce"}
        | run,
        contrast_tails=contrast_tails,
        labels=Labels(store=store),
    )


def shown(given, *, width=80, **options):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(influence_tables(given, **options))
    return capture.get()


def rows(text, title):
    """Return the cells of the rows of the table with a title."""
    lines = text[text.index(title) :].splitlines()[4:]
    until = next(number for number, line in enumerate(lines) if line.startswith("└"))
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines[:until]]


def test_proponents_and_opponents_have_separate_tables(store):
    text = shown(result(store, high=[0.5, 0.25, -0.125], low=[-2.0, -0.125, 0.25]))
    assert rows(text, "Proponents of CHEBI:1 — predicate:1 — MONDO:2") == [
        ["1", "+5.000e-01", "CHEBI:1", "predicate:0", "MONDO:2", "1"],
        ["2", "+2.500e-01", "CHEBI:3", "predicate:1", "MONDO:2", "2"],
    ]
    assert rows(text, "Opponents of CHEBI:1 — predicate:1 — MONDO:2") == [
        ["1", "-2.000e+00", "CHEBI:1", "predicate:0", "MONDO:2", "101"],
        ["2", "-1.250e-01", "CHEBI:3", "predicate:1", "MONDO:2", "102"],
    ]


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
def test_the_meaning_of_sign_and_size_is_printed_below_the_tables(store, run, size):
    assert SIGNS.startswith("> 0 speaks for the prediction, < 0 against")
    assert " ".join(shown(result(store, high=[1.0], **run)).split()).endswith(SIGNS + size)
    assert len(SIGNS + size) <= 80


def test_the_table_title_states_the_contrast_tail_and_the_loss(store):
    asked = result(store, high=[1.0], contrast_tails=np.array([1]), loss="one-to-all")
    title = "Proponents of CHEBI:1 — predicate:1 — MONDO:2"
    assert f"{title}, and not CHEBI:3 (loss one-to-all)" in " ".join(shown(asked).split())
    assert f"{title} ┏" in " ".join(shown(result(store, high=[1.0])).split())


def test_a_table_without_entries_says_none(store):
    text = shown(result(store, high=[1.0], low=[1.0]))
    assert rows(text, "Opponents of") == [["", "none", "", "", "", ""]]
    assert len(rows(text, "Proponents of")) == 1


def test_a_table_has_at_most_the_requested_rows(store):
    given = result(store, high=[6.0, 5.0, 4.0, 3.0], low=[-1.0])
    assert len(rows(shown(given, rows=3), "Proponents of")) == 3


def test_tables_show_names_instead_of_labels_including_brackets(named_store):
    text = shown(result(named_store, high=[0.5, 0.25], low=[-1.0]), width=120)
    assert "Opponents of 1-[4-chlorophenyl] [bold]acid — predicate:1 — MONDO:2" in text
    found = rows(text, "Proponents of")
    assert [row[2:5] for row in found] == [
        ["1-[4-chlorophenyl] [bold]acid", "predicate:0", "MONDO:2"],
        ["aspirin", "predicate:1", "MONDO:2"],
    ]


def test_self_influence_has_one_table_and_its_own_explanation(store):
    text = shown(result(store, high=[3.0, 2.0], low=[0.5], is_self=True))
    found = rows(text, "Training triples of the largest self-influence")
    assert [row[1] for row in found] == ["+3.000e+00", "+2.000e+00", "+5.000e-01"]
    assert " ".join(text.split()).endswith(SELF_MEANING)
    assert "Opponents" not in text


def test_result_tables_fit_into_80_columns(named_store):
    text = shown(result(named_store, high=[0.5, 0.25], low=[-1.0]))
    assert max(map(len, text.splitlines())) <= 80
