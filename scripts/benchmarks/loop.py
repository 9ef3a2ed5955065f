"""The baseline: TracIn by one forward over all entities, one backward and one clone of every gradient per triple."""

import time

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from tracin_dask.models.conve import ConvE


def gradients(model: ConvE, triple: Tensor) -> dict[str, Tensor]:
    """Differentiate the loss of one triple by every parameter."""
    model.zero_grad()
    score = model(triple[None, 0], triple[None, 1])[0, triple[2]]
    binary_cross_entropy_with_logits(score[None], torch.ones(1)).backward()
    return {name: p.grad.detach().clone() for name, p in model.named_parameters() if p.grad is not None}


def triples_per_second(model: ConvE, train: Tensor, test: Tensor) -> float:
    """Score some training triples against all test triples, and say how many were done in a second."""
    model.eval()
    prepared = [{name: gradient.flatten() for name, gradient in gradients(model, triple).items()} for triple in test]
    start = time.perf_counter()
    for triple in train:
        mine = gradients(model, triple)
        for other in prepared:
            sum(torch.dot(gradient.flatten(), other[name]).item() for name, gradient in mine.items())
    return len(train) / (time.perf_counter() - start)
