"""One step of training: the one-to-all loss of a batch, its gradient and Adam; the host never waits for the device."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tracin_dask.models.conve.model import ConvE
from tracin_dask.models.training.settings import TrainingConfig

SCORE_BYTES = 2**30
"""Bytes of scores that a step makes at a time, at least one row's; the loss of the others is added to theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """A model in training with the state of its optimizer; the tensors inside change, the parts do not."""

    model: ConvE
    optimizer: torch.optim.Adam
    scaler: torch.amp.GradScaler
    device: torch.device
    config: TrainingConfig


def make_adam(model: ConvE, config: TrainingConfig, device: torch.device) -> torch.optim.Adam:
    """Set up Adam: one kernel for all tensors on a GPU, which also skips a step of mixed precision by itself."""
    return torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=device.type == "cuda" or None)


def train_step(learner: Learner, batch: Int[Tensor, "batch 3"]) -> Float[Tensor, ""]:
    """Move the weights once, and give the loss that the batch had before; it is on the device and not yet read."""
    learner.optimizer.zero_grad()
    loss = add_gradient(learner, batch)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    return loss


def add_gradient(learner: Learner, batch: Int[Tensor, "batch 3"], *, score_bytes: int = SCORE_BYTES) -> Tensor:
    """Add the gradient of a batch's mean loss to the weights' `grad`, and give the loss.

    Batch norm sees the whole batch. Only the comparison with all entities, whose scores are most of the memory, is made
    for some rows at a time where it does not fit `score_bytes`: equal but for rounding.
    """
    head, relation, tail = batch.unbind(dim=1)
    with _precision(learner):
        if learner.config.use_gradient_checkpointing:
            projection = project_recomputing(learner.model, head, relation)
        else:
            projection = learner.model.project(head, relation)
    rows = rows_at_a_time(learner.model.config.num_entities, score_bytes)
    if len(batch) <= rows:
        loss = _loss(learner, projection, tail)
        torch.autograd.backward(learner.scaler.scale(loss))
        return loss.detach()
    pieces = [piece.detach().requires_grad_() for piece in torch.split(projection, rows)]
    losses = [
        _add_piece(learner, piece, some, share=len(some) / len(tail))
        for piece, some in zip(pieces, torch.split(tail, rows), strict=True)
    ]
    torch.autograd.backward(projection, torch.cat([piece.grad for piece in pieces if piece.grad is not None]))
    return torch.stack(losses).sum()


def rows_at_a_time(num_entities: int, score_bytes: int = SCORE_BYTES) -> int:
    """Count the rows of a batch that are compared with all entities at a time."""
    return max(1, score_bytes // (num_entities * torch.float32.itemsize))


def _add_piece(learner: Learner, projection: Tensor, tail: Tensor, *, share: float) -> Float[Tensor, ""]:
    loss = share * _loss(learner, projection, tail)
    torch.autograd.backward(learner.scaler.scale(loss))
    return loss.detach()


def _loss(learner: Learner, projection: Float[Tensor, "batch dim"], tail: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    with _precision(learner):
        scores = learner.model.compare(projection)
    return one_to_all_loss(scores.to(learner.model.dtype), tail, learner.config.label_smoothing)


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
