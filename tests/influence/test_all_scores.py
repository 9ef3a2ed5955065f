"""The loss over all entities' scores agrees with the oracle, which knows its definition and nothing else."""

from functools import cache

import oracle
import pytest
import torch
from conftest import random_model
from influence.agreement import (
    DIALECTS,
    TEST,
    TRAIN,
    Case,
    Disagreement,
    case_of,
    check_scores,
    check_self_influence,
    engine_for,
    fresh_room,
    scores,
)

from tracin_dask.errors import ConfigError
from tracin_dask.influence.conve import all_scores
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.losses import OneToAll

SMOOTH = OneToAll(label_smoothing=0.1)
MODES = [Modes(all_scores=True), Modes(all_scores=True, relation_table=True)]


@cache
def all_scores_case(dialect: str, smoothing: float = 0.1) -> Case:
    loss = OneToAll(label_smoothing=smoothing)
    return case_of(random_model(**DIALECTS[dialect]), loss=oracle.of_all_scores(loss.value))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("modes", MODES, ids=str)
def test_every_tensor_and_all_together_agree_with_the_oracle(dialect, smoothing, modes):
    case, loss = all_scores_case(dialect, smoothing), OneToAll(label_smoothing=smoothing)
    for tracked in [*([name] for name in case.names), case.names, ["fc.weight", "fc.bias"]]:
        check_scores(case, tracked, loss=loss, modes=modes)
        check_self_influence(case, tracked, loss=loss)


@pytest.mark.parametrize("entities_at_a_time", [1, 5])
def test_tiles_of_any_size_agree_with_the_oracle(monkeypatch, entities_at_a_time):
    monkeypatch.setattr(all_scores, "TILE_BYTES", entities_at_a_time * len(TRAIN) * 8)
    case = all_scores_case("height")
    check_scores(case, case.names, loss=SMOOTH)
    check_self_influence(case, case.names, loss=SMOOTH)


# Each entry: the tensor whose gradient loses a part, the module, the text that is taken out, what is left.
TERMS = {
    "bias": ("entity_bias", "all_scores_terms", "total += products", "pass"),
    "scores and outputs": (
        "entity_embeddings.weight",
        "all_scores_terms",
        "total.addcmul_(products, train.outputs(self._test.tail))",
        "pass",
    ),
    "scores at the test triples' heads": (
        "entity_embeddings.weight",
        "all_scores_terms",
        "total.addcmul_(train.scores(self.reader, along.triples[:, 0]), train.outputs(along.head))",
        "pass",
    ),
    "test triples' scores at the heads": (
        "entity_embeddings.weight",
        "all_scores_terms",
        "total.addcmul_(heads @ self._test.tail.T, self._gradients.index_select(0, ids))",
        "pass",
    ),
    "equal heads": (
        "entity_embeddings.weight",
        "all_scores_terms",
        "add_where_equal(total, self._heads, train.head_rows, along.head)",
        "pass",
    ),
    "tails of later rows, in the products": (
        "entity_bias",
        "all_scores_terms",
        "self._move(products, moved, moved.difference(self._along))",
        "pass",
    ),
    "tails of later rows, at the output": (
        "fc.weight",
        "all_scores",
        ".index_add_(0, moved.rows, moved.difference(reader.model.entities), alpha=-reader.lower_at_tail)",
        "",
    ),
    "tails that are the test triple's head": (
        "entity_embeddings.weight",
        "all_scores_terms",
        ".sub_(at_tail, alpha=reader.lower_at_tail)",
        "",
    ),
    "the tail": ("fc.weight", "all_scores", "gradients[place] -= self.lower_at_tail", "pass"),
    "bias in the scores": ("fc.weight", "all_scores", "scores += model.entity_bias[entities]", "pass"),
    "relation": (
        "relation_embeddings.weight",
        "scorer",
        "self._embeddings.add_relations(total, batch, output.at_projection, lower, wanted)",
        "pass",
    ),
    "the head's own region": (
        "entity_embeddings.weight",
        "scorer",
        "frozenset({Sees.HEAD, Sees.BOTH})",
        "frozenset({Sees.BOTH})",
    ),
}
SELF_TERMS = {
    "relation": ("relation_embeddings.weight", "total += dot_rows(own.relation, along.relation)"),
    "bias": ("entity_bias", "total += squares\n"),
    "scores and outputs": (
        "entity_embeddings.weight",
        "total += at_scores.sums[1][:, 0] if len(self.sums) == 2 else squares * dot_rows(own.tail, own.tail)",
    ),
    "scores at the head": ("entity_embeddings.weight", "total += 2 * at_heads * dot_rows(own.tail, along.head)"),
    "head": ("entity_embeddings.weight", "total += dot_rows(own.head, along.head)"),
    "heads that are tails": (
        "entity_embeddings.weight",
        ".sub_((heads == tails).to(elsewhere.dtype), alpha=self.lower_at_tail)",
    ),
}


