"""A model whose gradients would be lost or be those of other rows is refused when it is loaded, with the reason."""

from copy import deepcopy

import pytest
import torch
from influence.any_model import NUM_ENTITIES, NUM_RELATIONS, Bilinear
from influence.live_bytes import LiveBytes
from pykeen.models import RGCN, CompGCN, ERModel
from pykeen.nn import Embedding
from pykeen.triples import CoreTriplesFactory
from torch import nn

from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.load import load_checkpoint
from tracin_dask.models.whole_model import face_of


def refused(make, message):
    torch.manual_seed(0)
    model = make(100, NUM_RELATIONS)
    with pytest.raises(CheckpointError, match=message):
        face_of(model)


class WithBias(Bilinear):
    """Has a bias of every entity, so small that no score shows it, and does not name it as a table."""

    def __init__(self, num_entities, num_relations):
        super().__init__(num_entities, num_relations)
        self.bias = nn.Parameter(torch.full((num_entities,), 1e-9))

    def score(self, triples):
        return super().score(triples) + self.bias[triples[:, 2]]


@pytest.mark.fault("a table of a model is not named, its values are tiny", promised="one message")
def test_a_forgotten_table_of_tiny_values_is_refused():
    refused(
        WithBias, "gives other scores from the rows of entities, .* than as a whole: every tensor that has a row per"
    )


class Types(Bilinear):
    """Reads the type of an entity from a buffer that is not named as a table, where almost all have type 0."""

    def __init__(self, num_entities, num_relations):
        super().__init__(num_entities, num_relations)
        self.types = nn.Parameter(torch.randn(2))
        self.register_buffer("type_of", torch.zeros(num_entities, dtype=torch.int64).index_fill(0, torch.tensor(3), 1))

    def score(self, triples):
        return super().score(triples) * self.types[self.type_of[triples[:, 2]]]


def test_a_forgotten_table_of_whole_numbers_that_are_almost_all_equal_is_refused():
    refused(Types, "gives other scores from the rows of entities, .* than as a whole")


class OneRelation(Bilinear):
    """Has a rule for one relation of 40."""

    rule = staticmethod(lambda scores: 2 * scores)

    def score(self, triples):
        scores = super().score(triples)
        return torch.where(triples[:, 1] == 31, self.rule(scores), scores)


class NoGradientForOneRelation(OneRelation):
    rule = staticmethod(lambda scores: scores.detach())


@pytest.mark.fault("a model with a rule for one relation", promised="one message")
@pytest.mark.parametrize(("kind", "what"), [(OneRelation, "scores"), (NoGradientForOneRelation, "gradients of")])
def test_a_rule_for_one_relation_of_many_is_refused(kind, what):
    with pytest.raises(CheckpointError, match=f"gives other {what}.* from the rows .* depend on ids only through"):
        face_of(kind(NUM_ENTITIES, 40))


class Encoding(nn.Module):
    """Computes all entities with a layer, and keeps the outcome in eval mode."""

    tables = {"relations.weight": "relation"}  # noqa: RUF012 - as docs/other-models.md has it

    def __init__(self, num_entities, num_relations):
        super().__init__()
        self.num_entities = num_entities
        self.base, self.relations = (nn.Embedding(number, 5) for number in (num_entities, num_relations))
        self.layer, self.kept = nn.Linear(5, 5), None

    def encoded(self):
        if self.training or self.kept is None:
            self.kept = torch.tanh(self.layer(self.base.weight))
        return self.kept

    def score(self, triples):
        head, relation, tail = triples.T
        entities = self.encoded()
        return (entities[head] * self.relations(relation) * entities[tail]).sum(dim=1)


class EncodingWithoutGradients(Encoding):
    def encoded(self):
        if self.training:
            return super().encoded()
        with torch.no_grad():
            return super().encoded()


class PartlyWithoutGradients(EncodingWithoutGradients):
    def score(self, triples):
        return super().score(triples) + self.base(triples[:, 0]).sum(dim=1)


class EncodedOnce(Encoding):
    """Computes all entities when it is put into eval mode."""

    def train(self, mode=True):
        with torch.no_grad():
            self.kept = None
            self.kept = super().encoded()
        return super().train(mode)

    def encoded(self):
        return torch.tanh(self.layer(self.base.weight)) if self.training else self.kept


