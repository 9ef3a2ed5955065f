"""Baselines: numbers for pairs of a training and a test triple that no influence is computed for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.models.conve.model import ConvE


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: cached_property keeps what was computed
class Situation:
    """What a baseline may look at: the triples, and one trained model."""

    triples: Int[ndarray, "row 3"]
    tests: Int[ndarray, "test 3"]
    model: ConvE
    seed: int

    @cached_property
    def degree(self) -> Int[ndarray, " entity"]:
        """Count the training triples of every entity, as head or tail."""
        ends = self.triples[:, [0, 2]].ravel().astype(np.int64)
        return np.bincount(ends, minlength=self.model.config.num_entities)

    @cached_property
    def tables(self) -> tuple[Float[ndarray, "entity dim"], Float[ndarray, "relation dim"]]:
        """The embeddings of entities and relations."""
        weights = (self.model.entity_embeddings.weight, self.model.relation_embeddings.weight)
        entities, relations = (weight.detach().double().numpy() for weight in weights)
        return entities, relations

    @cached_property
    def saliency(self) -> Float[ndarray, "test 3"]:
        """⟨∂ score / ∂ x, x⟩ of head, relation and tail x of every test triple."""
        return np.array([_saliency(self.model, triple) for triple in self.tests])


Baseline = Callable[[Situation, int, int], Float[ndarray, "test row"]]
"""Gives the numbers of the rows start ≤ row < stop."""


def _random(situation: Situation, start: int, stop: int) -> Float[ndarray, "test row"]:
    """Uniform random numbers that depend on the seed, the test triple and the row alone."""
    tests = np.arange(len(situation.tests), dtype=np.uint64)[:, None]
    rows = np.arange(start, stop, dtype=np.uint64)[None, :]
    found: ndarray = _mixed(_mixed(tests + np.uint64(situation.seed)) + rows) / float(2**64)
    return found


def _mixed(numbers: ndarray) -> ndarray:
    """Mix the bits of whole numbers (splitmix64)."""
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def _touches(situation: Situation, start: int, stop: int) -> ndarray:
    """Tell which rows have the head or the tail of each test triple: [end of the test triple, test, row]."""
    heads, tails = situation.triples[start:stop, 0], situation.triples[start:stop, 2]
    ends = situation.tests[:, [0, 2]].T[:, :, None]
    found: ndarray = (ends == heads) | (ends == tails)
    return found


def _random_neighbour(situation: Situation, start: int, stop: int) -> Float[ndarray, "test row"]:
    found: ndarray = _random(situation, start, stop) * _touches(situation, start, stop).any(axis=0)
    return found


def _degree(situation: Situation, start: int, stop: int) -> Float[ndarray, "test row"]:
    """The degrees of head and tail, the same for every test triple."""
    degrees = situation.degree[situation.triples[start:stop, [0, 2]]].sum(axis=1).astype(np.float64)
    return np.broadcast_to(degrees, (len(situation.tests), stop - start))


def _shared(situation: Situation, start: int, stop: int) -> Float[ndarray, "test row"]:
    """How many of head, tail and relation of the test triple the training triple has."""
    same_relation = situation.tests[:, 1:2] == situation.triples[start:stop, 1]
    found: ndarray = _touches(situation, start, stop).sum(axis=0) + same_relation.astype(np.float64)
    return found


def _embedding_cosine(situation: Situation, start: int, stop: int) -> Float[ndarray, "test row"]:
    """The cosine of the embeddings of head, relation and tail, side by side."""
    tests, rows = _embedded(situation, situation.tests), _embedded(situation, situation.triples[start:stop])
    found: ndarray = tests @ rows.T
    return found


def _embedded(situation: Situation, triples: ndarray) -> ndarray:
    entities, relations = situation.tables
    joined = np.concatenate([entities[triples[:, 0]], relations[triples[:, 1]], entities[triples[:, 2]]], axis=1)
    unit: ndarray = joined / np.linalg.norm(joined, axis=1, keepdims=True)
    return unit


def _gradient_input(situation: Situation, start: int, stop: int) -> Float[ndarray, "test row"]:
    """Gradient × input of the test triple's score, summed over what the training triple shares with it."""
    head, tail = _touches(situation, start, stop)
    relation = situation.tests[:, 1:2] == situation.triples[start:stop, 1]
    saliency = situation.saliency
    found: ndarray = head * saliency[:, :1] + relation * saliency[:, 1:2] + tail * saliency[:, 2:]
    return found


def _saliency(model: ConvE, triple: ndarray) -> list[float]:
    found: list[Tensor] = []
    hooks = [
        table.register_forward_hook(lambda _module, _inputs, rows: found.append(rows))
        for table in (model.entity_embeddings, model.relation_embeddings)
    ]
    try:
        score = model.score(torch.as_tensor(triple[None].astype(np.int64)))
    finally:
        for hook in hooks:
            hook.remove()
    gradients = torch.autograd.grad(score.sum(), found)
    head, relation, tail = ((row * gradient).sum().item() for row, gradient in zip(found, gradients, strict=True))
    return [head, relation, tail]


def _training_loss(situation: Situation, start: int, stop: int) -> Float[ndarray, "test row"]:
    """The loss of the training triple, the same for every test triple."""
    with torch.inference_mode():
        score = situation.model.score(torch.as_tensor(situation.triples[start:stop].astype(np.int64)))
    loss = np.logaddexp(0, -score.double().numpy())
    return np.broadcast_to(loss, (len(situation.tests), stop - start))


BASELINES: Mapping[str, Baseline] = {
    "random": _random,
    "random-neighbour": _random_neighbour,
    "degree": _degree,
    "shared": _shared,
    "embedding-cosine": _embedding_cosine,
    "gradient-input": _gradient_input,
    "training-loss": _training_loss,
}
OF_TRAINING_TRIPLES = ("random", "degree", "training-loss")
"""Those that say something of a training triple without a test triple."""
OF_MODELS = ("embedding-cosine", "gradient-input", "training-loss")
"""Those that depend on a trained model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineScores:
    """A baseline as influences are read: rows by rows."""

    baseline: Baseline
    situation: Situation

    def read(self, start: int, stop: int) -> Float[ndarray, "test row"]:
        """Give the numbers of some rows."""
        found: ndarray = self.baseline(self.situation, start, stop).astype(np.float64)
        return found
