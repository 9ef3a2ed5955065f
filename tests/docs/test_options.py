"""Options of the command line and the docs agree: every option is documented, every documented option exists."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from help_texts import HELP_EXAMPLES, all_commands
from pages import PAGES, ROOT, commands, name_of

from tracin_dask.cli.main import group
from tracin_dask.cli.options.values import GroupBy, ModelFiles, PlaceType
from tracin_dask.places.registry import place_of

NOT_OURS = {"--help", "--version", "--nthreads", "--preload", "--scheduler-file", "--no-deps"} | {
    *("--snakefile", "--configfile", "--cores", "--triples", "--task-rows", "--triples-per-second"),
    *("--tests", "--files"),
    *("--format", "--in", "--skip"),  # --inMemoryPersistence and --skipApiVersionCheck, up to their capitals
}
"""Options of click, dask, pip, Snakemake, aws and azurite, and of scripts/simulate_cluster."""
OF_SCRIPTS = ("benchmarks.md", "development.md", "evidence.md", "peers.md", "synthetic-graphs.md")
"""Pages about scripts, whose options are none of the command's."""


def spellings(command: click.Command) -> Iterator[list[str]]:
    """Yield the spellings of each long option: --cache-test-gradients, --no-cache-test-gradients."""
    for parameter in command.params:
        names = [name for name in (*parameter.opts, *parameter.secondary_opts) if name.startswith("--")]
        if names and not getattr(parameter, "hidden", False):
            yield names


def options_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text))


@pytest.mark.parametrize(("name", "command"), [pytest.param(*found, id=found[0]) for found in all_commands()])
def test_every_option_of_a_command_is_documented(name, command):
    documented = options_in("".join(page.read_text() for page in PAGES))
    missing = [names for names in spellings(command) if documented.isdisjoint(names)]
    assert missing == [], f"docs/ does not mention these options of `{name}`"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in OF_SCRIPTS], ids=name_of)
def test_every_option_that_a_page_names_exists(page):
    known = {name for _, command in all_commands() for names in spellings(command) for name in names}
    assert options_in(page.read_text()) - known - NOT_OURS == set()


EXAMPLES = {name_of(page): list(commands(page)) for page in PAGES} | HELP_EXAMPLES


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(line, id=f"{name} {number}: {line[:60]}")
        for name, lines in EXAMPLES.items()
        for number, line in enumerate(lines, start=1)
    ],
)
def test_documented_commands_parse(line, monkeypatch):
    _take_files_as_they_are_named(monkeypatch)
    words = shlex.split(line, comments=True)[1:]
    is_cut = "..." in words
    _parse(group, [word for word in words if word != "..."], is_cut=is_cut)


def _take_files_as_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let options of files take any name: the examples name files that only their reader has."""

    def convert(self: click.ParamType, value: str, *_: object) -> object:
        return [Path(value)] if isinstance(self, ModelFiles) else Path(value)

    for kind in (click.Path, ModelFiles, GroupBy):
        monkeypatch.setattr(kind, "convert", convert)
    monkeypatch.setattr(PlaceType, "convert", lambda _self, value, *_: place_of(value))


def _parse(command: click.Command, words: list[str], *, is_cut: bool) -> None:
    """Parse a command line down to its subcommand; `is_cut`: required options may be missing."""
    if isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"there is no command {words[0]}"
        _parse(found, words[1:], is_cut=is_cut)
        return
    if is_cut and not words:
        return
    try:
        context = command.make_context("documented", list(words))
    except click.MissingParameter:
        assert is_cut, "a required option is missing, and the example has no ..."
        return
    context.close()
    if "words" in context.params:  # the options of `run` that `submit` takes
        _parse(group, ["run", *context.params["words"]], is_cut=is_cut)


def test_the_scripts_that_the_readme_names_exist_and_can_be_run():
    named = re.findall(r"^\./(scripts/\w+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert named == ["scripts/quickstart", "scripts/test"]
    assert all((ROOT / name).stat().st_mode & 0o100 for name in named)
