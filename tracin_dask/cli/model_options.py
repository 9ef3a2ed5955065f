"""The options that name the trained model, and how they become its checkpoints."""

from pathlib import Path
from typing import TypedDict

import click
import torch

from tracin_dask.cli.values import FILE, ModelFiles
from tracin_dask.models.checkpoints.checkpoint import AnyCheckpoint
from tracin_dask.models.checkpoints.series import load_checkpoints


class ModelOptions(TypedDict):
    """The options, by name."""

    model_path: tuple[list[Path], ...]
    model_description: Path | None
    trust_pickle: bool
    embedding_height: int | None
    embedding_width: int | None


MODEL_OPTIONS = (
    click.option(
        "--model-path",
        type=ModelFiles(),
        multiple=True,
        required=True,
        metavar="PATH...",
        help="Checkpoint of the trained ConvE (.pt), or of the model that --model-description tells; or several of one "
        "training, a folder of them, or a pattern in quotes: influences are summed over them, in the order of their "
        "epochs.",
    ),
    click.option(
        "--model-description",
        type=FILE,
        metavar="FILE.json",
        help='What the weights are those of, if no ConvE: {"model": "RotatE", "model_kwargs": {"embedding_dim": '
        '200}}, by the names of PyKEEN; or "model": "package.module:Class", a class of your own.',
    ),
    click.option(
        "--trust-pickle",
        is_flag=True,
        help="Take a whole pickled model, as PyKEEN's trained_model.pkl. Unpickling runs any code that the file holds: "
        "only for files of people whose programs you would run.",
    ),
    click.option("--embedding-height", type=int, help="Image rows of a ConvE, where the checkpoint does not tell."),
    click.option("--embedding-width", type=int, help="Image columns of a ConvE, where the checkpoint does not tell."),
)


def listed_files(options: ModelOptions) -> list[Path]:
    """Give the files in the order in which they were named."""
    return [path for found in options["model_path"] for path in found]


def load_models(options: ModelOptions, dtype: torch.dtype) -> tuple[AnyCheckpoint, ...]:
    """Load the checkpoints, in the order of their epochs."""
    return load_checkpoints(
        listed_files(options),
        description=options["model_description"],
        trust_pickle=options["trust_pickle"],
        embedding_height=options["embedding_height"],
        embedding_width=options["embedding_width"],
        dtype=dtype,
    )
