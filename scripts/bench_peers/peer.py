"""What a peer is, and what the peers share: the loss of a triple as modules, batches, installed versions."""

import copy
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import torch
from jaxtyping import Float, Int
from packaging.requirements import Requirement
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset

from tracin_dask.models.conve.model import ConvE

Scorer: TypeAlias = Callable[[Int[Tensor, "rows 3"]], Float[Tensor, "rows test"]]
"""Scores a batch of training triples: their influences, without a learning rate, on all test triples."""


class Peer(Protocol):
    """Another library that computes ⟨∇ loss(training triple), ∇ loss(test triple)⟩ for a ConvE in eval mode.

    Attributes
    ----------
    name
        What a table shows.
    tracks
        Patterns of the names of the parameter tensors whose gradients enter the products, as
        `ScoringOptions.parameters` takes them.
    requirement
        What to give to pip.
    prepares_tests
        True where `prepare` does the work on the test triples; False where the library repeats it in every call.
    relative_error
        How far from the products its values may be, relative to them, for a model of float64.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - the class's Attributes describe it
    @property
    def tracks(self) -> tuple[str, ...]: ...  # noqa: D102 - the class's Attributes describe it
    @property
    def requirement(self) -> str: ...  # noqa: D102 - the class's Attributes describe it
    @property
    def prepares_tests(self) -> bool: ...  # noqa: D102 - the class's Attributes describe it
    @property
    def relative_error(self) -> float: ...  # noqa: D102 - the class's Attributes describe it

    def is_installed(self) -> bool:
        """Tell whether a version that `requirement` allows is installed for this interpreter."""
        ...

    def prepare(self, model: ConvE, test: Int[Tensor, "test 3"], folder: Path) -> Scorer:
        """Make the function that is measured.

        Parameters
        ----------
        model
            Is copied, not changed.
        folder
            For files of the library; exists, and outlives the function.
        """
        ...


class TripleScores(nn.Module):
    """A copy of a ConvE, in eval mode, as a module that gives the triples' logits."""

    def __init__(self, model: ConvE) -> None:
        """Copy the model."""
        super().__init__()
        self.conve = copy.deepcopy(model).eval()

    def forward(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Score the triples one by one."""
        return self.conve.score(triples)


class TripleLosses(TripleScores):
    """A copy of a ConvE, in eval mode, as a module that gives the triples' losses."""

    def forward(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Give every triple's binary cross-entropy with label 1."""
        scores = super().forward(triples)
        return binary_cross_entropy_with_logits(scores, torch.ones_like(scores), reduction="none")


class Triples(Dataset[Tensor]):
    """Triples that are taken by the batch: collecting them one by one would cost as much as the scoring."""

    def __init__(self, triples: Int[Tensor, "rows 3"]) -> None:
        """Keep the triples."""
        self.triples = triples

    def __len__(self) -> int:
        """Count them."""
        return len(self.triples)

    def __getitem__(self, index: int) -> Int[Tensor, "3"]:
        """Take one."""
        return self.triples[index]

    def __getitems__(self, indices: list[int]) -> Int[Tensor, "batch 3"]:
        """Take a batch."""
        return self.triples[indices]


def with_labels(model: ConvE, triples: Int[Tensor, "rows 3"]) -> tuple[Tensor, Tensor]:
    """Put the label 1 beside every triple, as libraries want it that take a model and a loss."""
    return triples, torch.ones(len(triples), dtype=model.entity_embeddings.weight.dtype)


def batches(tensors: tuple[Tensor, ...], size: int) -> DataLoader[Any]:
    """Cut tensors into batches beforehand: a loader that collects rows one by one would cost more than some peers."""
    return DataLoader(list(zip(*(tensor.split(size) for tensor in tensors), strict=True)), batch_size=None)


def installed_version(requirement: str) -> str | None:
    """Give the installed version of a requirement's distribution, or None if none or none of the allowed range is."""
    wanted = Requirement(requirement)
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return None
    return version if wanted.specifier.contains(version, prereleases=True) else None
