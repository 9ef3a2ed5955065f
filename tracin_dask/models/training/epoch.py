"""One epoch of training: a step for each of its batches, and their losses."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.errors import NonFiniteError
from tracin_dask.models.conve.model import ConvE
from tracin_dask.models.training.steps.batches import Batches, derive_seed
from tracin_dask.models.training.steps.captured import Step
from tracin_dask.models.training.steps.step import Learner, train_step
from tracin_dask.types import Progress

STEPS_PER_READING = {"cpu": 1, "cuda": 64}
"""Losses that are read at a time, by device: reading waits until a GPU has done the steps."""
_ADVICE = "try a lower --learning-rate, or go without --use-mixed-precision; earlier checkpoints are as they were"


def train_epoch(
    learner: Learner, train: Int[Tensor, "row 3"], *, epoch: int, on_batch: Progress, step: Step = train_step
) -> float:
    """Train on every triple once and return the mean loss over the batches.

    Shuffling and dropout follow from the seed and the epoch alone, so a resumed training repeats them.

    Parameters
    ----------
    train
        The triples, as `place_triples` placed them.
    step
        How steps are carried out; the same one for all epochs.

    Raises
    ------
    NonFiniteError
        If a loss, or a weight after the last batch, is NaN or infinite.
    """
    learner.model.train()
    seed = derive_seed(learner.config.random_seed, epoch + 1)
    torch.manual_seed(seed)
    losses: list[float] = []
    unread: list[Float[Tensor, ""]] = []
    batches = Batches.of(train, learner.config, seed=seed, device=learner.device)
    for done, batch in enumerate(batches, start=1):
        unread.append(step(learner, batch))
        if len(unread) == STEPS_PER_READING[learner.device.type] or done == len(batches):
            losses += _read(unread, epoch=epoch, first=len(losses))
            unread.clear()
        on_batch(done, len(batches))
    _check_finite(learner.model, epoch)
    return math.fsum(losses) / len(losses)


def _read(losses: Sequence[Float[Tensor, ""]], *, epoch: int, first: int) -> list[float]:
    """Wait for some batches' losses, and refuse NaN and infinite ones; `first` counts the batches before them."""
    values: list[float] = torch.stack(list(losses)).tolist()
    for place, value in enumerate(values, start=first + 1):
        if not math.isfinite(value):
            raise NonFiniteError(f"the loss is {value} in epoch {epoch + 1}, batch {place}; {_ADVICE}")
    return values


def _check_finite(model: ConvE, epoch: int) -> None:
    """Refuse NaN and infinite weights before they are written."""
    tensors = model.state_dict()
    finite = torch.stack([torch.isfinite(tensor).all() for tensor in tensors.values()]).tolist()
    for name, is_finite in zip(tensors, finite, strict=True):
        if not is_finite:
            raise NonFiniteError(f"{name} has NaN or infinite values after epoch {epoch + 1}; {_ADVICE}")
