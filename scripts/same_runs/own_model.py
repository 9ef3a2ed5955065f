"""A model of one's own for `--model-description`: tables, a dense layer, a single number, and an untrained bias."""

from typing import ClassVar

import torch
from torch import Tensor, nn


class Bilinear(nn.Module):
    """Scores by a product of the tail with a layer of the product of head and relation."""

    tables: ClassVar[dict[str, str]] = {"entities": "entity", "prior": "entity", "relations.weight": "relation"}

    def __init__(self, num_entities: int, num_relations: int, dim: int) -> None:
        """Make the tensors."""
        super().__init__()
        self.entities = nn.Parameter(torch.empty(num_entities, 1, dim))
        self.relations = nn.Embedding(num_relations, dim)
        self.mix = nn.Linear(dim, dim)
        self.sharpness = nn.Parameter(torch.empty(()))
        self.register_buffer("prior", torch.empty(num_entities))

    def score(self, triples: Tensor) -> Tensor:
        """Score triples (head, relation, tail)."""
        head, relation, tail = triples.T
        moved = torch.tanh(self.mix(self.entities[head, 0] * self.relations(relation)))
        return self.sharpness * (moved * self.entities[tail, 0]).sum(dim=1) + self.prior[tail]
