"""`tracin-dask ingest`: a text file of triples in, a sorted store out."""

from pathlib import Path
from typing import TypedDict, Unpack

import click

from tracin_dask.cli.options.values import FILE, ByteSize


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


@click.command(no_args_is_help=True)
@click.argument("train", type=FILE)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Where to write, e.g. graph.zarr.")
@click.option("--entity-to-id", type=FILE, help="Lines of `entity label TAB id`. Made from TRAIN if not given.")
@click.option("--relation-to-id", type=FILE, help="Lines of `relation label TAB id`. Made from TRAIN if not given.")
@click.option("--labels", is_flag=True, help="Take integers in TRAIN as labels, not as ids.")
@click.option("--skip-invalid", is_flag=True, help="Leave out lines that cannot be used, and count them in the store.")
@click.option("--entity-names", type=FILE, help="Lines of `readable name TAB entity id`, shown in reports.")
@click.option("--edge-map", type=FILE, help="JSON of predicates and qualifiers to relation labels, shown in reports.")
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
    from tracin_dask.cli.actions.ingest import write_store  # noqa: PLC0415 - Zarr is slow to import

    write_store(options)
