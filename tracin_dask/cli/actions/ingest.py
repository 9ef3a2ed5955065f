"""Carries out `tracin-dask ingest`: ingests, and sums up what was found."""

import shlex
import time

import click
import pyarrow as pa
from dask.utils import format_bytes

from tracin_dask.cli.actions.stage_progress import byte_progress
from tracin_dask.cli.ingest import IngestArguments
from tracin_dask.cli.stopping import keeping
from tracin_dask.places.place import Place
from tracin_dask.places.registry import place_of
from tracin_dask.triples.idmap import Kind
from tracin_dask.triples.ingest import IngestOptions, StageProgress, id_map_path, ingest
from tracin_dask.triples.store import TripleStore


def write_store(options: IngestArguments) -> None:
    """Ingest, and say what came of it and what to do next.

    Raises
    ------
    TracInDaskError
        If a file cannot be read as such, or the store cannot be written.
    """
    start = time.perf_counter()
    with keeping(lambda: f"{options['output']} is as it was before"), byte_progress() as progress:
        store = _ingest(options, progress)
    click.echo(_summary(store, options, time.perf_counter() - start))
    click.echo(f"\nNext: {_next_command(options)}")


def _ingest(options: IngestArguments, progress: StageProgress) -> TripleStore:
    return ingest(
        options["train"],
        options["output"],
        entity_to_id=options["entity_to_id"],
        relation_to_id=options["relation_to_id"],
        options=IngestOptions(
            labels=options["labels"],
            skip_invalid=options["skip_invalid"],
            overwrite=options["overwrite"],
            memory_bytes=options["memory"],
            entity_names=options["entity_names"],
            edge_map=options["edge_map"],
            progress=progress,
        ),
    )


def _next_command(options: IngestArguments) -> str:
    output = options["output"]
    words = ["tracin-dask", "run", "--model-path", "MODEL.pt", "--train", str(output)]
    words += ["--entity-to-id", str(options["entity_to_id"] or id_map_path(output, "entity"))]
    words += ["--relation-to-id", str(options["relation_to_id"] or id_map_path(output, "relation"))]
    return shlex.join([*words, "--test-triple", "HEAD", "RELATION", "TAIL", "--output", "influence.json"])


def _summary(store: TripleStore, options: IngestArguments, seconds: float) -> str:
    info = store.info
    rows = {
        "training triples": f"{info.num_triples:,}",
        "entities": f"{info.num_entities:,}{_named(store.entity_names)}",
        "relations": f"{info.num_relations:,}{_named(store.relation_names)}",
        "distinct heads": f"{info.num_distinct_heads:,}",
        "skipped lines": ", ".join(f"{number:,} × {kind}" for kind, number in sorted(info.skipped.items())) or "none",
        "entity ids": _origin(options["output"], "entity", options["entity_to_id"]),
        "relation ids": _origin(options["output"], "relation", options["relation_to_id"]),
        "size on disk": format_bytes(place_of(store.path).num_bytes()),
        "seconds": f"{seconds:.1f}",
    }
    return "\n".join([store.path, *(f"  {name:<17} {value}" for name, value in rows.items())])


def _named(names: pa.StringArray | None) -> str:
    return "" if names is None else f", {sum(name != '' for name in names.to_pylist()):,} of them with a readable name"


def _origin(output: Place, kind: Kind, given: Place | None) -> str:
    return f"as in {given}" if given else f"made from the data, written to {id_map_path(output, kind)}"