@pytest.mark.fault("a model that caches in eval mode", promised="one message")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Encoding, "keeps results from one call to the next in eval mode, as a cache does"),
        (EncodingWithoutGradients, "gradients of base.weight in eval mode are not those of training mode"),
        (PartlyWithoutGradients, "gradients of base.weight in eval mode are not those of training mode"),
        (EncodedOnce, "gradients of base.weight in eval mode are not those of training mode"),
    ],
)
def test_a_model_that_caches_in_eval_mode_is_refused(kind, message):
    refused(kind, message)


def test_a_model_that_computes_entities_anew_is_taken():
    class Anew(Encoding):
        def encoded(self):
            return torch.tanh(self.layer(self.base.weight))

    assert set(face_of(Anew(NUM_ENTITIES, NUM_RELATIONS)).config.parameter_names) == {
        *("base.weight", "relations.weight", "layer.weight", "layer.bias")
    }


class NoGradients(Bilinear):
    def score(self, triples):
        with torch.no_grad():
            return super().score(triples)


class Complex(Bilinear):
    def score(self, triples):
        return super().score(triples) + 1j


class Raising(Bilinear):
    def score(self, triples):
        return {"only": super().score(triples)}["scores"]


class Decides(Bilinear):
    def score(self, triples):
        return super().score(triples) * (2.0 if (self.entities[triples[:, 0], 0, 0] > 0).any() else 1.0)


class SecondRaises(Bilinear):
    calls = 0

    def score(self, triples):
        self.calls += 1
        if self.calls > 1:
            raise LookupError("one call only")
        return super().score(triples)


@pytest.mark.fault("a model whose score raises, or has no gradients", promised="one message")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (NoGradients, "NoGradients: its scores have no gradients in eval mode; compute them from the parameters"),
        (Complex, r"score must return one real number per triple; .* numbers of the type torch\.complex"),
        (Raising, r"Raising: its method score raised KeyError: 'scores' \(for ids of the shape \(2, 3\)\)"),
        (Decides, "a score must not depend on the other triples of a batch"),
        (SecondRaises, "SecondRaises: its method score raised LookupError: one call only"),
    ],
)
def test_a_score_that_raises_or_has_no_gradients_is_refused_in_one_message(kind, message):
    refused(kind, message)


class Neighbours(Bilinear):
    """Adds up what the neighbours in the graph are."""

    tables = {"entities": "entity", "prior": "entity", "relations.weight": "relation"}  # noqa: RUF012 - as docs/other-models.md has it

    def __init__(self, num_entities, num_relations):
        super().__init__(num_entities, num_relations)
        self.register_buffer("adjacency", (torch.rand(num_entities, num_entities) < 0.2).float())

    def score(self, triples):
        head, relation, tail = triples.T
        entities = self.adjacency.to(self.entities.dtype) @ self.entities[:, 0]
        return (entities[head] * self.relations(relation) * entities[tail]).sum(dim=1)


class AllEntities(Bilinear):
    """Subtracts the mean of all entities, with no tensor as large as the graph."""

    def score(self, triples):
        return super().score(triples) - self.entities.mean()


@pytest.mark.fault("message passing over the graph, a model of one's own", promised="it is refused by that name")
@pytest.mark.parametrize("kind", [Neighbours, AllEntities])
@pytest.mark.parametrize("fewest_rows", [1024, 7])
def test_message_passing_over_the_graph_is_refused_by_that_name(kind, fewest_rows, monkeypatch):
    """With tables that the copies keep whole, and with large ones, of which they keep the first rows."""
    monkeypatch.setattr("tracin_dask.models.checks.copies._FEWEST_ROWS", fewest_rows)
    monkeypatch.setattr("tracin_dask.models.checks.copies._MOST_NUMBERS", 1)
    with pytest.raises(
        CheckpointError, match="passes messages over the graph: its scores read rows of entities that no"
    ):
        face_of(kind(100, NUM_RELATIONS))


