"""What a method of another library is asked, and the losses that it may differentiate."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from bench_peers.peer import TripleScores
from tracin_dask.models.conve.model import ConvE

LossName: TypeAlias = Literal["bce", "one-to-all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A trained model, and the triples whose influences on the test triples are asked for.

    Attributes
    ----------
    checkpoints
        Models of one training, the one that is explained last.
    label_smoothing
        Of the training.
    folder
        For files of the library.
    """

    checkpoints: tuple[ConvE, ...]
    train: Int[Tensor, "row 3"]
    test: Int[Tensor, "test 3"]
    label_smoothing: float
    folder: Path

    @property
    def model(self) -> ConvE:
        """The model that is explained."""
        return self.checkpoints[-1]

    def some_rows(self, number: int) -> Int[Tensor, "chosen 3"]:
        """Draw training triples: the same ones each time."""
        return self.train[torch.randperm(len(self.train), generator=torch.Generator().manual_seed(0))[:number]]

    def losses(self, name: LossName) -> "Losses":
        """Make the module that computes a loss."""
        return Losses(self.model, None if name == "bce" else self.label_smoothing)


class Method(Protocol):
    """A method of another library; the larger its number, the more the training triple helps the test triple.

    Attributes
    ----------
    name
        What a table shows.
    requirement
        What to give to pip.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - the class's Attributes describe it
    @property
    def requirement(self) -> str: ...  # noqa: D102 - the class's Attributes describe it

    def scores(self, question: Question) -> Float[Tensor, "test row"]:
        """Compute the numbers of all pairs."""
        ...


def named(name: str, loss: LossName) -> str:
    """Name a method with its loss, unless that is the one of the triple's own score."""
    return name if loss == "bce" else f"{name}, {loss}"


class Losses(TripleScores):
    """A copy of a ConvE as a module that gives each triple's mean binary cross-entropy.

    Without a smoothing ε it is that of the triple's own score with the label 1. With one, it is that of 1-N training:
    of the scores of all K entities as tails, with the label 1 - ε + ε/K for the triple's own and ε/K for the others.
    """

    def __init__(self, model: ConvE, smoothing: float | None) -> None:
        """Copy the model."""
        super().__init__(model)
        self.smoothing = smoothing

    def forward(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Compute the losses with the labels of the training."""
        scores = self._scores(triples)
        return _cross_entropy(scores, self._labels(triples, scores))

    def drawn(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Compute the losses with labels that are drawn from the model, as a Fisher matrix needs them."""
        scores = self._scores(triples)
        return _cross_entropy(scores, torch.bernoulli(scores.detach().sigmoid()))

    def _scores(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, "batch outcome"]:
        if self.smoothing is None:
            return self.conve.score(triples)[:, None]
        every: Tensor = self.conve(triples[:, 0], triples[:, 1])
        return every

    def _labels(
        self, triples: Int[Tensor, "batch 3"], scores: Float[Tensor, "batch outcome"]
    ) -> Float[Tensor, "batch outcome"]:
        if self.smoothing is None:
            return torch.ones_like(scores)
        is_tail = torch.arange(scores.shape[1]) == triples[:, 2:]
        return (1 - self.smoothing) * is_tail.to(scores.dtype) + self.smoothing / scores.shape[1]


class Margins(TripleScores):
    """A copy of a ConvE as a module that gives each triple's score less log Σ exp of all other entities' scores."""

    def forward(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Compute the margins: the logits of the tail's probability among all entities."""
        scores = self.conve(triples[:, 0], triples[:, 1])
        is_tail = torch.arange(scores.shape[1]) == triples[:, 2:]
        return (scores * is_tail).sum(dim=1) - scores.masked_fill(is_tail, -torch.inf).logsumexp(dim=1)


def _cross_entropy(
    scores: Float[Tensor, "batch outcome"], labels: Float[Tensor, "batch outcome"]
) -> Float[Tensor, " batch"]:
    return binary_cross_entropy_with_logits(scores, labels, reduction="none").mean(dim=1)
