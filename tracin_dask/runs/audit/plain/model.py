"""Gradients by plain automatic differentiation of the whole model in float64; nothing is shared with an engine."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor, nn
from torch.func import functional_call

from tracin_dask.errors import CheckpointError
from tracin_dask.influence.losses import AllScoresLoss, AnyLoss, CorruptingLoss, Loss, reads
from tracin_dask.influence.losses.base import ALL_SCORES, CORRUPTED_TRIPLES
from tracin_dask.influence.preconditioners.base import TimesTensors
from tracin_dask.models.config import TrainedModel

Gradient = Mapping[str, Tensor]
"""By the names of parameter tensors; sparse where only some rows of a table are looked up."""
_MODEL = "model."
"""Where the model's tensors stand in `_Called`."""


class _Called(nn.Module):
    """A model under a function that calls it, as `functional_call` needs it."""

    def __init__(self, model: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self._function = model, function

    def forward(self, ids: Tensor) -> Tensor:
        """Call the function."""
        return self._function(ids)


class PlainModel:
    """A model with all of its numbers in one type."""

    def __init__(self, model: TrainedModel, dtype: torch.dtype) -> None:
        """Copy the tensors of a model; the model itself stays as it is."""
        self._model, self.dtype = model, dtype
        module = model.module
        trained = {name for name, tensor in module.named_parameters() if tensor.requires_grad}
        own = dict((*module.named_parameters(), *module.named_buffers()))
        self._tensors = {
            name: _converted(tensor.detach(), dtype).requires_grad_(name in trained) for name, tensor in own.items()
        }
        copies = {id(tensor): self._tensors[name] for name, tensor in own.items()}
        self._stand_ins = {f"{_MODEL}{name}": copies[id(tensor)] for name, tensor in _slots(module)}

    def losses(self, loss: AnyLoss, triples: Int[ndarray, "triple 3"]) -> Iterator[Float[Tensor, " triple"]]:
        """Compute the loss of every triple, in the parts of which it is the sum."""
        kind, ids = reads(loss), torch.from_numpy(triples)
        if kind == ALL_SCORES:
            yield cast(AllScoresLoss, loss).value(self._call(self._model.score_tails, ids[:, :2]), ids[:, 2])
        elif kind == CORRUPTED_TRIPLES:
            for part in cast(CorruptingLoss, loss).parts(triples, self._model.config.num_entities):
                yield part.loss.value(self.scores(part.triples))
        else:
            yield cast(Loss, loss).value(self.scores(triples))

    def scores(self, triples: Int[ndarray, "triple 3"]) -> Float[Tensor, " triple"]:
        """Score triples."""
        return self._call(self._model.score, torch.from_numpy(triples))

    def gradient(self, value: Float[Tensor, ""]) -> Gradient:
        """Differentiate a number by all trained tensors; those that it does not depend on are left out."""
        trained = {name: tensor for name, tensor in self._tensors.items() if tensor.requires_grad}
        if not value.requires_grad:
            return {}
        found = torch.autograd.grad(value, list(trained.values()), allow_unused=True)
        pairs: Iterable[tuple[str, Tensor | None]] = zip(trained, found, strict=True)
        return {name: _as_real(gradient) for name, gradient in pairs if gradient is not None}

    def _call(self, function: Callable[[Tensor], Tensor], ids: Tensor) -> Tensor:
        with torch.enable_grad(), _sparse_gradients(self._model.module):
            called = _Called(self._model.module, function)
            found: Tensor = functional_call(called, self._stand_ins, (ids,), tie_weights=False)
            return found


def plain_model(model: TrainedModel, loss: AnyLoss) -> PlainModel:
    """Copy a model in float64, or in its own type where its code allows no other."""
    wide = PlainModel(model, torch.float64)
    try:
        list(wide.losses(loss, np.zeros((1, 3), dtype=np.int64)))
    except (RuntimeError, CheckpointError):  # it mixes numbers of its own type with the tensors
        return PlainModel(model, model.dtype)
    return wide


def product(left: Gradient, right: Gradient) -> float:
    """Multiply two gradients: the inner products of their tensors, added up."""
    return sum(float((left[name] * right[name]).sum()) for name in sorted(left.keys() & right.keys()))


def norm(gradient: Gradient) -> float:
    """Give the length of a gradient over all tensors."""
    return float(np.sqrt(product(gradient, gradient)))


def times(gradient: Gradient, preconditioner: TimesTensors) -> Gradient:
    """Multiply a gradient with P."""
    return {name: preconditioner.times_tensor(name, one) for name, one in gradient.items()}


def plus(total: Gradient, weight: float, gradient: Gradient) -> Gradient:
    """Add a gradient, times a weight."""
    added = {name: weight * one if name not in total else total[name] + weight * one for name, one in gradient.items()}
    return {**total, **{name: one.coalesce() if one.is_sparse else one for name, one in added.items()}}


def _converted(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Copy a tensor; whole numbers stay what they are."""
    if tensor.is_complex():
        return tensor.to(dtype.to_complex(), copy=True)
    return tensor.to(dtype, copy=True) if tensor.is_floating_point() else tensor


def _slots(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name each place of a tensor once, also where parts of the model share tensors, or a part has several names."""
    for prefix, part in module.named_modules():
        before = f"{prefix}." if prefix else ""
        for name, tensor in (*part._parameters.items(), *part._buffers.items()):  # noqa: SLF001 - without duplicates else
            if tensor is not None:
                yield f"{before}{name}", tensor


def _as_real(gradient: Tensor) -> Tensor:
    if gradient.is_sparse:
        gradient = gradient.coalesce()
    return torch.view_as_real(gradient) if gradient.is_complex() else gradient


def looked_up(module: nn.Module) -> Iterator[nn.Embedding]:
    """Find the tables whose gradients can have some rows only: those that are parameters themselves."""
    for one in module.modules():
        if isinstance(one, nn.Embedding) and "weight" in dict(one.named_parameters(recurse=False)) and not one.sparse:
            yield one


@contextmanager
def _sparse_gradients(module: nn.Module) -> Iterator[None]:
    """Let gradients of tables have the rows that are looked up, and no others."""
    lookups = list(looked_up(module))
    for one in lookups:
        one.sparse = True
    try:
        yield
    finally:
        for one in lookups:
            one.sparse = False
