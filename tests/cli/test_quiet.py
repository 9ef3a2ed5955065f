"""What a command prints: paths and errors under --quiet, the log from a level on, tables as wide as they may be."""

import io
import logging
import sys

import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.progress import TextColumn

from tracin_dask.cli import terminal
from tracin_dask.cli.main import group
from tracin_dask.cli.say import say
from tracin_dask.errors import ConfigError


@pytest.fixture
def words(project):
    return [*project.options(), "--test-triple", *project.test_ids]


def test_a_quiet_run_prints_the_paths_that_it_writes_and_nothing_else(tool, words, tmp_path):
    files = [tmp_path / "a.json", tmp_path / "a.csv"]
    outputs = [word for path in files for word in ("--output", path)]
    scores = ["--save-scores", tmp_path / "scores.zarr"]
    result = tool("run", *words, *outputs, *scores, "--quiet")
    assert result.output.splitlines() == [*map(str, files), str(tmp_path / "scores.zarr")]


def test_a_quiet_run_still_fails_with_its_message(tool, words, tmp_path):
    with pytest.raises(ConfigError, match="is not among the"):
        tool("run", *words[:-3], "CHEBI:0", "predicate:0", "none", "--output", tmp_path / "a.json", "--quiet")


def test_a_quiet_ingest_prints_the_store_and_the_id_maps_that_it_made(tool, project, tmp_path):
    result = tool("ingest", project.folder / "train.txt", "-o", tmp_path / "g.zarr", "-q")
    maps = [str(tmp_path / f"g.{kind}_to_id.tsv") for kind in ("entity", "relation")]
    assert result.output.splitlines() == [str(tmp_path / "g.zarr"), *maps]


def test_quiet_commands_on_a_result_print_the_paths_that_they_write(tool, words, project, tmp_path):
    why, paths, truth = tmp_path / "why.json", tmp_path / "paths.csv", tmp_path / "truth.txt"
    tool("run", *words, "--output", why, "--quiet")
    truth.write_text("\t".join(project.test_ids) + "\n")
    assert tool("paths", why, "--output", paths, "--quiet").output == f"{paths}\n"
    pages = tool("report", why, "--html", "--csv", "--quiet").output.splitlines()
    assert pages == [str(tmp_path / "why-report" / name) for name in ("index.html", "batch_tracin_summary.json")]
    found = tool("evaluate", why, "--truth", truth, "--permutations", 20, "--quiet").output.splitlines()
    assert f"{tmp_path / 'why.evaluation' / 'evaluation.json'}" in found
    assert all(line.startswith(str(tmp_path)) for line in found)


def test_a_quiet_split_and_a_quiet_convert_print_what_they_write(tool, project, tmp_path):
    parts, other = tmp_path / "parts", tmp_path / "other.pt"
    assert tool("split", project.folder / "train.txt", "-o", parts, "-q").output == f"{parts}\n"
    model = project.folder / "model.pt"
    assert tool("convert", "--input", model, "--to", "pykeen", "--output", other, "-q").output == f"{other}\n"


def test_quiet_ends_with_its_command(tool, words, tmp_path):
    tool("run", *words, "--output", tmp_path / "a.json", "--quiet")
    assert "influence" in tool("run", *words, "--output", tmp_path / "a.json").stdout


@pytest.fixture
def said(monkeypatch):
    """Catch what the log prints, in a run that ends after one record."""
    found = []

    def prepared(*_):
        logging.getLogger("tracin_dask.runs").info("seen \x1b[31m")
        raise ConfigError("enough")

    monkeypatch.setattr("tracin_dask.cli.actions.run.prepared_run", prepared)
    monkeypatch.setattr("tracin_dask.cli.options.talk.say", lambda text, **_: found.append(text))
    return found


@pytest.mark.parametrize(("given", "shown"), [("--log-level=info", True), ("--log-level=error", False), ("-q", False)])
def test_the_log_is_printed_from_the_level_that_is_given(tool, words, said, given, shown):
    with pytest.raises(ConfigError, match="enough"):
        tool("run", *words, "--output", "a.json", given)
    assert said == (["INFO tracin_dask.runs: seen \x1b[31m"] if shown else [])
    assert logging.getLogger("tracin_dask").level == logging.NOTSET


def test_messages_are_printed_above_a_progress_bar_and_standard_output_is_left_alone(monkeypatch, capsys):
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "Console", lambda **_: Console(file=screen, force_terminal=True, width=80))
    with terminal.bars(TextColumn("{task.description}")) as progress:
        progress.add_task("scoring", total=10)
        before = sys.stdout
        say("a message \x1b[2J", err=True)
        say("a line of the result")
        assert sys.stdout is before
    text = screen.getvalue()
    assert "a message \\x1b[2J\n" in text
    assert "scoringa message" not in text
    assert capsys.readouterr().out == "a line of the result\n"
    say("after the bar", err=True)
    assert capsys.readouterr().err == "after the bar\n"


@pytest.mark.parametrize(("columns", "width"), [("", 80), ("120", 120), ("many", 80), ("0", 80)])
def test_tables_in_a_pipe_are_as_wide_as_columns_says(monkeypatch, capsys, columns, width):
    monkeypatch.setenv("COLUMNS", columns)
    terminal.show("word " * 60)
    lines = capsys.readouterr().out.splitlines()
    assert width - 5 <= max(map(len, lines)) <= width


def test_a_command_that_is_refused_leaves_the_log_as_it_was():
    log = logging.getLogger("tracin_dask")
    before = (log.level, log.handlers[:])
    assert CliRunner().invoke(group, ["run", "--quiet", "--log-level", "debug", "--top-k", "none"]).exit_code == 2
    assert (log.level, log.handlers) == before
