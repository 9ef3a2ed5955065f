"""The command `scripts/make_graph` in this process, and a graph that it made; where benchmarks are measured."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click.testing
import pytest
from needs import need_packages

SCRIPTS = Path(__file__).parents[2] / "scripts"
SMALL = {"triples": 10_000, "entities": 1_000, "test_triples": 50, "valid_triples": 10}

sys.path.append(str(SCRIPTS))

MakeGraph = Callable[..., click.testing.Result]


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeGraph:
    """A folder that the command filled."""

    folder: Path

    def triples(self, name: str) -> list[tuple[str, ...]]:
        """Read `train.txt` and its like."""
        return [tuple(line.split("\t")) for line in self.lines(name)]

    def lines(self, name: str) -> list[str]:
        """Read a text file as lines."""
        return (self.folder / name).read_text(encoding="utf-8").splitlines()

    def ids(self, name: str) -> dict[str, int]:
        """Read `node_dict.txt` or `rel_dict.txt`."""
        pairs = [line.split("\t") for line in self.lines(name)]
        return {label: int(number) for label, number in pairs}


@pytest.fixture
def alone(monkeypatch):
    """Measure on the shipped graph; beside other tests, too, where pytest-benchmark would measure nothing."""
    need_packages("pytest_benchmark")
    for name in ("TRACIN_DASK_DATA", "PYTEST_XDIST_WORKER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def make_graph_module() -> ModuleType:
    """Import the script as Python does when it is run: from its file, with its folder on the path."""
    spec = importlib.util.spec_from_file_location("make_graph", SCRIPTS / "make_graph.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make_graph(make_graph_module: ModuleType) -> MakeGraph:
    """Run the command for a small graph, with other options by name; its own errors are raised, to be matched."""

    def make(output: Path, *flags: str, **options: Any) -> click.testing.Result:
        words = [f"--{name.replace('_', '-')}={value}" for name, value in (SMALL | options).items()]
        runner = click.testing.CliRunner()
        result = runner.invoke(make_graph_module.command, [f"--output={output}", *words, *flags])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return make


@pytest.fixture(scope="session")
def small(make_graph: MakeGraph, tmp_path_factory: pytest.TempPathFactory) -> MadeGraph:
    folder = tmp_path_factory.mktemp("synthetic") / "small"
    assert make_graph(folder).exit_code == 0
    return MadeGraph(folder=folder)
