"""One Adam over the rows of numbers of stacked models, each with its own count of steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.models.conve.model import ConvE
from tracin_dask.models.stacked.models import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamState:
    """The moments of stacked models' Adam."""

    steps: Int[Tensor, " model"]
    first: Float[Tensor, "model number"]
    second: Float[Tensor, "model number"]

    @classmethod
    def joined(cls, groups: Sequence["AdamState"]) -> "AdamState":
        """Put groups of models one after the other."""
        return cls(
            steps=torch.cat([group.steps for group in groups]),
            first=torch.cat([group.first for group in groups]),
            second=torch.cat([group.second for group in groups]),
        )

    def select(self, models: Int[Tensor, " selected"]) -> "AdamState":
        """Copy the state of some models."""
        return AdamState(steps=self.steps[models], first=self.first[models], second=self.second[models])

    def state_dict(self, index: int, layout: Layout, *, learning_rate: float) -> dict[str, object]:
        """Give a model's state as the optimizer of a training alone states it."""
        with torch.device("meta"):
            alone = ConvE(layout.config)
        groups = torch.optim.Adam(alone.parameters(), lr=learning_rate).state_dict()["param_groups"]
        first, second = (layout.split(moments[index : index + 1]) for moments in (self.first, self.second))
        state = {
            number: {
                "step": self.steps[index].to(torch.float32).clone(),
                "exp_avg": first[name][0].clone(),
                "exp_avg_sq": second[name][0].clone(),
            }
            for number, (name, _) in enumerate(alone.named_parameters())
            if name in first
        }
        return {"state": state, "param_groups": groups}


class StackedAdam:
    """Adam that steps some of the models and leaves the others as they are.

    Each model is one parameter of `torch.optim.Adam`: it counts the steps of each, and skips those without gradients.
    """

    def __init__(self, numbers: Float[Tensor, "model number"], *, learning_rate: float) -> None:
        """Step these numbers, in place."""
        self._rows = list(numbers.unbind())
        self._optimizer = torch.optim.Adam(self._rows, lr=learning_rate, fused=True)

    def step(self, gradients: Float[Tensor, "model number"]) -> None:
        """Step the first models, which have gradients."""
        for row, gradient in zip(self._rows, gradients, strict=False):
            row.grad = gradient
        self._optimizer.step()
        for row in self._rows:
            row.grad = None

    def state(self) -> AdamState:
        """Copy the moments; every model has made a step."""
        states = [self._optimizer.state[row] for row in self._rows]
        return AdamState(
            steps=torch.stack([state["step"] for state in states]).to(torch.int64),
            first=torch.stack([state["exp_avg"] for state in states]),
            second=torch.stack([state["exp_avg_sq"] for state in states]),
        )
