"""Parameter tensors are selected by pattern or as the last layers; nonsense is refused by name."""

import pytest
import torch
from conftest import random_model
from influence.agreement import TEST, TRAIN, engine_for

from tracin_dask.errors import ConfigError, NonFiniteError
from tracin_dask.influence.conve.scorer import Scorer
from tracin_dask.influence.parameters import matching, without_cancelled
from tracin_dask.models.conve.model import CANCELLED
from tracin_dask.models.scoring import Effort, ScoringConfig

# What N = 3, 4, ... adds to fc.weight and fc.bias.
ADDED = ["bn1.bias", "bn1.weight", "conv1.bias", "conv1.weight", "bn0.bias", "bn0.weight"]


@pytest.mark.parametrize("has_entity_bias", [False, True])
def test_parameter_names_are_those_of_the_module(has_entity_bias):
    model = random_model(has_entity_bias=has_entity_bias)
    assert set(model.config.parameter_names) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("num_last_layers", [1, 2])
def test_the_last_layers_are_at_least_the_projection(num_last_layers):
    assert random_model().config.last_layers(num_last_layers) == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize("num_last_layers", range(3, 12))
def test_more_last_layers_add_the_tensors_before_one_by_one(num_last_layers):
    assert random_model().config.last_layers(num_last_layers) == {"fc.weight", "fc.bias", *ADDED[: num_last_layers - 2]}


@pytest.mark.parametrize("num_last_layers", [0, -1])
def test_zero_last_layers_are_refused(num_last_layers):
    with pytest.raises(ConfigError, match=f"must be at least 1, not {num_last_layers}"):
        random_model().config.last_layers(num_last_layers)


def test_parameter_patterns_select_the_union_of_their_matches():
    config = random_model(has_entity_bias=True).config
    assert matching(config, ["fc.*", "bn?.bias"]) == {"fc.weight", "fc.bias", "bn0.bias", "bn1.bias", "bn2.bias"}
    assert matching(config, ["*"]) == set(config.parameter_names)
    assert matching(config, ["entity_bias"]) == {"entity_bias"}


def test_a_parameter_pattern_without_match_is_refused_with_all_names():
    config = random_model().config
    with pytest.raises(ConfigError, match=r"no parameter tensor matches 'entity_bias'; the model has: entity_emb"):
        matching(config, ["fc.*", "entity_bias"])


def test_only_conve_has_tensors_that_batch_norm_cancels():
    config, names = random_model().config, ("bn0.bias", "conv1.bias", "fc.bias")
    assert without_cancelled(config) == set(config.parameter_names) - CANCELLED
    other = ScoringConfig(
        name="another model with tensors of these names",
        num_entities=3,
        num_relations=2,
        tables=(),
        dense=tuple((name, 4) for name in names),
        untrained_size=0,
        effort=Effort(multiply_adds=1, values=1, values_per_call=1),
    )
    assert without_cancelled(other) == set(names)
    with pytest.raises(ConfigError, match=r"^another model .* has no last 2 layers: the order of its layers"):
        other.last_layers(2)


@pytest.mark.parametrize(
    ("tracked", "message"),
    [
        ([], "cannot track no parameter tensor at all; the model has: entity_embeddings.weight, "),
        (["fc.weight", "fc2.weight", "entity_bias"], "cannot track entity_bias, fc2.weight; the model has: "),
    ],
)
def test_an_engine_refuses_to_track_no_tensor_or_an_unknown_one(tracked, message):
    with pytest.raises(ConfigError, match=message):
        engine_for(random_model(), tracked)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_non_finite_entity_is_refused_with_its_triple(value):
    model = random_model()
    test = engine_for(model, ["fc.weight"]).prepare(TEST, batch_size=3)
    with torch.no_grad():
        model.entity_embeddings.weight[10, 3] = value  # occurs in the last training triple only
        model.entity_embeddings.weight[12, 3] = value  # occurs in the last test triple only
    for tracked in (["fc.weight"], model.config.parameter_names):
        engine = engine_for(model, tracked)
        with pytest.raises(NonFiniteError, match=r"of 1 test triple.*\(head 12, relation 0, tail 13\)"):
            engine.prepare(TEST, batch_size=3)
        with pytest.raises(NonFiniteError, match=r"of 1 training triple.*\(head 10, relation 3, tail 11\)"):
            Scorer(engine, test).score(TRAIN)
        with pytest.raises(NonFiniteError, match=r"of 1 training triple.*\(head 10, relation 3, tail 11\)"):
            engine.self_influence(TRAIN)
