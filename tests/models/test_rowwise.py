"""A model of one's own is taken as it is, or refused where a score is no function of its own rows."""

import pytest
import torch
from influence.any_model import AllDense, Bilinear
from torch import nn
from torch.utils.checkpoint import checkpoint

from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.models.description import ModelDescription
from tracin_dask.models.scoring import ScoringModel
from tracin_dask.models.whole_model import face_of

TRIPLES = torch.tensor([[0, 1, 2], [5, 0, 5], [3, 2, 0], [2, 1, 2]])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Bilinear(7, 3).double()


def test_scores_from_rows_are_those_of_the_model(model):
    assert isinstance(model, ScoringModel)
    taken = face_of(model)
    with torch.no_grad():
        assert torch.equal(taken.score_rows(taken.rows(TRIPLES), {}, TRIPLES), model.score(TRIPLES))
    assert taken.config.size == 7 * 5 + 7 + 3 * 5 + 5 * 5 + 5 + 1
    assert (taken.config.num_entities, taken.config.num_relations) == (7, 3)
    assert taken.config.effort.multiply_adds == 25


def test_tensors_that_are_not_trained_are_no_parameters(model):
    model.mix.requires_grad_(False)
    model.relations.requires_grad_(False)
    assert face_of(model).config.parameter_names == ("entities", "sharpness")


def test_a_model_without_tables_reads_ids_as_they_are():
    taken = face_of(AllDense(7, 3))
    assert taken.config.dense == (("scores", 147),)
    assert torch.equal(taken.score_rows({}, {}, TRIPLES), taken(TRIPLES))


def changed(model, **values):
    for name, value in values.items():
        setattr(model, name, value)
    return model


class WithinBatch(Bilinear):
    def score(self, triples):
        scores = super().score(triples)
        return scores - scores.mean()


class TwoNumbers(Bilinear):
    def score(self, triples):
        return super().score(triples)[:, None].expand(-1, 2)


class Unmapped(Bilinear):
    def score(self, triples):
        return super().score(triples) * (2.0 if (self.entities[triples[:, 0]] > 0).any() else 1.0)


class Recomputed(Bilinear):
    """Keeps no activations, those of tables or of a dense tensor."""

    def __init__(self, of_tables: bool) -> None:
        super().__init__(7, 3)
        self.turn, self.of_tables = nn.Linear(5, 5), of_tables

    def score(self, triples):
        if self.of_tables:
            return checkpoint(super().score, triples, use_reentrant=False)
        turned = checkpoint(lambda rows: self.turn(rows).tanh(), self.entities[triples[:, 0]], use_reentrant=False)
        return super().score(triples) + turned.flatten(start_dim=1).sum(dim=1)


@pytest.mark.parametrize("of_tables", [True, False])
def test_a_model_that_computes_activations_again_is_refused(of_tables):
    with pytest.raises(CheckpointError, match=r"leave torch\.utils\.checkpoint out of its score"):
        face_of(Recomputed(of_tables=of_tables))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda m: changed(m, tables={"entities": "entity", "relations.weight": "relation"}),
            r"cannot be scored from the rows of entities, relations\.weight alone, where it raises IndexError: index",
        ),
        (lambda _: WithinBatch(7, 3), "must not depend on the other triples of a batch"),
        (
            lambda _: TwoNumbers(7, 3),
            r"score must return one real number per triple; for 2 triples it gave the shape \(2, 2\)",
        ),
        (
            lambda m: changed(m, score=lambda _: 0.0),
            "score must return one real number per triple; for 2 triples it gave a float",
        ),
        (
            lambda _: Unmapped(7, 3),
            "decides by the values of a batch what it computes .*: a score must not depend on the other triples",
        ),
        (
            lambda m: changed(m, tables={"entity": "entity"}),
            "the table entity is not a parameter or buffer; there are: ent",
        ),
        (lambda m: changed(m, tables={"entities": "entities"}), "has a row per 'entities'; expected 'entity' or"),
        (lambda m: changed(m, prior=torch.zeros(())), r"the table prior has no rows: its shape is \(\)"),
        (lambda m: changed(m, prior=torch.zeros(6)), r"different numbers of rows: \{'entities': 7, 'prior': 6\}"),
        (lambda m: m.requires_grad_(False), "no tensor of the model requires a gradient"),
        (
            lambda m: changed(m, tables={}),
            "no table of entities: name one in `tables`, or give the model a whole number `num_ent",
        ),
        (
            lambda m: changed(m, relations=nn.Embedding(3, 5, padding_idx=0)),
            "relations is .*Embedding with padding_idx=0",
        ),
        (
            lambda m: changed(m, relations=nn.Embedding(3, 5, max_norm=1.0)),
            r"with max_norm=1\.0, under which gradients are",
        ),
    ],
)
def test_a_model_whose_scores_depend_on_other_rows_is_refused(model, make, message):
    with pytest.raises(CheckpointError, match=message):
        face_of(make(model))


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        (
            {"entities": "entity"},
            r"^no table of relations: `tables` of .*\.Half\(\) names none; num_relations can also",
        ),
        (Bilinear.tables, r"^no table of relations: the file has no relations\.weight; num_relations can"),
    ],
)
def test_a_missing_table_is_named_before_the_model_is_made(model, tables, message):
    class Half(Bilinear):
        pass

    Half.tables = tables
    state = {name: tensor for name, tensor in model.state_dict().items() if "relations" not in name}
    with pytest.raises(CheckpointError, match=message):
        ModelDescription(model=Half).build(state, dtype=torch.float64)


def test_a_model_without_score_method_is_refused():
    with pytest.raises(ConfigError, match=r"has no `tables` or no `score\(triples\)`"):
        face_of(nn.Linear(2, 2))
