"""From options to the checkpoints of a trained model."""

import torch

from tracin_dask.cli.options.job import JobFlags
from tracin_dask.errors import ConfigError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.checkpoints.series import Trainings, load_checkpoints
from tracin_dask.places.place import Place


def listed_files(options: JobFlags) -> list[Place]:
    """Give the files in the order in which they were named."""
    return [path for found in options["model_path"] for path in found]


def load_models(options: JobFlags, dtype: torch.dtype) -> Trainings:
    """Load the checkpoints of each training, in the order of their epochs.

    Raises
    ------
    CheckpointError
        If one cannot be loaded, or they do not belong together.
    ConfigError
        If an ensemble is asked for, and there is one training.
    """
    if not options["ensemble"]:
        return (_load(listed_files(options), options, dtype),)
    if len(options["model_path"]) == 1:
        raise ConfigError("--ensemble averages over trainings, and there is one: name several --model-path PATH")
    return tuple(_load(files, options, dtype) for files in options["model_path"])


def _load(files: list[Place], options: JobFlags, dtype: torch.dtype) -> tuple[Checkpoint, ...]:
    return load_checkpoints(
        files,
        description=options["model_description"],
        trust_pickle=options["trust_pickle"],
        embedding_height=options["embedding_height"],
        embedding_width=options["embedding_width"],
        dtype=dtype,
    )
