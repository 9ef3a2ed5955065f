"""What the methods of other libraries are worth: their scores of the study's model, in the study beside ours."""

import shlex
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import click
import numpy as np
import yaml
from bench_peers.environments import interpreter
from bench_peers.methods import METHODS
from bench_peers.methods.ask import ask
from bench_peers.process import PeerError

from evidence_tables.combined import combined
from evidence_tables.document import markdown
from evidence_tables.studies import HERE, SMALL_GRAPH, STUDIES, TRAININGS, Place, quality_of, side_by_side, validate
from tracin_dask import load_checkpoint

GRAPH = "umls"
OURS = HERE / "peers.yaml"
COLUMNS = (("", "margin"), ("", "margin of one model"))
THEIRS = "peers"
"""The folder of their scores in a study's folder."""


def peers_table(place: Place, seeds: Sequence[int], wanted: Sequence[str], *, is_small: bool = False) -> str:
    """Train, let each method explain the first model, and correlate with the models of subsets.

    Raises
    ------
    click.ClickException
        If a library is not installed, or fails.
    """
    study, graph = STUDIES["lds"], SMALL_GRAPH if is_small else GRAPH
    options = f"{TRAININGS[graph]} {study.small if is_small else study.graphs[graph]}"
    folders = [place.output / f"{graph}-{seed}" for seed in seeds]
    for folder, seed in zip(folders, seeds, strict=True):
        if not (folder / "explained.npz").is_file():
            validate(study, place.graph(graph), options, folder, seed, methods=OURS)
        methods = _with_theirs(folder, wanted, _label_smoothing(TRAININGS[graph]))
        validate(study, place.graph(graph), options, folder, seed, methods=methods)
    header, rows = side_by_side(COLUMNS, {graph: (combined(folders), [quality_of(folder) for folder in folders])})
    return markdown(header, rows)


def _label_smoothing(options: str) -> float:
    words = shlex.split(options)
    return float(words[words.index("--label-smoothing") + 1])


def _with_theirs(folder: Path, wanted: Sequence[str], label_smoothing: float) -> Path:
    """Write the file of our methods, and of theirs with the files of their scores."""
    theirs = {
        label: {"scores": path.relative_to(folder.absolute()).as_posix()}
        for label, path in _scores(folder, wanted, label_smoothing)
    }
    methods = folder.with_suffix(".yaml")
    both = {**yaml.safe_load(OURS.read_text()), **theirs}
    methods.write_text(yaml.safe_dump(both, sort_keys=False, allow_unicode=True))
    return methods


def _scores(folder: Path, wanted: Sequence[str], label_smoothing: float) -> Iterator[tuple[str, Path]]:
    """Ask the methods whose names have one of the wanted words, library by library."""
    with np.load(folder / "explained.npz") as question:
        train, test, names = (question[name] for name in ("training_triples", "test_triples", "checkpoints"))
    checkpoints = [load_checkpoint(folder / name).model for name in names]
    chosen = [name for name in METHODS if not wanted or any(word in name for word in wanted)]
    for python, some in groupby(chosen, key=lambda name: interpreter(METHODS[name].requirement)):
        click.echo(f"methods of {python}")
        try:
            found = ask(
                list(some),
                checkpoints,
                train=train,
                test=test,
                label_smoothing=label_smoothing,
                into=folder.absolute() / THEIRS,
            )
        except PeerError as error:
            raise click.ClickException(str(error)) from error
        yield from found.items()
