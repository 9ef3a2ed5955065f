"""The options that name the training triples, the id maps and readable names."""

from tracin_dask.cli.options.graph_data import ID_OPTIONS, NamedGraphFlags, option
from tracin_dask.cli.options.shape import shape_options
from tracin_dask.cli.options.values import ANY_PLACE, FILE, TrainingTriples
from tracin_dask.places.place import Place


class DataFlags(NamedGraphFlags):
    """The values of these options, by name."""

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
    *ID_OPTIONS,
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
