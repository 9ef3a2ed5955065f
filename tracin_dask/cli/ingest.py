"""`tracin-dask ingest`: a text file of triples in, a sorted store out."""

import shlex
import time
from pathlib import Path
from typing import TypedDict, Unpack

import click
import pyarrow as pa
from dask.utils import format_bytes

from tracin_dask.cli.terminal import ByteSize, byte_progress
from tracin_dask.triples.idmap import Kind
from tracin_dask.triples.ingest import IngestOptions, StageProgress, id_map_path, ingest
from tracin_dask.triples.store import TripleStore

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class IngestArguments(TypedDict):
    """The argument and options of the command, by name."""

    train: Path
    output: Path
    entity_to_id: Path | None
    relation_to_id: Path | None
    labels: bool
    skip_invalid: bool
    entity_names: Path | None
    edge_map: Path | None
    memory: int
    overwrite: bool


@click.command()
@click.argument("train", type=_FILE)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Where to write, e.g. graph.zarr.")
@click.option("--entity-to-id", type=_FILE, help="Lines of `entity label TAB id`. Made from TRAIN if not given.")
@click.option("--relation-to-id", type=_FILE, help="Lines of `relation label TAB id`. Made from TRAIN if not given.")
@click.option("--labels", is_flag=True, help="Take integers in TRAIN as labels, not as ids.")
@click.option("--skip-invalid", is_flag=True, help="Leave out lines that cannot be used, and count them in the store.")
@click.option("--entity-names", type=_FILE, help="Lines of `readable name TAB entity id`, shown in reports.")
@click.option("--edge-map", type=_FILE, help="JSON of predicates and qualifiers to relation labels, shown in reports.")
@click.option("--memory", type=ByteSize(), default="1GiB", show_default=True, help="Memory for sorting; then on disk.")
@click.option("--overwrite", is_flag=True, help="Replace an existing store.")
def command(**options: Unpack[IngestArguments]) -> None:
    """Turn TRAIN, a text file of training triples, into a sorted store that every later command reads.

    TRAIN holds one triple per line, head TAB relation TAB tail, without a header or quotes. A file of nothing but
    integers is taken as ids; anything else as labels, which the two id maps turn into ids. Use the id maps that the
    model was trained with: the ids are the rows of its embeddings.

    A line that is malformed, or names something the id maps do not know, stops the ingest; the message shows the
    first few such lines and how many there are of each kind.

    \b
    Examples:
      tracin-dask ingest train.txt --entity-to-id node_dict.txt --relation-to-id rel_dict.txt -o graph.zarr
      tracin-dask ingest train.txt -o graph.zarr          (makes id maps, and writes them beside graph.zarr)
    """
    start = time.perf_counter()
    with byte_progress() as progress:
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
        "size on disk": format_bytes(sum(file.stat().st_size for file in options["output"].rglob("*"))),
        "seconds": f"{seconds:.1f}",
    }
    return "\n".join([store.path, *(f"  {name:<17} {value}" for name, value in rows.items())])


def _named(names: pa.StringArray | None) -> str:
    return "" if names is None else f", {sum(name != '' for name in names.to_pylist()):,} of them with a readable name"


def _origin(output: Path, kind: Kind, given: Path | None) -> str:
    return f"as in {given}" if given else f"made from the data, written to {id_map_path(output, kind)}"
