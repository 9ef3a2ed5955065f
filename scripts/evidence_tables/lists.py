"""How specific the lists of many test triples are, by options of `tracin-dask run`."""

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from evidence_tables.document import markdown
from evidence_tables.studies import TRAININGS, Place

GRAPH = "hetionet-lite"
OPTIONS = (
    "--preset tracin",
    "--normalize cosine",
    "--parameters 'entity_embeddings.*'",
    "--use-last-layers-only",
    "--preset retraining",
)


def lists_table(place: Place) -> str:
    """Train a model, explain all test triples with each of the options, and tell how specific the lists are."""
    graph, model = place.graph(GRAPH), place.output / "model"
    maps = ["--entity-to-id", str(graph / "node_dict.txt"), "--relation-to-id", str(graph / "rel_dict.txt")]
    train = ["--train", str(graph / "train.txt"), *maps]
    if not (model / "final_model.pt").is_file():
        _tool("train", *train, *shlex.split(TRAININGS[GRAPH]), "--output-dir", str(model))
    explained = ["--model-path", str(model / "final_model.pt"), "--test", str(graph / "test.txt"), "--top-k", "10"]
    rows = []
    for options in OPTIONS:
        folder = place.output / "-".join(shlex.split(options)).strip("-").replace("*", "all")
        _tool("run", *train, *explained, *shlex.split(options), "--output-dir", str(folder), "--overwrite")
        rows.append([f"`{options}`", *_cells(json.loads((folder / "summary.json").read_text())["specificity"])])
    header = [
        "options",
        "different training triples in all places",
        "places with an entity of their test triple",
        "places that two lists share",
    ]
    return markdown(header, rows)


def _tool(*words: str) -> None:
    click.echo(f"$ {shlex.join(['tracin-dask', *words])}")
    done = subprocess.run([sys.executable, "-m", "tracin_dask", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(done.stdout + done.stderr)


def _cells(found: Mapping[str, Any]) -> Sequence[str]:
    return [f"{found['distinct']} in {found['places']}", f"{found['touching']:.0%}", f"{found['shared']:.0%}"]
