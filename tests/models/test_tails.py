"""All tails of a pair scored in one call: the same scores and derivatives as triple by triple, or a refusal."""

import pytest
import torch
from influence.any_model import NUM_ENTITIES, NUM_RELATIONS, SETTINGS, AllDense, Bilinear, face, pykeen_model
from pykeen.models import DistMult
from pykeen.triples import CoreTriplesFactory
from torch.func import jvp, vjp, vmap

from tracin_dask.errors import CheckpointError
from tracin_dask.models.rowwise import RowwiseModel
from tracin_dask.models.whole_model import face_of

PAIRS = torch.tensor([[0, 1], [5, 0], [16, 3]])


class Tailed(Bilinear):
    """A model of one's own that scores all tails, too."""

    def moved(self, pairs):
        return torch.tanh(self.mix(self.entities[pairs[:, 0], 0] * self.relations(pairs[:, 1])))

    def score_tails(self, pairs):
        return self.sharpness * self.moved(pairs) @ self.entities[:, 0].T + self.prior


def tailed(kind: type[Bilinear] = Tailed) -> RowwiseModel:
    torch.manual_seed(0)
    return face_of(kind(NUM_ENTITIES, NUM_RELATIONS).double())


def of_pykeen(name: str, dtype: torch.dtype = torch.float64) -> RowwiseModel:
    """Make a model whose weights are as training leaves them: RotatE's relations have the length 1."""
    model = pykeen_model(name, dtype=dtype)
    model.post_parameter_update()
    return face_of(model)


@pytest.fixture(params=[*SETTINGS, "own"])
def model(request) -> RowwiseModel:
    return tailed() if request.param == "own" else of_pykeen(request.param)


def directly(model: RowwiseModel, pairs):
    """Score all tails as the model itself does."""
    return (model.model.score_t if hasattr(model.model, "score_t") else model.model.score_tails)(pairs)


def one_by_one(model, pairs):
    triples = torch.cat(
        [pairs.repeat_interleave(NUM_ENTITIES, dim=0), torch.arange(NUM_ENTITIES).repeat(len(pairs))[:, None]], dim=1
    )
    return model(triples).view(len(pairs), NUM_ENTITIES)


def trained(model):
    return {name: tensor.detach() for name, tensor in model.tensors().items() if tensor.requires_grad}


def drawn(tensors, *more):
    torch.manual_seed(1)
    return {name: torch.randn(*more, *tensor.shape, dtype=tensor.dtype) for name, tensor in tensors.items()}


def test_scores_of_all_tails_are_those_of_the_triples(model):
    assert model.why_no_tails == ""
    with torch.no_grad():
        torch.testing.assert_close(model.score_all_tails({}, PAIRS), one_by_one(model, PAIRS), rtol=1e-9, atol=1e-9)


def test_scores_of_all_tails_are_a_function_of_all_trained_tensors(model):
    moved = {name: tensor + 0.1 for name, tensor in trained(model).items()}
    scores = model.score_all_tails(moved, PAIRS)
    with torch.no_grad():
        for name, tensor in model.model.named_parameters():
            tensor.copy_(moved[name])
        assert torch.equal(scores, directly(model, PAIRS))


