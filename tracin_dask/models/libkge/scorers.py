"""How LibKGE's models score: a query made of head and relation is compared with rows of the entity table.

A row of ComplEx, and of RotatE's entities, holds the real parts first and the imaginary parts after them; RotatE's
relations are angles. A row of ConvE has one more column, in front: the bias of the entity. Relations have such a
column, too, which no score reads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.linalg import vector_norm

Combine = Callable[[Tensor, Tensor], Tensor]
"""Makes queries of the rows of heads and relations."""


@runtime_checkable
class Scorer(Protocol):
    """How one kind of model scores. Shapes are plain types, as `torch.func` maps these functions."""

    def query(self, head: Tensor, relation: Tensor) -> Tensor:
        """Combine rows of heads and relations [pair, ...]."""
        ...

    def compare(self, query: Tensor, tail: Tensor) -> Tensor:
        """Score each query with its tail."""
        ...

    def compare_all(self, query: Tensor, tails: Tensor) -> Tensor:
        """Score each query with all tails: [pair, entity]."""
        ...


@dataclass(frozen=True, slots=True)
class Products:
    """Scores that are inner products with the tail: DistMult and ComplEx."""

    query: Combine

    def compare(self, query: Tensor, tail: Tensor) -> Tensor:
        """Multiply each query with its tail."""
        return (query * tail).sum(dim=-1)

    def compare_all(self, query: Tensor, tails: Tensor) -> Tensor:
        """Multiply each query with all tails."""
        return query @ tails.T


@dataclass(frozen=True, slots=True)
class Distances:
    """Scores that are distances from the tail, negated: TransE and RotatE."""

    query: Combine
    l_norm: int | float
    are_complex: bool
    """Whether the norm is that of the moduli of complex numbers."""

    def compare(self, query: Tensor, tail: Tensor) -> Tensor:
        """Give the distance of each query from its tail, negated."""
        difference = query - tail
        if self.are_complex:
            difference = vector_norm(torch.stack(difference.chunk(2, dim=-1)), dim=0)
        distance: Tensor = vector_norm(difference, ord=self.l_norm, dim=-1)
        return -distance

    def compare_all(self, query: Tensor, tails: Tensor) -> Tensor:
        """Give the distance of each query from all tails, negated."""
        return self.compare(query[:, None], tails[None])


class Convolutions(nn.Module):
    """ConvE: images one above the other, batch norms without weights, and biases in the column in front."""

    def __init__(self, image: tuple[int, int], convolution: nn.Conv2d, num_features: int) -> None:
        """Take the height and width of one embedding's image, and the convolution of two of them into features."""
        super().__init__()
        dim = image[0] * image[1]
        self.image = image
        self.convolution = convolution
        self.bn1 = nn.BatchNorm2d(convolution.out_channels, affine=False)
        self.projection = nn.Linear(num_features, dim)
        self.bn2 = nn.BatchNorm1d(dim, affine=False)

    def query(self, head: Tensor, relation: Tensor) -> Tensor:
        """Convolve the images, and project the feature maps."""
        images = torch.cat([row[:, 1:].reshape(-1, 1, *self.image) for row in (head, relation)], dim=2)
        features = torch.relu(self.bn1(self.convolution(images))).flatten(start_dim=1)
        return torch.relu(cast("Tensor", self.bn2(self.projection(features))))

    def compare(self, query: Tensor, tail: Tensor) -> Tensor:
        """Multiply each query with its tail, and add the bias."""
        return (query * tail[:, 1:]).sum(dim=1) + tail[:, 0]

    def compare_all(self, query: Tensor, tails: Tensor) -> Tensor:
        """Multiply each query with all tails, and add their biases."""
        return query @ tails[:, 1:].T + tails[:, 0]


def multiply_complex(head: Tensor, relation: Tensor) -> Tensor:
    """Multiply complex numbers, whose real parts stand in front."""
    (real, imaginary), (its_real, its_imaginary) = head.chunk(2, dim=-1), relation.chunk(2, dim=-1)
    product = (real * its_real - imaginary * its_imaginary, real * its_imaginary + imaginary * its_real)
    return torch.cat(product, dim=-1)


def rotate(head: Tensor, angles: Tensor) -> Tensor:
    """Rotate complex numbers."""
    return multiply_complex(head, torch.cat([angles.cos(), angles.sin()], dim=-1))
