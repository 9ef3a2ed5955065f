"""A page says how its numbers were made, and gives a command that makes them again."""

import shlex

import click
import numpy as np
import pytest
from made_page import RUN, checkpoints, read, two_answers
from made_results import made_result, ranked

from tracin_dask import write_pages
from tracin_dask.cli.main import group
from tracin_dask.report.page.numbers import Scale
from tracin_dask.report.page.origin import command_of


def options_of(command):
    """Parse a command as the command line does."""
    program, name, *words = shlex.split(command)
    assert (program, name) == ("tracin-dask", "run")
    run = group.get_command(click.Context(group), "run")
    return run.make_context("run", words, resilient_parsing=False).params


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Make the files that the command names."""
    monkeypatch.chdir(tmp_path)
    for name in ("model_0.pt", "model_1.pt", "model.pt"):
        (tmp_path / name).touch()
    (tmp_path / "graph.zarr").mkdir()


@pytest.mark.usefixtures("files")
def test_the_command_states_model_question_and_options():
    options = options_of(command_of(two_answers(run=RUN | {"checkpoints": checkpoints(2), "rank_by": "opponents"}), 1))
    assert [str(place) for places in options["model_path"] for place in places] == ["model_0.pt", "model_1.pt"]
    assert options["test_triple"] == (("CHEBI:3", "predicate:0", "CHEBI:5"),)
    assert options["learning_rate"] == (0.1, 0.1)
    expected = {"preset": "retraining", "curvature": "rows", "damping": 3.0, "top_k": 20, "rank_by": "opponents"}
    assert expected.items() <= options.items()


@pytest.mark.usefixtures("files")
def test_the_command_of_a_contrast_and_of_self_influence_say_so():
    options = options_of(command_of(two_answers(contrast_tails=np.array([6, 6])), 0))
    assert options["contrast"] == ("CHEBI:6",)
    result = made_result(ranked([0.5]), test_triples=None, run=RUN | {"mode": "self"})
    assert options_of(command_of(result, 0))["mode"] == "self"


@pytest.mark.parametrize(
    "change",
    [
        {"model": "RotatE(dim=16)"},
        {"loss": "margin"},
        {"preconditioner": "mean square"},
        {"masks": {"mine": "abc"}},
        {"masks": {"candidates": {"num_training_triples": 3}}},
    ],
)
def test_a_run_that_no_command_line_makes_has_no_command(tmp_path, change):
    result = two_answers(run=RUN | change)
    assert command_of(result, 0) == ""
    assert "A command that makes this answer again" not in read(write_pages(result, tmp_path)[0]).shown


def test_metadata_are_shown_with_hashes_and_seconds(tmp_path):
    shown = read(write_pages(two_answers(), tmp_path)[0]).shown
    for words in ("tracin-dask 0.0", "Seconds 1.5", "f" * 64, "0" * 64, "Damping 3.0", '"schema_version": 4'):
        assert words in shown, words


@pytest.mark.parametrize(
    ("values", "texts", "unit"),
    [
        ([43.6598, -0.5], ["+43.66", "−0.50"], ""),
        ([0.0123], ["+0.01230"], ""),
        ([2.5e-8, 1e-9], ["+25.00", "+1.00"], "×10⁻⁹"),
        ([3.2e7], ["+32.00"], "×10⁶"),
        ([0.0], ["0"], ""),
        ([float("nan"), 1.0], ["not finite", "+1.000"], ""),
    ],
)
def test_a_list_is_written_in_plain_decimals_of_one_unit(values, texts, unit):
    scale = Scale.of(values)
    assert [scale.signed(value) for value in values] == texts
    assert scale.unit == unit
