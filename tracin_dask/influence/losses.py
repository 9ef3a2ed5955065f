"""The loss of one triple, as a function of its score: defined once, differentiated by autograd.

A loss of your own is any object with a `name` and a `value`:

>>> import torch
>>> class Margin:
...     name = "margin"
...     def value(self, scores):
...         return torch.relu(1.0 - scores)
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid


@runtime_checkable
class Loss(Protocol):
    """A loss that looks at the triple's own score only.

    `value` maps scores (logits) [batch] to losses [batch], each from its own score, with operations that autograd
    knows. Objects travel to the workers, so their class must be importable there or picklable by value.
    """

    @property
    def name(self) -> str:
        """The name that the result states."""
        ...

    def value(self, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute each triple's loss from its score."""
        ...


class BinaryCrossEntropy:
    """Binary cross-entropy with logits and label 1: log(1 + exp(-score))."""

    name = "bce"

    def value(self, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        """Compute each triple's loss from its score."""
        return -logsigmoid(scores)


def derivative(loss: Loss, scores: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Differentiate each triple's loss by its score (δ; for `bce` it is σ(score) − 1)."""
    with torch.enable_grad():
        variable = scores.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss.value(variable).sum(), variable)
    return gradient
