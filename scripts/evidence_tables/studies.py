"""The studies: which graphs, with which trainings and methods, and their tables."""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from evidence_tables.combined import Combined, Key, combined
from evidence_tables.document import markdown

HERE = Path(__file__).parent
SHIPPED = HERE.parents[1] / "tests" / "data"
TRAININGS: Mapping[str, str] = yaml.safe_load((HERE / "trainings.yaml").read_text())
"""Options of the training by graph."""
SMALL_GRAPH = "nations"


Columns = tuple[tuple[str, str], ...]
"""Conditions and measures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A command of `tracin-dask validate` that is given for several graphs and seeds.

    Attributes
    ----------
    graphs
        Options of the study by graph.
    small
        Options of a small version, which is of the graph `SMALL_GRAPH` alone, with one seed.
    tables
        Conditions and measures that each of its tables shows.
    """

    name: str
    help: str
    graphs: Mapping[str, str]
    small: str
    seeds: tuple[int, ...]
    tables: tuple[Columns, ...]

    def methods(self, graph: str) -> Path:
        """Find the file of its methods: that of a graph, or else that of all."""
        of_graph = HERE / f"{self.name}-{graph}.yaml"
        return of_graph if of_graph.is_file() else HERE / f"{self.name}.yaml"


STUDIES = {
    study.name: study
    for study in (
        Study(
            name="lds",
            help="Rank correlation with models of random halves (LDS): four graphs, three seeds; an hour on two cores.",
            graphs={
                "umls": "--num-subsets 24 --models-per-subset 3 --num-tests 80",
                "kinships": "--num-subsets 24 --models-per-subset 3 --num-tests 80",
                "codex-s": "--num-subsets 24 --models-per-subset 2 --num-tests 80",
                "hetionet-lite": "--num-subsets 16 --num-tests 75 --num-repeated 4",
            },
            small="--num-subsets 16 --num-tests 40 --num-repeated 4 --repeats 2",
            seeds=(1, 2, 3),
            tables=((("", "margin"),), (("", "margin of one model"),)),
        ),
        Study(
            name="deletion",
            help="Deletion of the strongest proponents: two graphs, five trainings each; a quarter of an hour.",
            graphs=dict.fromkeys(("umls", "kinships"), "--num-tests 100 --top-k 1,3 --num-seeds 5"),
            small="--num-tests 40 --top-k 1,3 --num-seeds 2",
            seeds=(1,),
            tables=((("k = 1", "fall of MRR"), ("k = 3", "fall of MRR"), ("k = 3", "fall of margin")),),
        ),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where graphs lie, and where results go."""

    data: Path
    output: Path

    def graph(self, name: str) -> Path:
        """Find the folder of a graph.

        Raises
        ------
        click.UsageError
            If there is none.
        """
        for folder in (self.data, SHIPPED):
            if (folder / name / "train.txt").is_file():
                return folder / name
        raise click.UsageError(f"{self.data} has no folder {name} with train.txt, valid.txt and test.txt; see --data")


def graphs_of(study: Study, wanted: Sequence[str]) -> Mapping[str, str]:
    """Choose graphs of a study.

    Raises
    ------
    click.UsageError
        If the study has no graph of a name.
    """
    unknown = [name for name in wanted if name not in study.graphs]
    if unknown:
        raise click.UsageError(f"{study.name} has no graph {unknown[0]}; it has {', '.join(study.graphs)}")
    return {name: options for name, options in study.graphs.items() if not wanted or name in wanted}


def study_table(study: Study, graphs: Mapping[str, str], place: Place, seeds: Sequence[int]) -> str:
    """Carry out a study on graphs with seeds, and put the means over the seeds side by side."""
    found = {}
    for graph, options in graphs.items():
        folders = [place.output / f"{graph}-{seed}" for seed in seeds]
        for folder, seed in zip(folders, seeds, strict=True):
            validate(study, place.graph(graph), f"{TRAININGS[graph]} {options}", folder, seed)
        found[graph] = (combined(folders), [quality_of(folder) for folder in folders])
    tables = [side_by_side(columns, found) for columns in study.tables]
    return "\n\n".join(markdown(header, rows) for header, rows in tables if len(header) > 1)


def validate(study: Study, graph: Path, options: str, folder: Path, seed: int, *, methods: Path | None = None) -> None:
    """Run a study on a graph with a seed, and write its output to a log file next to its folder.

    Raises
    ------
    click.ClickException
        If it fails, with what it printed.
    """
    methods = methods or study.methods(graph.name)
    files = [word for name in ("train", "valid", "test") for word in (f"--{name}", str(graph / f"{name}.txt"))]
    words = ["validate", study.name, *files, "-o", str(folder), "--methods", str(methods)]
    words += [*shlex.split(options), "--seed", str(seed)]
    click.echo(f"$ {shlex.join(['tracin-dask', *words])}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    log, start = folder.with_suffix(".txt"), time.perf_counter()
    with log.open("w") as output:
        done = subprocess.run(
            [sys.executable, "-m", "tracin_dask", *words], stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        raise click.ClickException(log.read_text())
    click.echo(f"{time.perf_counter() - start:,.0f} s")


def quality_of(folder: Path) -> float:
    """Give the MRR of the explained models, as the summary states it."""
    about: Mapping[str, Any] = json.loads((folder / "summary.json").read_text())
    stated = about.get("models of all training triples") or about["explained model"]
    return float(stated["MRR"])


def side_by_side(
    columns: Columns, found: Mapping[str, tuple[Mapping[Key, Combined], Sequence[float]]]
) -> tuple[list[str], list[list[str]]]:
    """Make a column for each graph and measure, where there are such numbers, and a row for each method."""
    places = [
        (graph, condition, measure)
        for graph, (numbers, _) in found.items()
        for condition, measure in columns
        if any(key[1:] == (condition, measure) for key in numbers)
    ]
    header = ["method", *(", ".join(filter(None, place)) for place in places)]
    methods = dict.fromkeys(method for numbers, _ in found.values() for method, _, _ in numbers)
    rows = [
        [method, *(str(found[graph][0].get((method, condition, measure), "")) for graph, condition, measure in places)]
        for method in methods
    ]
    quality = {graph: f"{sum(values) / len(values):.2f}" for graph, (_, values) in found.items()}
    rows.append(["filtered MRR of the explained models", *(quality[graph] for graph, _, _ in places)])
    return header, [row for row in rows if any(row[1:])]
