"""`tracin-dask train`: trains a ConvE."""

from typing import Unpack

import click

from tracin_dask.cli.options.numbers import WholeNumber
from tracin_dask.cli.options.sections import with_options
from tracin_dask.cli.options.talk import TALK_OPTIONS
from tracin_dask.cli.options.targets import TARGET
from tracin_dask.cli.options.training import READING_OPTIONS, SETTINGS_OPTIONS, GraphFlags, SettingsFlags
from tracin_dask.cli.options.values import FILE, TrainingTriples
from tracin_dask.limits import MOST_WORKERS
from tracin_dask.places.place import Place
from tracin_dask.seed import MOST_SEED


class TrainFlags(GraphFlags, SettingsFlags):
    """The options of the command, by name."""

    output_dir: Place
    random_seed: int
    checkpoint_dir: Place | None
    checkpoint_frequency: int
    resume_from_checkpoint: Place | None
    overwrite: bool
    use_mixed_precision: bool
    use_gradient_checkpointing: bool
    num_workers: int
    no_gpu: bool
    cuda_graph: bool


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
@with_options(*READING_OPTIONS)
@click.option("-o", "--output-dir", type=TARGET, required=True, help="Folder for the models and records.")
@with_options(*SETTINGS_OPTIONS)
@click.option(
    "--random-seed", type=WholeNumber(0, MOST_SEED), default=42, help="Seed of initial weights, shuffling and dropout."
)
@click.option("--checkpoint-dir", type=TARGET, help="Folder of checkpoints. [default: OUTPUT_DIR/checkpoints]")
@click.option("--checkpoint-frequency", type=WholeNumber(), default=2, help="Number of epochs between checkpoints.")
@click.option("--resume-from-checkpoint", type=FILE, help="Continue exactly where this checkpoint was written.")
@click.option("--overwrite", is_flag=True, help="Remove the models of an earlier training from these folders first.")
@click.option("--use-mixed-precision", is_flag=True, help="Compute in bfloat16 (CPU) or float16 (GPU).")
@click.option("--use-gradient-checkpointing", is_flag=True, help="Less memory, more time: recompute activations.")
@click.option(
    "--num-workers",
    type=WholeNumber(0, MOST_WORKERS),
    default=0,
    help="Processes that prepare batches; 0 for none. Changes no result.",
)
@click.option("--no-gpu", is_flag=True, help="Use the CPU even if there is a GPU.")
@click.option(
    "--cuda-graph",
    is_flag=True,
    help="Let the GPU replay steps as one graph of kernels: worth trying where batches are small.",
)
@with_options(*TALK_OPTIONS)
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