def pykeens(kind, *, inverse=False) -> ERModel:
    triples = torch.tensor([[0, 0, 1], [1, 1, 2], [2, 2, 3], [3, 3, 4]])
    graph = CoreTriplesFactory(
        triples, num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS, create_inverse_triples=inverse
    )
    return kind(triples_factory=graph, embedding_dim=6, random_seed=0)


@pytest.mark.fault("message passing over the graph, RGCN and CompGCN of PyKEEN", promised="it is refused by that name")
@pytest.mark.parametrize(("kind", "inverse"), [(RGCN, False), (CompGCN, True)])
def test_message_passing_of_pykeen_is_refused_by_that_name(kind, inverse, tmp_path):
    model = pykeens(kind, inverse=inverse)
    message = f"{kind.__name__} passes messages over the graph"
    with pytest.raises(CheckpointError, match=message):
        face_of(model)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "state.pt", description=ModelDescription(model=kind.__name__))


class CachedEmbedding(Embedding):
    """A table of PyKEEN's that keeps what it gave first."""

    kept = None

    def forward(self, indices=None):
        if self.kept is None or self.training:
            self.kept = super().forward(None)
        return self.kept if indices is None else self.kept[indices]


def test_a_representation_of_pykeen_that_caches_is_refused():
    model = ERModel(
        triples_factory=pykeens(RGCN).relation_representations
        and CoreTriplesFactory(
            torch.empty((0, 3), dtype=torch.int64), num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS
        ),
        interaction="distmult",
        entity_representations=CachedEmbedding(max_id=NUM_ENTITIES, shape=(4,)),
        relation_representations_kwargs={"shape": (4,)},
        random_seed=0,
    )
    with pytest.raises(CheckpointError, match="keeps results from one call to the next in eval mode"):
        face_of(model)


def test_the_check_leaves_the_model_as_it_was():
    torch.manual_seed(0)
    model = Bilinear(NUM_ENTITIES, NUM_RELATIONS).eval()
    before, tensors = deepcopy(model), dict(model.named_parameters())
    face_of(model)
    assert all(tensor is dict(model.named_parameters())[name] for name, tensor in tensors.items())
    assert all(torch.equal(tensor, before.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert all(tensor.grad is None for tensor in tensors.values())


def test_the_check_of_a_large_model_copies_only_few_rows():
    torch.manual_seed(0)
    model = Bilinear(4_000_000, NUM_RELATIONS)
    with LiveBytes() as live:
        face_of(model)
    assert 0 < live.peak_bytes < model.entities.nbytes / 2


def test_scores_that_are_undefined_for_negative_values_are_checked_near_their_own():
    class Roots(Bilinear):
        def score(self, triples):
            return super().score(triples) * self.sharpness.sqrt()

    assert face_of(Roots(NUM_ENTITIES, NUM_RELATIONS)).config.num_entities == NUM_ENTITIES


def test_scores_whose_gradients_are_undefined_for_loops_are_checked_without_them():
    class Distance(Bilinear):
        def score(self, triples):
            head, relation, tail = triples.T
            moved = self.entities[head, 0] - self.entities[tail, 0]
            return moved.square().sum(dim=1).sqrt() * self.relations(relation).sum(dim=1)

    assert face_of(Distance(NUM_ENTITIES, NUM_RELATIONS)).config.num_entities == NUM_ENTITIES


def test_a_class_that_raises_when_it_is_made_is_refused_in_one_message():
    class Unmade(Bilinear):
        def __init__(self, num_entities, num_relations):
            super().__init__(num_entities // 0, num_relations)

    state = Bilinear(NUM_ENTITIES, NUM_RELATIONS).state_dict()
    with pytest.raises(CheckpointError, match=r"Unmade refuses \{\}: ZeroDivisionError: .*; it takes: num_entities"):
        ModelDescription(model=Unmade).build(state, dtype=torch.float32)


@pytest.mark.fault("a model's module raises when it is imported", promised="one message")
def test_a_module_that_raises_when_it_is_imported_is_refused_in_one_message(tmp_path, monkeypatch):
    (tmp_path / "raising_module.py").write_text("not_defined\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"raising_module:Mine cannot be imported \(NameError: name 'not_defined' is"):
        ModelDescription(model="raising_module:Mine").build({}, dtype=torch.float32)
