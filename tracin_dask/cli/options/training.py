"""The options of a training that commands share: how its triples are read, the sizes of the model, and its settings."""

from typing import TYPE_CHECKING, TypedDict

import click

from tracin_dask.cli.options.numbers import RealNumber, WholeNumber
from tracin_dask.cli.options.shape import ShapeFlags, shape_options
from tracin_dask.cli.options.values import FILE, PykeenDataset
from tracin_dask.places.place import Place

if TYPE_CHECKING:
    from tracin_dask.triples.idmap import MapColumns


class GraphFlags(ShapeFlags):
    """The values of the options that name a graph, by name."""

    train: Place | PykeenDataset
    valid: Place | PykeenDataset | None
    test: Place | PykeenDataset | None
    entity_to_id: Place | None
    relation_to_id: Place | None
    map_columns: "MapColumns | None"
    labels: bool
    ids: bool


class SettingsFlags(TypedDict):
    """The values of the options that say how a model is trained, by name."""

    embedding_dim: int
    embedding_height: int | None
    embedding_width: int | None
    output_channels: int
    kernel_height: int
    kernel_width: int
    input_dropout: float
    feature_map_dropout: float
    output_dropout: float
    num_epochs: int
    batch_size: int
    learning_rate: float
    label_smoothing: float


READING_OPTIONS = (
    click.option(
        "--entity-to-id", type=FILE, help="File with lines of `entity label TAB id`. [default: made from the triples]"
    ),
    click.option(
        "--relation-to-id",
        type=FILE,
        help="File with lines of `relation label TAB id`. [default: made from the triples]",
    ),
    click.option(
        "--map-columns",
        type=click.Choice(["label,id", "id,label"]),
        help="Order of the columns of both id maps, where either column could be the ids.",
    ),
    click.option("--labels", is_flag=True, help="Integers in the triples are labels, not ids."),
    click.option("--ids", is_flag=True, help="Integers in the triples are ids, even where labels are integers, too."),
    *shape_options(click.option, "--train, --valid and --test"),
)
SETTINGS_OPTIONS = (
    click.option(
        "--embedding-dim", type=WholeNumber(), default=200, help="Numbers per entity and relation: height × width."
    ),
    click.option(
        "--embedding-height",
        type=WholeNumber(),
        help="Rows of the image of an embedding. [default: by the dimension, as nearly square as possible: 10 of 200]",
    ),
    click.option(
        "--embedding-width", type=WholeNumber(), help="Columns of that image. [default: dimension / height, 20 of 200]"
    ),
    click.option("--output-channels", type=WholeNumber(), default=32, help="Kernels of the convolution."),
    click.option("--kernel-height", type=WholeNumber(), default=3, help="Rows of a kernel."),
    click.option("--kernel-width", type=WholeNumber(), default=3, help="Columns of a kernel."),
    click.option(
        "--input-dropout", type=RealNumber(below=1.0), default=0.2, help="Fraction of image values dropped in training."
    ),
    click.option(
        "--feature-map-dropout",
        type=RealNumber(below=1.0),
        default=0.2,
        help="Fraction of channels dropped in training.",
    ),
    click.option(
        "--output-dropout",
        type=RealNumber(below=1.0),
        default=0.3,
        help="Fraction of projected values dropped in training.",
    ),
    click.option(
        "--num-epochs",
        type=WholeNumber(),
        default=100,
        help="Total number of passes over the triples; may be raised when resuming.",
    ),
    click.option("--batch-size", type=WholeNumber(2), default=256, help="Triples per optimizer step."),
    click.option(
        "--learning-rate",
        type=RealNumber(above=0.0),
        default=0.001,
        help="Adam's learning rate; recorded in the checkpoints.",
    ),
    click.option(
        "--label-smoothing",
        type=RealNumber(below=1.0),
        default=0.1,
        help="ε: labels are (1 − ε)·onehot + ε / number of entities.",
    ),
)
