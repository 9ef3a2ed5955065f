"""One epoch of training: shuffled batches, the one-to-all loss and an optimizer step for each."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from tracin_dask.errors import NonFiniteError
from tracin_dask.models.conve.model import ConvE
from tracin_dask.models.training.settings import TrainingConfig
from tracin_dask.types import Progress

_ADVICE = "try a lower --learning-rate, or go without --use-mixed-precision; earlier checkpoints are as they were"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """A model in training with the state of its optimizer; the tensors inside change, the parts do not."""

    model: ConvE
    optimizer: torch.optim.Adam
    scaler: torch.amp.GradScaler
    device: torch.device
    config: TrainingConfig


def train_epoch(learner: Learner, train: Int[Tensor, "row 3"], *, epoch: int, on_batch: Progress) -> float:
    """Train on every triple once and return the mean loss over the batches.

    Shuffling and dropout follow from the seed and the epoch alone, so a resumed training repeats them.

    Raises
    ------
    NonFiniteError
        If a loss, or a weight after the last batch, is NaN or infinite.
    """
    learner.model.train()
    seed = derive_seed(learner.config.random_seed, epoch + 1)
    torch.manual_seed(seed)
    losses: list[float] = []
    batches = shuffled_batches(train, learner.config, seed=seed)
    for index, (batch,) in enumerate(batches):
        losses.append(_step(learner, batch.to(learner.device), where=f"epoch {epoch + 1}, batch {index + 1}"))
        on_batch(index + 1, len(batches))
    _check_finite(learner.model, epoch)
    return math.fsum(losses) / len(losses)


def derive_seed(random_seed: int, purpose: int) -> int:
    """Give an independent seed for each purpose: 0 draws the first weights, n serves the n-th epoch."""
    return int(np.random.SeedSequence((random_seed, purpose)).generate_state(1, np.uint64)[0] >> 1)


def shuffled_batches(
    train: Int[Tensor, "row 3"], config: TrainingConfig, *, seed: int
) -> DataLoader[tuple[Tensor, ...]]:
    """Cut the shuffled triples into batches."""
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(
        TensorDataset(train),
        sampler=shuffled_rows(len(train), config.batch_size, generator),
        batch_size=None,
        num_workers=config.num_workers,
        generator=generator,
    )


def shuffled_rows(num_rows: int, batch_size: int, generator: torch.Generator) -> list[Int[Tensor, " _"]]:
    """Shuffle row numbers and cut them into batches.

    A last batch of one joins its neighbour: batch norm cannot normalise a single row.
    """
    batches = list(torch.split(torch.randperm(num_rows, generator=generator), batch_size))
    if len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def one_to_all_loss(
    scores: Float[Tensor, "batch entity"], tail: Int[Tensor, " batch"], label_smoothing: float
) -> Float[Tensor, ""]:
    """Mean binary cross-entropy of all scores with the labels (1 − ε)·onehot(tail) + ε/K.

    Equal to `binary_cross_entropy_with_logits`, whose entries are softplus(s) − label·s, without a label tensor.
    """
    positive = scores.gather(1, tail[:, None]).sum()
    mean_label = label_smoothing / scores.shape[1]
    total = nn.functional.softplus(scores).sum() - (1 - label_smoothing) * positive - mean_label * scores.sum()
    return total / scores.numel()


def _step(learner: Learner, batch: Int[Tensor, "batch 3"], *, where: str) -> float:
    loss = _batch_loss(learner, batch)
    value = loss.item()
    if not math.isfinite(value):
        raise NonFiniteError(f"the loss is {value} in {where}; {_ADVICE}")
    learner.optimizer.zero_grad()
    torch.autograd.backward(learner.scaler.scale(loss))
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    return value


def _check_finite(model: ConvE, epoch: int) -> None:
    """Refuse NaN and infinite weights before they are written."""
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise NonFiniteError(f"{name} has NaN or infinite values after epoch {epoch + 1}; {_ADVICE}")


def _batch_loss(learner: Learner, batch: Int[Tensor, "batch 3"]) -> Float[Tensor, ""]:
    head, relation, tail = batch.unbind(dim=1)
    with _precision(learner):
        if learner.config.use_gradient_checkpointing:
            scores = learner.model.compare(project_recomputing(learner.model, head, relation))
        else:
            scores = learner.model(head, relation)
    return one_to_all_loss(scores.to(learner.model.dtype), tail, learner.config.label_smoothing)


def project_recomputing(
    model: ConvE, head: Int[Tensor, " batch"], relation: Int[Tensor, " batch"]
) -> Float[Tensor, "batch dim"]:
    """Compute x(h, r) and keep none of the activations below it: the backward step computes them again."""
    projection: Tensor = checkpoint(
        model.project,
        head,
        relation,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _untouched_statistics(model)),
    )
    return projection


@contextmanager
def _untouched_statistics(model: ConvE) -> Iterator[None]:
    """Let the second forward pass of a batch update copies of the running statistics, which are thrown away."""
    kept = [(norm, dict(norm.named_buffers())) for norm in (model.bn0, model.bn1, model.bn2)]
    for norm, buffers in kept:
        for name, buffer in buffers.items():
            setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, buffers in kept:
            for name, buffer in buffers.items():
                setattr(norm, name, buffer)


def _precision(learner: Learner) -> AbstractContextManager[object]:
    if not learner.config.use_mixed_precision:
        return nullcontext()
    dtype = torch.float16 if learner.device.type == "cuda" else torch.bfloat16
    return torch.autocast(learner.device.type, dtype=dtype)
