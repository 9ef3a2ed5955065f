"""From options to the checkpoints of a trained model."""

import torch

from tracin_dask.cli.options.job import JobFlags
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.checkpoints.series import load_checkpoints
from tracin_dask.places.place import Place


def listed_files(options: JobFlags) -> list[Place]:
    """Give the files in the order in which they were named."""
    return [path for found in options["model_path"] for path in found]


def load_models(options: JobFlags, dtype: torch.dtype) -> tuple[Checkpoint, ...]:
    """Load the checkpoints, in the order of their epochs."""
    return load_checkpoints(
        listed_files(options),
        description=options["model_description"],
        trust_pickle=options["trust_pickle"],
        embedding_height=options["embedding_height"],
        embedding_width=options["embedding_width"],
        dtype=dtype,
    )
