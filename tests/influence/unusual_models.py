"""Models of one's own with complex tables, parts of two names, tensors that no score reads, or no forward mode."""

import torch
from influence.any_model import Bilinear
from torch import nn
from torch.autograd import Function


class Complex(nn.Module):
    """ComplEx with complex tables, a complex layer, and one real bias."""

    tables = {"entities": "entity", "relations": "relation"}  # noqa: RUF012 - as docs/other-models.md has it

    def __init__(self, num_entities, num_relations, dim=5):
        super().__init__()
        self.bias = nn.Parameter(torch.randn(dim))  # of 5 numbers, so that parts of a direction start anywhere
        self.entities = nn.Parameter(torch.randn(num_entities, dim, dtype=torch.complex64))
        self.relations = nn.Parameter(torch.randn(num_relations, dim, dtype=torch.complex64))
        self.layer = nn.Linear(dim, dim, dtype=torch.complex64)

    def score(self, triples):
        head, relation, tail = triples.T
        moved = self.layer(self.entities[head]) * self.relations[relation] + self.bias
        return (moved * self.entities[tail].conj()).real.sum(dim=1)


class OneModule(Bilinear):
    """Has one layer and one table under two names each, and names the table by the second."""

    tables = {"entities": "entity", "prior": "entity", "again.weight": "relation"}  # noqa: RUF012 - as docs/other-models.md has it

    def __init__(self, num_entities, num_relations):
        super().__init__(num_entities, num_relations)
        self.again, self.layers = self.relations, nn.ModuleList([self.mix, self.mix])

    def score(self, triples):
        head, relation, tail = triples.T
        moved = self.layers[1](torch.tanh(self.layers[0](self.entities[head, 0] * self.again(relation))))
        return (moved * self.entities[tail, 0]).sum(dim=1) + self.prior[tail]


class SharedTensor(Bilinear):
    """Has two layers with one weight."""

    def __init__(self, num_entities, num_relations):
        super().__init__(num_entities, num_relations)
        self.gloss = nn.Linear(*reversed(self.mix.weight.shape))
        self.gloss.weight = self.mix.weight

    def score(self, triples):
        head, relation, tail = triples.T
        moved = self.gloss(torch.tanh(self.mix(self.entities[head, 0] * self.relations(relation))))
        return (moved * self.entities[tail, 0]).sum(dim=1) + self.prior[tail]


class Unread(Bilinear):
    """Has a table and a layer that no score reads."""

    tables = Bilinear.tables | {"spare.weight": "relation"}

    def __init__(self, num_entities, num_relations):
        super().__init__(num_entities, num_relations)
        self.spare, self.idle = nn.Embedding(num_relations, 3), nn.Linear(2, 2)


class ReadsTablesOnly(Unread):
    def score(self, triples):
        head, _, tail = triples.T
        return (self.entities[head, 0] * self.entities[tail, 0]).sum(dim=1)


class Sine(Function):
    """Without a derivative in forward mode."""

    generate_vmap_rule = True

    @staticmethod
    def forward(values):
        return values.sin()

    @staticmethod
    def setup_context(ctx, inputs, output):  # noqa: ARG004 - as torch calls it
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.saved_tensors[0].cos() * gradient


class OldSine(Function):
    """As such functions were written before `torch.func`, which refuses them."""

    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return values.sin()

    @staticmethod
    def backward(ctx, gradient):
        return ctx.saved_tensors[0].cos() * gradient


class Waves(Bilinear):
    sine = Sine

    def score(self, triples):
        return self.sine.apply(super().score(triples))


class OldWaves(Waves):
    sine = OldSine


class Recurrent(Bilinear):
    """Reads head and relation one after the other."""

    def __init__(self, num_entities, num_relations):
        super().__init__(num_entities, num_relations)
        self.reader = nn.GRU(5, 5, batch_first=True)

    def score(self, triples):
        head, relation, tail = triples.T
        _, read = self.reader(torch.stack([self.entities[head, 0], self.relations(relation)], dim=1))
        return (read[0] * self.entities[tail, 0]).sum(dim=1)
