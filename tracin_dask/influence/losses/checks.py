"""Refuses a loss whose `value` is not one number per triple, or tells nothing about the model."""

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.influence.losses.base import (
    ALL_SCORES,
    CORRUPTED_TRIPLES,
    SEPARABLE,
    AllScoresLoss,
    AnyLoss,
    Loss,
    Reads,
    reads,
)

_NUM_TRIPLES, _NUM_ENTITIES = 41, 7
_LARGEST_SCORE = 20.0
_KINDS: tuple[Reads, ...] = ("own score", "all scores", "corrupted triples")
_REMEDY = "one number per triple: with PyTorch's losses, pass reduction='none'"


def refuse_wrong_value(loss: AnyLoss) -> None:
    """Try a loss on a few scores.

    Raises
    ------
    ConfigError
        If it reads what no loss can read, if `value` is not one number per triple that depends on this triple's
        scores alone and can be differentiated, if it is constant, or if it has some methods of a `SeparableLoss` only.
    """
    kind = reads(loss)
    if kind not in _KINDS:
        raise ConfigError(f"loss {loss.name} reads {kind!r}; expected {', '.join(_KINDS[:-1])} or {_KINDS[-1]}")
    if kind == CORRUPTED_TRIPLES:
        return
    if kind == ALL_SCORES:
        _refuse_half_separable(loss)
        whole, tails = cast(AllScoresLoss, loss), torch.arange(_NUM_TRIPLES) % _NUM_ENTITIES
        scores = _grid(_NUM_TRIPLES * _NUM_ENTITIES)
        _check(loss, whole.value, scores.view(_NUM_TRIPLES, _NUM_ENTITIES), tails)
    else:
        own = cast(Loss, loss)
        _check(
            loss,
            lambda some, _: own.value(some),
            _grid(_NUM_TRIPLES),
        )


def _refuse_half_separable(loss: AnyLoss) -> None:
    missing = [name for name in SEPARABLE if not hasattr(loss, name)]
    if missing and len(missing) < len(SEPARABLE):
        raise ConfigError(
            f"loss {loss.name} lacks {', '.join(missing)}: a loss whose derivative by a score depends on that score "
            f"alone has {', '.join(SEPARABLE)}; any other loss has none of them"
        )


def _grid(number: int) -> Float[Tensor, " score"]:
    return torch.linspace(-_LARGEST_SCORE, _LARGEST_SCORE, number, dtype=torch.float64)


def _check(
    loss: AnyLoss,
    value: Callable[[Tensor, Tensor], Tensor],
    scores: Float[Tensor, "triple *entity"],
    tails: Int[Tensor, " triple"] | None = None,
) -> None:
    tails = torch.zeros(len(scores), dtype=torch.int64) if tails is None else tails
    with torch.enable_grad():
        variable = scores.clone().requires_grad_()
        values = _one_per_triple(loss, value, variable, tails)
        gradient = torch.autograd.grad(values.sum(), variable, allow_unused=True)[0] if values.requires_grad else None
    if gradient is None or not gradient.any():
        raise ConfigError(
            f"loss {loss.name} is constant: its derivative by every score is 0, so all influences would be 0; value "
            "must depend on the scores, by operations that autograd knows"
        )
    rows = range(len(scores))
    with torch.no_grad():
        single = torch.cat([_one_per_triple(loss, value, scores[[row]], tails[[row]]) for row in rows])
    if not torch.allclose(single, values.detach(), rtol=1e-9, atol=1e-12, equal_nan=True):
        raise ConfigError(
            f"loss {loss.name}: the value of a triple changes with the other triples of its batch; it must depend on "
            f"the scores of this triple alone, and be {_REMEDY}"
        )


def _one_per_triple(
    loss: AnyLoss, value: Callable[[Tensor, Tensor], Tensor], scores: Tensor, tails: Int[Tensor, " triple"]
) -> Float[Tensor, " triple"]:
    try:
        values = value(scores, tails)
    except Exception as error:
        raise ConfigError(
            f"loss {loss.name}: value fails on {len(scores)} triples ({type(error).__name__}: {error}); it must give "
            f"{_REMEDY}"
        ) from error
    shape = getattr(values, "shape", None)
    if shape is None or tuple(shape) != (len(scores),):
        found = f"a {type(values).__name__}" if shape is None else f"the shape {tuple(shape)}"
        raise ConfigError(f"loss {loss.name}: value gives {found} for {len(scores)} triples; it must give {_REMEDY}")
    return values
