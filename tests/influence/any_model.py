"""Small models of PyKEEN's and of our own, and what plain autograd says about them, tensor by tensor."""

from copy import deepcopy
from dataclasses import dataclass
from functools import cache

import torch
from influence.agreement import TEST, TRAIN
from pykeen.models import ERModel, model_resolver
from pykeen.triples import CoreTriplesFactory
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from tracin_dask.models.rowwise import RowwiseModel
from tracin_dask.models.whole_model import face_of

NUM_ENTITIES, NUM_RELATIONS = 17, 4
SETTINGS = {
    "RotatE": {"embedding_dim": 6},
    "ComplEx": {"embedding_dim": 6},
    "DistMult": {"embedding_dim": 7},
    "TransE": {"embedding_dim": 7, "scoring_fct_norm": 2},
    "TuckER": {"embedding_dim": 6, "relation_dim": 4},
    "ConvE": {"embedding_dim": 12, "embedding_height": 3, "embedding_width": 4, "output_channels": 3},
}


def pykeen_model(name: str, dtype: torch.dtype = torch.float64, seed: int = 1) -> ERModel:
    """Make a model in eval mode in which no batch norm, bias or statistic is at its neutral value."""
    graph = CoreTriplesFactory(
        mapped_triples=torch.empty((0, 3), dtype=torch.int64), num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS
    )
    model = model_resolver.lookup(name)(triples_factory=graph, random_seed=seed, **SETTINGS[name]).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.mul_(0.6).add_(0.2 * torch.rand(tensor.shape, generator=generator))
    return model.to(dtype)


class Bilinear(nn.Module):
    """A model of one's own: tables, a dense layer, a single number, and a bias of every entity that is no parameter."""

    tables = {"entities": "entity", "prior": "entity", "relations.weight": "relation"}  # noqa: RUF012 - as docs/other-models.md has it

    def __init__(self, num_entities: int, num_relations: int, dim: int = 5) -> None:
        super().__init__()
        self.entities = nn.Parameter(torch.randn(num_entities, 1, dim))
        self.relations = nn.Embedding(num_relations, dim)
        self.mix = nn.Linear(dim, dim)
        self.sharpness = nn.Parameter(torch.tensor(1.2))
        self.register_buffer("prior", torch.randn(num_entities))

    def score(self, triples: Tensor) -> Tensor:
        head, relation, tail = triples.T
        moved = torch.tanh(self.mix(self.entities[head, 0] * self.relations(relation)))
        return self.sharpness * (moved * self.entities[tail, 0]).sum(dim=1) + self.prior[tail]


class TailsBilinear(Bilinear):
    """The model of one's own with the optional method, and with a trained bias of every entity."""

    def __init__(self, num_entities: int, num_relations: int, dim: int = 5) -> None:
        super().__init__(num_entities, num_relations, dim)
        prior = self.prior
        del self.prior
        self.prior = nn.Parameter(prior)

    def score_tails(self, pairs: Tensor) -> Tensor:
        head, relation = pairs.T
        moved = torch.tanh(self.mix(self.entities[head, 0] * self.relations(relation)))
        return self.sharpness * moved @ self.entities[:, 0].T + self.prior


class AllDense(nn.Module):
    """A model without tables: one tensor that every score reads in one place."""

    tables = {}  # noqa: RUF012 - as docs/other-models.md has it

    def __init__(self, num_entities: int, num_relations: int) -> None:
        super().__init__()
        self.num_entities, self.num_relations = num_entities, num_relations
        self.scores = nn.Parameter(torch.randn(num_entities, num_relations, num_entities))

    def score(self, triples: Tensor) -> Tensor:
        return self.scores[triples[:, 0], triples[:, 1], triples[:, 2]]


OWN = {"own": Bilinear, "dense": AllDense}


def face(name: str, dtype: torch.dtype = torch.float64) -> RowwiseModel:
    return deepcopy(_checked_face(name, dtype))


@cache
def _checked_face(name: str, dtype: torch.dtype) -> RowwiseModel:
    if name in OWN:
        torch.manual_seed(0)
        return face_of(OWN[name](NUM_ENTITIES, NUM_RELATIONS).to(dtype))
    return face_of(pykeen_model(name, dtype=dtype))


def score(model: nn.Module, triples: Tensor) -> Tensor:
    """Score triples as the model itself does."""
    return model.score_hrt(triples).flatten() if isinstance(model, ERModel) else model.score(triples)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Products [train, test] of gradients and their norms, by tensor."""

    products: dict[str, Tensor]
    train_norms: dict[str, Tensor]
    test_norms: dict[str, Tensor]

    def together(self, names) -> tuple[Tensor, Tensor]:
        """Give the products over some tensors, and what none can be beyond (Cauchy-Schwarz)."""
        left, right = (
            torch.stack([norms[name] for name in names]).norm(dim=0) for norms in (self.train_norms, self.test_norms)
        )
        return sum(self.products[name] for name in names), left[:, None] * right


def gradients(model: nn.Module, triple: Tensor, loss) -> dict[str, Tensor]:
    """Differentiate the loss of one triple by every parameter, whole tables included."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(loss(model, triple), parameters, allow_unused=True, materialize_grads=True)
    real = (torch.view_as_real(gradient.resolve_conj()) if gradient.is_complex() else gradient for gradient in found)
    return {name: gradient.flatten() for name, gradient in zip(names, real, strict=True)}


def own_bce(model: nn.Module, triple: Tensor) -> Tensor:
    own = score(model, triple[None])
    return binary_cross_entropy_with_logits(own, torch.ones_like(own))


def of_negatives(loss):
    """Make a loss of a triple from one of its score and those of its corrupted triples."""

    def value(model: nn.Module, triple: Tensor) -> Tensor:
        drawn = torch.from_numpy(loss.corrupted(triple[None].numpy(), NUM_ENTITIES)[:, 0])
        return loss.value(score(model, torch.cat([triple[None], drawn]))[None])[0]

    return value


def ask(model: nn.Module, train: Tensor, test: Tensor, loss=own_bce, test_loss=None, *, scales=None) -> Truth:
    """Let autograd say it, one backward pass per triple; `scales` are P of each tensor, and stand in every product."""
    sides = []
    for triples, its_loss in ((train, loss), (test, test_loss or loss)):
        rows = [gradients(model, triple, its_loss) for triple in triples]
        side = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        sides.append({name: rows * scales[name].flatten().sqrt() if scales else rows for name, rows in side.items()})
    ours, theirs = sides
    return Truth(
        products={name: ours[name] @ theirs[name].T for name in ours},
        train_norms={name: rows.norm(dim=1) for name, rows in ours.items()},
        test_norms={name: rows.norm(dim=1) for name, rows in theirs.items()},
    )


def step(model: nn.Module, triples: Tensor, parameters=None) -> torch.optim.Adam:
    """Train a model, or some parameters of one, for three steps of Adam; give the optimiser."""
    optimizer = torch.optim.Adam(parameters or list(model.parameters()), lr=1e-3)
    model.train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(3):
            optimizer.zero_grad()
            score(model, triples).sigmoid().sum().backward()
            optimizer.step()
    model.eval()
    return optimizer


@cache
def truth_of(name: str) -> Truth:
    return ask(face(name).model, TRAIN, TEST)
