"""`tracin-dask ingest`: makes a sorted store from a text file of triples."""

from typing import TYPE_CHECKING, Unpack

import click

from tracin_dask.cli.options.numbers import WholeNumber
from tracin_dask.cli.options.sections import with_options
from tracin_dask.cli.options.shape import ShapeFlags, shape_options
from tracin_dask.cli.options.talk import TALK_OPTIONS
from tracin_dask.cli.options.targets import TARGET
from tracin_dask.cli.options.values import FILE, ByteSize, PykeenDataset, TrainingTriples
from tracin_dask.limits import MOST_WORKERS
from tracin_dask.places.place import Place

if TYPE_CHECKING:
    from tracin_dask.triples.idmap import MapColumns


class IngestArguments(ShapeFlags):
    """The argument and options of the command, by name."""

    train: Place | PykeenDataset
    output: Place
    entity_to_id: Place | None
    relation_to_id: Place | None
    map_columns: "MapColumns | None"
    labels: bool
    ids: bool
    skip_invalid: bool
    entity_names: Place | None
    edge_map: Place | None
    memory: int
    cluster: str | None
    workers: int | None
    memory_per_worker: int | None
    scratch: Place | None
    overwrite: bool


@click.command(no_args_is_help=True)
@click.argument("train", type=TrainingTriples(exists=True))
@click.option("-o", "--output", type=TARGET, required=True, help="The store to write, e.g. graph.zarr.")
@click.option("--entity-to-id", type=FILE, help="File with lines of `entity label TAB id`. [default: made from TRAIN]")
@click.option(
    "--relation-to-id",
    type=FILE,
    help="File with lines of `relation label TAB id`. [default: made from TRAIN]",
)
@click.option(
    "--map-columns",
    type=click.Choice(["label,id", "id,label"]),
    help="Order of the columns of both id maps, where either column could be the ids.",
)
@click.option("--labels", is_flag=True, help="Integers in TRAIN are labels, not ids.")
@click.option("--ids", is_flag=True, help="Integers in TRAIN are ids, even where labels are integers, too.")
@with_options(*shape_options(click.option, "TRAIN"))
@click.option("--skip-invalid", is_flag=True, help="Skip lines that cannot be used, and count them in the store.")
@click.option("--entity-names", type=FILE, help="File of readable names, with the id or label of each.")
@click.option("--edge-map", type=FILE, help="JSON of predicates and qualifiers to relation labels, for reports.")
@click.option(
    "--memory",
    type=ByteSize(),
    default="1GiB",
    show_default=True,
    help="Memory for sorting; larger graphs are sorted on disk. With --cluster: of each worker, at most half of it.",
)
@click.option(
    "--cluster",
    metavar="WHERE",
    help="Let workers read, sort and write: auto or local (this machine); a file (.yaml, see `tracin-dask cluster "
    "init`); tcp://HOST:PORT; or a scheduler file (.json). All must see TRAIN and the store. [default: this process]",
)
@click.option("--workers", type=WholeNumber(most=MOST_WORKERS), help="With --cluster: workers on this machine.")
@click.option("--memory-per-worker", type=ByteSize(), help="With --cluster: memory of each worker, e.g. 4GiB.")
@click.option(
    "--scratch",
    type=TARGET,
    help="With --cluster: folder for sorted rows that all workers share, 16 bytes per triple. [default: the store's]",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing store.")
@with_options(*TALK_OPTIONS)
def command(**options: Unpack[IngestArguments]) -> None:
    """Make a sorted store from TRAIN, a text file of training triples. All other commands read the store.

    TRAIN has one triple per line, head TAB relation TAB tail, unless --columns, --delimiter or --header say otherwise.
    JSON lines, Parquet, and files compressed by gzip, bzip2, xz or zstd are recognised; `-` is standard input. If the
    file has only integers, they are ids; otherwise the columns are labels, and the two id maps give their ids. Where
    labels of the maps are integers, too, --labels or --ids says which they are. Use the id maps that the model was
    trained with: ids are the rows of its embeddings.

    TRAIN may also be a folder training_triples that PyKEEN wrote, or pykeen:DATASET, a dataset of PyKEEN;
    pykeen:DATASET+inverses adds its inverse triples. They have id maps of their own.

    With --cluster, each worker reads a part of TRAIN, and all write the same store as one process would, bit for bit.
    A compressed file is read by one of them.

    A malformed line, or a label that is not in the id maps, stops the command. The message shows the first few such
    lines and their number by kind.

    \b
    Examples:
      tracin-dask ingest train.txt --entity-to-id node_dict.txt --relation-to-id rel_dict.txt -o graph.zarr
      tracin-dask ingest train.txt -o graph.zarr          # makes id maps next to graph.zarr
      tracin-dask ingest kg.csv --columns x_index,relation,y_index --delimiter , -o graph.zarr
      tracin-dask ingest /shared/train.txt --cluster slurm.yaml --memory 4GiB -o /shared/graph.zarr
    """
    from tracin_dask.cli.actions.ingest import write_store  # noqa: PLC0415 - Zarr is slow to import

    write_store(options)
