"""Every command of the page about validation runs, on a small graph and with small numbers."""

import shlex

import pytest
from click.testing import CliRunner
from pages import ROOT, blocks, commands

from tracin_dask.cli.main import group
from tracin_dask.validation.methods import read_methods

PAGE = ROOT / "docs" / "validation.md"
COMMANDS = list(commands(PAGE))
SMALL = {
    "": "--embedding-dim 12 --embedding-height 4 --embedding-width 3 --output-channels 2 --batch-size 16 "
    "--num-epochs 60 --learning-rate 0.02 --workers 1 --threads-per-worker 1 --device cpu",
    "lds": "--num-subsets 3 --num-repeated 2 --models-per-subset 1 --num-tests 3",
    "deletion": "--num-seeds 1 --num-tests 2",
    "mislabel": "--num-graphs 1 --top-k 3",
    "stability": "--num-seeds 2 --num-tests 2 --top-k 3",
    "replay": "--num-subsets 3 --num-repeated 2 --num-tests 2 --num-epochs 4",
}
"""Options that come last count."""


@pytest.fixture
def small_graph(tmp_path, monkeypatch):
    """Change to a folder with the files that the page names; the model learns the test triples."""
    lines = [f"D:{i}\ttreats\tM:{(i + k) % 8}" for i in range(8) for k in range(2)]
    lines += [f"D:{i}\tinteracts\tD:{(i + k) % 8}" for i in range(8) for k in (1, 2)]
    (tmp_path / "train.txt").write_text("\n".join(lines) + "\n")
    for name in ("valid.txt", "test.txt"):
        (tmp_path / name).write_text("\n".join(lines[:8]) + "\n")
    for name in ("kelpie_facts.tsv", "criage_facts.tsv"):
        (tmp_path / name).write_text("\n".join(f"{test}\t{lines[16]}" for test in lines[:8]) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "line", [pytest.param(line, id=f"{number}: {line[:40]}") for number, line in enumerate(COMMANDS)]
)
def test_a_command_of_the_page_about_validation_runs(line, small_graph):
    words = shlex.split(line)[1:]
    only = [] if "--only" in words else ["--only", "plain"]
    result = CliRunner().invoke(group, [*words, *SMALL[""].split(), *SMALL[words[1]].split(), *only])
    if result.exception:
        raise result.exception
    folder = words[words.index("-o") + 1]
    assert (small_graph / folder / "table.parquet").is_file()
    assert (small_graph / folder / "plot.html").is_file()


def test_every_study_has_a_command_on_the_page():
    assert {line.split()[2] for line in COMMANDS} == set(SMALL) - {""}


def test_the_methods_of_the_page_are_read(tmp_path):
    (example,) = blocks(PAGE.read_text(), "yaml")
    (tmp_path / "methods.yaml").write_text(example)
    assert len(read_methods(tmp_path / "methods.yaml")) == 7
