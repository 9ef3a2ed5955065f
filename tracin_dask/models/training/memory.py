"""The memory that a training takes, counted before it starts."""

from dataclasses import dataclass

import torch

from tracin_dask.errors import MemoryLimitError
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.stacked.models import Layout
from tracin_dask.models.training.evaluation import FEATURE_COPIES, rows_per_block
from tracin_dask.models.training.settings import TrainingConfig, TrainingData
from tracin_dask.models.training.steps.step import rows_at_a_time
from tracin_dask.resources import memory_limit

GIB = 2**30
_WEIGHT_COPIES = 4
"""Weights, gradients, and Adam's two moments."""
_TABLE_COPIES = 2
"""Arrays of the entity table's size while its gradient is added up, or Adam moves it."""
_SCORE_COPIES = 4
"""Scores, and arrays of their size in the backward step of the loss."""
_KEPT_FEATURES, _MOST_FEATURES = 3, 5
"""Arrays of the feature maps' size that are kept for the backward step, and most that are held within it."""
_INDEX_BYTES = 4 * 8
"""Of a training triple: its ids, and its place in the order of an epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingMemory:
    """Bytes that a training holds at its peak, on its device; libraries and their scratch memory come on top."""

    weights: int
    """Weights, gradients and Adam's moments."""
    triples: int
    graph: int
    """What a graph of a step keeps to itself."""
    step: int
    """Activations and scores of a batch, or the entity table's gradient while it is added up."""
    evaluation: int
    """Activations and scores of a block of ranked triples, while there is no batch."""

    @property
    def total(self) -> int:
        """The peak."""
        return self.weights + self.triples + self.graph + max(self.step, self.evaluation)


def count_memory(
    data: TrainingData, model_config: ConvEConfig, config: TrainingConfig, device: torch.device
) -> TrainingMemory:
    """Count the bytes that a training takes."""
    float32, num_entities = torch.float32.itemsize, model_config.num_entities
    table = float32 * _TABLE_COPIES * num_entities * model_config.embedding_dim
    ranked = min(rows_per_block(model_config, device), max(len(data.valid), len(data.test)))
    step = max(table, _step_bytes(min(config.batch_size, len(data.train)), model_config, config))
    return TrainingMemory(
        weights=float32 * _WEIGHT_COPIES * Layout.of(model_config).length,
        triples=_INDEX_BYTES * len(data.train),
        graph=step if config.use_cuda_graph else 0,
        step=step,
        evaluation=ranked * ((float32 + 2) * num_entities + FEATURE_COPIES * float32 * model_config.num_features),
    )


def _step_bytes(batch: int, model_config: ConvEConfig, config: TrainingConfig) -> int:
    """Count a batch's bytes: the scores' are freed before the activations are differentiated."""
    scores = _SCORE_COPIES * min(batch, rows_at_a_time(model_config.num_entities)) * model_config.num_entities
    feature_bytes = 2 if config.use_mixed_precision else torch.float32.itemsize
    kept = 0 if config.use_gradient_checkpointing else _KEPT_FEATURES
    features = batch * feature_bytes * model_config.num_features
    return max(torch.float32.itemsize * scores + kept * features, _MOST_FEATURES * features)


def check_memory(memory: TrainingMemory, config: TrainingConfig, device: torch.device) -> None:
    """Refuse a training that cannot fit.

    Raises
    ------
    MemoryLimitError
        With the bytes of its parts, and those that this machine or its GPU has.
    """
    limit = int(torch.cuda.mem_get_info()[0]) if device.type == "cuda" else memory_limit()
    if memory.total <= limit:
        return
    parts = {
        "weights and Adam": memory.weights,
        "training triples": memory.triples,
        f"a batch of {config.batch_size:,}": memory.step,
        "ranking": memory.evaluation,
        **({"the graph of a step": memory.graph} if memory.graph else {}),
    }
    shown = ", ".join(f"{shown_bytes(number)} for {name}" for name, number in parts.items())
    raise MemoryLimitError(
        f"the training takes about {shown_bytes(memory.total)} ({shown}), and {shown_bytes(limit)} are there; "
        "choose a smaller --batch-size or --embedding-dim"
    )


def shown_bytes(num_bytes: int) -> str:
    """Write a number of bytes for people."""
    return f"{num_bytes / GIB:.1f} GiB" if num_bytes >= GIB else f"{num_bytes / 2**20:,.0f} MiB"
