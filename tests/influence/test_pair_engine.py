"""The pair engine agrees with the oracle in float64, tensor by tensor and in sum."""

import pytest
import torch
from conftest import random_model
from hypothesis import given, settings
from hypothesis import strategies as st
from influence.agreement import (
    DIALECTS,
    TEST,
    TRAIN,
    case_of,
    check_scores,
    check_self_influence,
    engine_for,
    random_case,
    scores,
)

from tracin_dask.influence.conve.tensor_names import ENTITIES, RELATIONS
from tracin_dask.influence.parameters import matching

# Images are 4 × 6, side by side or one on the other. The last three kernels of each dialect are as wide (as high) as
# one image, wider, so that no place sees one image only, and as large as both together.
COMMON = [(2, 3), (3, 3), (3, 5), (4, 2)]
KERNELS = {"width": [*COMMON, (2, 6), (1, 7), (4, 12)], "height": [*COMMON, (4, 6), (5, 3), (8, 6)]}


@pytest.mark.parametrize(("dialect", "kernel"), [(d, k) for d in DIALECTS for k in KERNELS[d]], ids=str)
def test_pair_product_influences_of_every_tensor_agree_with_the_oracle(dialect, kernel):
    wanted = random_case(dialect, kernel)
    for name in wanted.names:
        check_scores(wanted, [name])
    check_scores(wanted, wanted.names)
    check_self_influence(wanted, wanted.names)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_self_influences_of_every_tensor_agree_with_the_oracle(dialect):
    wanted = random_case(dialect)
    for name in wanted.names:
        check_self_influence(wanted, [name])


@pytest.mark.parametrize("layer", ["bn0", "bn1", "bn2"])
def test_a_batch_norm_weight_of_zero_agrees_with_the_oracle(layer):
    model = random_model(has_entity_bias=True)
    with torch.no_grad():
        getattr(model, layer).weight[:2] = 0
    wanted = case_of(model)
    for name in wanted.names:
        check_scores(wanted, [name])
        check_self_influence(wanted, [name])


ONE, ONE_LOOP, EQUAL = TRAIN[:1], TRAIN[9:10], TRAIN[:2]


@pytest.mark.parametrize(
    ("train", "test"),
    [(ONE, ONE), (ONE_LOOP, ONE_LOOP), (TRAIN, ONE), (TRAIN, ONE_LOOP), (ONE, TEST), (ONE_LOOP, TEST), (TRAIN, EQUAL)],
)
def test_a_single_training_or_test_triple_agrees_with_the_oracle(train, test):
    wanted = case_of(random_model(has_entity_bias=True), train, test)
    for tracked in ([ENTITIES], [RELATIONS], ["fc.weight"], wanted.names):
        check_scores(wanted, tracked)
        check_self_influence(wanted, tracked)


def test_triples_that_share_nothing_agree_with_the_oracle():
    wanted = case_of(random_model(has_entity_bias=True), torch.tensor([[4, 1, 5]]), torch.tensor([[6, 2, 7]]))
    for tensor in wanted.names:
        check_scores(wanted, [tensor])
    assert all((wanted.products[tensor] == 0).all() for tensor in (ENTITIES, RELATIONS, "entity_bias"))


def test_equal_triples_get_equal_influences():
    wanted = random_case("height")
    engine = engine_for(wanted.model, wanted.names)
    found = scores(engine, TRAIN, engine.prepare(TEST, batch_size=8))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[:, 0], found[:, 2])


def test_test_triples_prepared_in_batches_equal_those_prepared_at_once():
    wanted = random_case("height")
    engine = engine_for(wanted.model, wanted.names)
    at_once, in_batches = (scores(engine, TRAIN, engine.prepare(TEST, batch_size=n)) for n in (len(TEST), 3))
    torch.testing.assert_close(in_batches, at_once, rtol=1e-12, atol=1e-12)


def test_the_test_data_shares_heads_relations_and_pairs_in_every_way():
    def equal(left, right):
        return TRAIN[:, left, None] == TEST[None, :, right]

    ways = torch.stack([equal(0, 0), equal(1, 1), equal(2, 2), equal(0, 2), equal(2, 0)], dim=-1)
    shared = {tuple(way) for way in ways.flatten(end_dim=1).tolist()}
    same_place = {way[:3] for way in shared}
    assert len(same_place) == 8
    assert {way[3:] for way in shared} == {(False, False), (False, True), (True, False), (True, True)}
    assert (TRAIN[:, 0] == TRAIN[:, 2]).any()
    assert (TEST[:, 0] == TEST[:, 2]).any()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "patterns",
    [["fc.*"], ["bn2.*"], ["*_embeddings.weight"], ["entity_*"], ["conv1.*"], ["bn0.*", "fc.bias"], ["*"]],
    ids=" ".join,
)
def test_influences_of_a_subset_are_the_sums_of_its_tensors(dialect, patterns):
    wanted = random_case(dialect)
    tracked = matching(wanted.model.config, patterns)
    check_scores(wanted, tracked)
    check_self_influence(wanted, tracked)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("num_last_layers", range(1, 10))
def test_influences_of_the_last_layers_are_the_sums_of_their_tensors(dialect, num_last_layers):
    wanted = random_case(dialect)
    check_scores(wanted, wanted.model.config.last_layers(num_last_layers))


@settings(max_examples=25)
@given(st.data(), st.sampled_from(list(DIALECTS)))
def test_influences_of_any_subset_are_the_sums_of_its_tensors(data, dialect):
    wanted = random_case(dialect)
    tracked = data.draw(st.sets(st.sampled_from(wanted.names), min_size=1))
    check_scores(wanted, tracked)
    check_self_influence(wanted, tracked)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_self_influence_is_the_diagonal_of_the_scores(dialect):
    wanted = random_case(dialect)
    engine = engine_for(wanted.model, wanted.names)
    diagonal = scores(engine, TRAIN, engine.prepare(TRAIN, batch_size=4)).diagonal()
    torch.testing.assert_close(engine.self_influence(TRAIN), diagonal, rtol=1e-12, atol=0)


@pytest.mark.parametrize("names", [["bn2.bias"], ["*"]], ids=" ".join)
def test_no_triples_have_no_influences(names):
    model = random_model(has_entity_bias=True)
    engine = engine_for(model, matching(model.config, names))
    assert scores(engine, TRAIN[:0], engine.prepare(TEST, batch_size=3)).shape == (0, len(TEST))
    assert engine.self_influence(TRAIN[:0]).shape == (0,)