@pytest.mark.parametrize("term", TERMS)
def test_scores_without_a_term_disagree_with_the_oracle(term):
    tensor, module, text, replacement = TERMS[term]
    case = all_scores_case("height")
    room = fresh_room([(module, text, replacement)])
    with pytest.raises(Disagreement):
        check_scores(case, [tensor], room, loss=room["losses"].OneToAll(label_smoothing=0.1))


@pytest.mark.parametrize("term", SELF_TERMS)
def test_self_influences_without_a_term_disagree_with_the_oracle(term):
    tensor, text = SELF_TERMS[term]
    case = all_scores_case("height")
    module = "all_scores_terms" if text.startswith("total") else "all_scores"
    room = fresh_room([(module, text, "pass\n" if text.startswith("total") else "")])
    with pytest.raises(Disagreement):
        check_self_influence(case, [tensor], room, loss=room["losses"].OneToAll(label_smoothing=0.1))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_derivative_is_that_of_the_definition(smoothing):
    loss = OneToAll(label_smoothing=smoothing)
    drawn = torch.randn(3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    tails = torch.tensor([0, 6, 2])
    (expected,) = torch.autograd.grad(loss.value(drawn.requires_grad_(), tails).sum(), drawn)
    found = loss.derivative_elsewhere(drawn.detach().clone(), 7)
    found[torch.arange(3), tails] -= loss.lower_at_tail(7)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_a_smoothing_that_leaves_no_positive_is_refused(smoothing):
    with pytest.raises(ConfigError, match=f"label_smoothing must be at least 0 and below 1, not {smoothing}"):
        OneToAll(label_smoothing=smoothing)


def test_one_triple_and_no_triple_have_influences():
    case = case_of(random_model(has_entity_bias=True), TRAIN[:1], TEST[:1], loss=oracle.of_all_scores(SMOOTH.value))
    check_scores(case, case.names, loss=SMOOTH)
    engine = engine_for(case.model, case.names, loss=SMOOTH)
    assert scores(engine, TRAIN[:0], engine.prepare(TEST, batch_size=3)).shape == (0, len(TEST))
    assert engine.self_influence(TRAIN[:0]).shape == (0,)


def test_a_well_fitted_pair_loses_no_digits_in_float32():
    model = random_model(**DIALECTS["width"])
    with torch.no_grad():
        model.entity_embeddings.weight.mul_(20)  # the tails' scores are far from 0, the derivatives there next to 0
    case = case_of(model, loss=oracle.of_all_scores(SMOOTH.value))
    engine = engine_for(model.float(), case.names, loss=SMOOTH)
    found = scores(engine, case.train, engine.prepare(case.test, batch_size=8)).double() / engine.learning_rate
    assert ((found - sum(case.products.values())).abs() <= 1e-4 * case.bound(case.names)).all()
