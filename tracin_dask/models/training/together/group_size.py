"""How many models are trained at a time: as many as fit into a stated number of bytes."""

import torch

from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.stacked.models import Layout

GROUP_BYTES = {"cpu": 64 * 2**20, "cuda": 4 * 2**30}
"""Bytes that the models of one group take by default: on a CPU what its caches hold, or nearly."""


def group_bytes_of(device: torch.device, stated: int | None) -> int:
    """Give the bytes that were stated, or else the default of a device."""
    return GROUP_BYTES[device.type] if stated is None else stated


def models_at_a_time(config: ConvEConfig, batch_size: int, *, group_bytes: int, dtype: torch.dtype) -> int:
    """Give the number of models that are trained at a time, at least one."""
    return max(1, group_bytes // bytes_per_model(config, batch_size, dtype=dtype))


def bytes_per_model(config: ConvEConfig, batch_size: int, *, dtype: torch.dtype = torch.float32) -> int:
    """Count the bytes that a model takes in training: weights, gradients and Adam's moments, and the activations.

    At its peak a step holds the feature maps and their gradients, the patches and their gradients, two arrays of
    scores, and some arrays of images and projections.
    """
    weights = 6 * Layout.of(config).length
    features = 2 * config.num_features
    patches = 3 * (config.num_taps + 1) * config.num_positions
    others = 2 * config.num_entities + 12 * 2 * config.embedding_dim + 12 * config.embedding_dim
    return dtype.itemsize * (weights + (batch_size + 1) * (features + patches + others))
