"""The options that name the training triples, the id maps and readable names."""

from typing import TYPE_CHECKING

import click

from tracin_dask.cli.options.sections import option_of
from tracin_dask.cli.options.shape import ShapeFlags, shape_options
from tracin_dask.cli.options.values import ANY_PLACE, FILE, PykeenDataset, TrainingTriples
from tracin_dask.places.place import Place

if TYPE_CHECKING:
    from tracin_dask.triples.idmap import MapColumns

option = option_of("Data")


class DataFlags(ShapeFlags):
    """The values of these options, by name."""

    train: Place | PykeenDataset
    entity_to_id: Place | None
    relation_to_id: Place | None
    map_columns: "MapColumns | None"
    labels: bool
    ids: bool
    skip_invalid: bool
    entity_names: Place | None
    edge_map: Place | None
    cache_dir: Place | None


DATA_OPTIONS = (
    option(
        "--train",
        type=TrainingTriples(exists=True),
        required=True,
        help="Training triples: a store made by `ingest` (.zarr); or a text file, a folder training_triples of PyKEEN, "
        "or pykeen:DATASET (pykeen:DATASET+inverses), which are ingested first and cached.",
    ),
    option("--entity-to-id", type=FILE, help="File with lines of `entity label TAB id`, as in training."),
    option("--relation-to-id", type=FILE, help="File with lines of `relation label TAB id`, as in training."),
    option(
        "--map-columns",
        type=click.Choice(["label,id", "id,label"]),
        help="Order of the columns of both id maps, where either column could be the ids.",
    ),
    option("--labels", is_flag=True, help="Integers in triples are labels, not ids."),
    option("--ids", is_flag=True, help="Integers in triples are ids, even where labels are integers, too."),
    *shape_options(option, "text files of triples (--train, --test)"),
    option(
        "--skip-invalid",
        is_flag=True,
        help="Skip and count lines that cannot be used, in text files of triples, of test triples and of groups.",
    ),
    option(
        "--entity-names",
        type=FILE,
        help="File of readable names, with the id or the label of each; only with a text file as --train.",
    ),
    option("--edge-map", type=FILE, help="JSON of readable relations; only with a text file as --train."),
    option("--cache-dir", type=ANY_PLACE, help="Folder for ingested text files. [default: ~/.cache/tracin-dask]"),
)
