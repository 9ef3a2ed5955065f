"""The baseline: TracIn by one forward, one backward and one clone of every gradient per triple."""

import time
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

Score: TypeAlias = Callable[[nn.Module, Tensor], Tensor]
"""Scores one triple."""


def score_among_all(model: nn.Module, triple: Tensor) -> Tensor:
    """Score one triple of a ConvE by a forward pass over all entities, as in training."""
    every: Tensor = model(triple[None, 0], triple[None, 1])
    return every[0, triple[2]]


def gradients(model: nn.Module, triple: Tensor, score_one: Score = score_among_all) -> dict[str, Tensor]:
    """Differentiate the loss of one triple by every parameter."""
    model.zero_grad()
    score = score_one(model, triple)
    binary_cross_entropy_with_logits(score[None], torch.ones(1, device=score.device)).backward()
    return {name: p.grad.detach().clone() for name, p in model.named_parameters() if p.grad is not None}


def triples_per_second(model: nn.Module, train: Tensor, test: Tensor, *, score: Score = score_among_all) -> float:
    """Score some training triples against all test triples, and say how many were done in a second."""
    model.eval()
    prepared = [
        {name: gradient.flatten() for name, gradient in gradients(model, triple, score).items()} for triple in test
    ]
    start = time.perf_counter()
    for triple in train:
        mine = gradients(model, triple, score)
        for other in prepared:
            sum(torch.dot(gradient.flatten(), other[name]).item() for name, gradient in mine.items())
    return len(train) / (time.perf_counter() - start)