def test_gradients_through_all_tails_are_those_of_autograd(model):
    names, parameters = zip(*((name, p) for name, p in model.model.named_parameters() if p.requires_grad), strict=True)
    weights = torch.randn(len(PAIRS), NUM_ENTITIES, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    by_autograd = torch.autograd.grad((weights * directly(model, PAIRS)).sum(), parameters)
    _, back = vjp(lambda tensors: model.score_all_tails(tensors, PAIRS), trained(model))
    (found,) = back(weights)
    for name, gradient in zip(names, by_autograd, strict=True):
        torch.testing.assert_close(found[name], gradient, rtol=1e-12, atol=1e-12, msg=name)


def test_derivatives_along_several_directions_are_mapped(model):
    at = trained(model)
    directions = drawn(at, 4)

    def along(direction):
        return jvp(lambda tensors: model.score_all_tails(tensors, PAIRS), (at,), (direction,))[1]

    found = vmap(along)(directions)
    for number in range(4):
        expected = along({name: tensor[number] for name, tensor in directions.items()})
        torch.testing.assert_close(found[number], expected, rtol=1e-9, atol=1e-9)


def test_gradients_of_pairs_are_mapped_one_by_one(model):
    at = trained(model)

    def gradient(pair):
        return vjp(lambda tensors: model.score_all_tails(tensors, pair[None])[0].logsumexp(0), at)[1](
            torch.ones((), dtype=torch.float64)
        )[0]

    found = vmap(gradient)(PAIRS)
    for number, pair in enumerate(PAIRS):
        for name, expected in gradient(pair).items():
            torch.testing.assert_close(found[name][number], expected, rtol=1e-9, atol=1e-9, msg=name)


def test_what_all_tails_of_a_pair_take_is_measured():
    model, dim = tailed(), 5
    config = model.config_with_tails()
    assert (model.config.tails_effort, config.effort) == (None, model.config.effort)
    assert config.tails_effort.multiply_adds == dim * dim + dim * NUM_ENTITIES
    assert config.tails_effort.values >= NUM_ENTITIES


class Others(Tailed):
    def score_tails(self, pairs):
        return super().score_tails(pairs) + (torch.arange(NUM_ENTITIES) == pairs[:, :1])


class Narrow(Tailed):
    def score_tails(self, pairs):
        return super().score_tails(pairs)[:, :5]


class Cut(Tailed):
    def score_tails(self, pairs):
        return super().score_tails(pairs).detach()


class PartlyCut(Tailed):
    def score_tails(self, pairs):
        return self.sharpness * self.moved(pairs) @ self.entities[:, 0].detach().T + self.prior


class ByNumpy(Tailed):
    def score_tails(self, pairs):
        return torch.from_numpy(super().score_tails(pairs).numpy())


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Bilinear, r"Bilinear has no method score_tails\(pairs\): it scores one triple at a time"),
        (Others, "its method score_tails gives other scores than single triples have"),
        (Narrow, r"its method score_tails gives the shape \(3, 5\), not \(3, 17\)"),
        (Cut, "gives scores with other derivatives than those of single triples"),
        (PartlyCut, "gives scores with other derivatives than those of single triples"),
        (ByNumpy, r"its method score_tails cannot be differentiated with torch\.func: "),
    ],
)
def test_a_model_that_cannot_score_all_tails_says_why(kind, message):
    model = tailed(kind)
    assert not model.can_score_tails
    with pytest.raises(CheckpointError, match=message):
        model.config_with_tails()


class Unlike(DistMult):
    """A model of PyKEEN's whose two methods disagree."""

    def score_t(self, hr_batch, **options):
        return super().score_t(hr_batch, **options).flip(1)


def test_a_model_of_pykeen_whose_score_t_disagrees_says_so():
    graph = CoreTriplesFactory(
        mapped_triples=torch.empty((0, 3), dtype=torch.int64), num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS
    )
    model = face_of(Unlike(triples_factory=graph, embedding_dim=4, random_seed=0).double())
    with pytest.raises(CheckpointError, match="Unlike: its method score_t gives other scores than single triples have"):
        model.config_with_tails()


def test_all_tails_of_a_model_without_tables_are_scored():
    class Table(AllDense):
        def score_tails(self, pairs):
            return self.scores[pairs[:, 0], pairs[:, 1]]

    model = face_of(Table(NUM_ENTITIES, NUM_RELATIONS).double())
    assert model.can_score_tails
    with torch.no_grad():
        assert torch.equal(model.score_all_tails({}, PAIRS), one_by_one(model, PAIRS))


def test_a_model_loaded_in_single_precision_scores_all_tails():
    assert of_pykeen("RotatE", torch.float32).why_no_tails == ""


def test_a_rotate_whose_relations_stretch_scores_all_tails_otherwise():
    with pytest.raises(CheckpointError, match="RotatE: its method score_t gives other scores than single triples have"):
        face("RotatE").config_with_tails()
