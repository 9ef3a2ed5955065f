"""`tracin-dask train`: trains a ConvE."""

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from tracin_dask.cli.options.numbers import RealNumber, WholeNumber
from tracin_dask.cli.options.sections import with_options
from tracin_dask.cli.options.shape import ShapeFlags, shape_options
from tracin_dask.cli.options.values import FILE, LOCAL_FILE, PykeenDataset, TrainingTriples
from tracin_dask.limits import MOST_WORKERS
from tracin_dask.places.place import Place
from tracin_dask.seed import MOST_SEED

if TYPE_CHECKING:
    from tracin_dask.triples.idmap import MapColumns

FOLDER = click.Path(file_okay=False, path_type=Path)


class TrainFlags(ShapeFlags):
    """The options of the command, by name."""

    train: Place | PykeenDataset
    valid: Place | PykeenDataset | None
    test: Place | PykeenDataset | None
    entity_to_id: Place | None
    relation_to_id: Place | None
    map_columns: "MapColumns | None"
    labels: bool
    ids: bool
    output_dir: Path
    embedding_dim: int
    embedding_height: int
    embedding_width: int
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
    random_seed: int
    checkpoint_dir: Path | None
    checkpoint_frequency: int
    resume_from_checkpoint: Path | None
    use_mixed_precision: bool
    use_gradient_checkpointing: bool
    num_workers: int
    no_gpu: bool


@click.command(context_settings={"show_default": True}, no_args_is_help=True)
@click.option(
    "--train",
    type=TrainingTriples(exists=True),
    required=True,
    help="Training triples: a text file of head TAB relation TAB tail, a folder training_triples of PyKEEN, or "
    "pykeen:DATASET (pykeen:DATASET+inverses).",
)
@click.option(
    "--valid",
    type=TrainingTriples(exists=True),
    help="Validation triples; they choose best_model.pt. With triples of PyKEEN as --train also a folder of PyKEEN, or "
    "pykeen:DATASET for its validation triples.",
)
@click.option(
    "--test",
    type=TrainingTriples(exists=True),
    help="Test triples; ranked at the end, into test_results.json. Takes what --valid takes.",
)
@click.option(
    "--entity-to-id", type=FILE, help="File with lines of `entity label TAB id`. [default: made from the triples]"
)
@click.option(
    "--relation-to-id",
    type=FILE,
    help="File with lines of `relation label TAB id`. [default: made from the triples]",
)
@click.option(
    "--map-columns",
    type=click.Choice(["label,id", "id,label"]),
    help="Order of the columns of both id maps, where either column could be the ids.",
)
@click.option("--labels", is_flag=True, help="Integers in the triples are labels, not ids.")
@click.option("--ids", is_flag=True, help="Integers in the triples are ids, even where labels are integers, too.")
@with_options(*shape_options(click.option, "--train, --valid and --test"))
@click.option("-o", "--output-dir", type=FOLDER, required=True, help="Folder for the models and records.")
@click.option(
    "--embedding-dim", type=WholeNumber(), default=200, help="Numbers per entity and relation: height × width."
)
@click.option("--embedding-height", type=WholeNumber(), default=10, help="Rows of the image of an embedding.")
@click.option("--embedding-width", type=WholeNumber(), default=20, help="Columns of the image of an embedding.")
@click.option("--output-channels", type=WholeNumber(), default=32, help="Kernels of the convolution.")
@click.option("--kernel-height", type=WholeNumber(), default=3, help="Rows of a kernel.")
@click.option("--kernel-width", type=WholeNumber(), default=3, help="Columns of a kernel.")
@click.option(
    "--input-dropout", type=RealNumber(below=1.0), default=0.2, help="Fraction of image values dropped in training."
)
@click.option(
    "--feature-map-dropout", type=RealNumber(below=1.0), default=0.2, help="Fraction of channels dropped in training."
)
@click.option(
    "--output-dropout",
    type=RealNumber(below=1.0),
    default=0.3,
    help="Fraction of projected values dropped in training.",
)
@click.option(
    "--num-epochs",
    type=WholeNumber(),
    default=100,
    help="Total number of passes over the triples; may be raised when resuming.",
)
@click.option("--batch-size", type=WholeNumber(2), default=256, help="Triples per optimizer step.")
@click.option(
    "--learning-rate",
    type=RealNumber(above=0.0),
    default=0.001,
    help="Adam's learning rate; recorded in the checkpoints.",
)
@click.option(
    "--label-smoothing",
    type=RealNumber(below=1.0),
    default=0.1,
    help="ε: labels are (1 − ε)·onehot + ε / number of entities.",
)
@click.option(
    "--random-seed", type=WholeNumber(0, MOST_SEED), default=42, help="Seed of initial weights, shuffling and dropout."
)
@click.option("--checkpoint-dir", type=FOLDER, help="Folder of checkpoints. [default: OUTPUT_DIR/checkpoints]")
@click.option("--checkpoint-frequency", type=WholeNumber(), default=2, help="Number of epochs between checkpoints.")
@click.option("--resume-from-checkpoint", type=LOCAL_FILE, help="Continue exactly where this checkpoint was written.")
@click.option("--use-mixed-precision", is_flag=True, help="Compute in bfloat16 (CPU) or float16 (GPU).")
@click.option("--use-gradient-checkpointing", is_flag=True, help="Less memory, more time: recompute activations.")
@click.option(
    "--num-workers",
    type=WholeNumber(0, MOST_WORKERS),
    default=0,
    help="Processes that prepare batches; 0 for none. Changes no result.",
)
@click.option("--no-gpu", is_flag=True, help="Use the CPU even if there is a GPU.")
def command(**options: Unpack[TrainFlags]) -> None:
    """Train a ConvE on a graph.

    For every training triple the model learns to distinguish the true tail from all other entities (binary
    cross-entropy, Adam). After each epoch the validation triples are ranked: MRR and Hits@k of the tails, filtered by
    other known tails, with ties counted against the model.

    \b
    Files in OUTPUT_DIR:
      best_model.pt            the epoch with the best validation MRR (needs --valid)
      final_model.pt           the last epoch
      checkpoints/checkpoint_epoch_N.pt
      config.json, training_history.json, test_results.json

    To continue an interrupted training, give the same options and --resume-from-checkpoint. On a CPU its models equal
    those of an uninterrupted training.

    \b
    Example, a small model:
      tracin-dask train --train train.txt --valid valid.txt --test test.txt -o model \\
          --embedding-dim 32 --embedding-height 8 --embedding-width 4 --num-epochs 50
    """
    from tracin_dask.cli.actions.train import train_conve  # noqa: PLC0415 - torch is slow to import

    train_conve(options)
