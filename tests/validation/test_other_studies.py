"""Studies of wrong tails, of stability, and replays."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_study import PLAIN, RANDOM, SETTINGS, SIZES, study_in

from tracin_dask.errors import ConfigError, MemoryLimitError
from tracin_dask.models.conve.model import Dropout
from tracin_dask.validation.methods import Method
from tracin_dask.validation.replay import recording
from tracin_dask.validation.replay.effects import agreement, effects_of
from tracin_dask.validation.replay.recording import record
from tracin_dask.validation.studies.lds import SubsetPlan
from tracin_dask.validation.studies.mislabel import MislabelPlan, applicable, mislabel, with_wrong_tails
from tracin_dask.validation.studies.replay import REPLAY, replay_study
from tracin_dask.validation.studies.stability import BETWEEN_SEEDS, StabilityPlan, stability

COSINE = Method(name="cosine", options={"normalize": "cosine"})
LOSS = Method(name="training loss", baseline="training-loss")


def values(table):
    return {(row.method, row.condition, row.measure): row.estimate for row in table.rows}


def test_wrong_tails_make_triples_that_are_known_nowhere(tmp_path):
    graph = study_in(tmp_path / "study").graph
    triples, is_wrong = with_wrong_tails(graph, 0.1, seed=3)
    assert is_wrong.sum() == 18
    np.testing.assert_array_equal((triples != graph.triples).any(axis=0), [False, False, True])
    np.testing.assert_array_equal((triples != graph.triples).any(axis=1), is_wrong)
    known = {tuple(triple) for triple in np.concatenate([graph.triples, graph.test]).tolist()}
    assert known.isdisjoint(map(tuple, triples[is_wrong].tolist()))


def test_self_influence_finds_wrong_tails_where_chance_does_not(tmp_path):
    study = study_in(tmp_path / "study", PLAIN, RANDOM, LOSS, settings=replace(SETTINGS, num_epochs=60))
    found = values(mislabel(study, MislabelPlan(num_graphs=2, top_k=(18,))))
    assert found["plain", "", "AUC"].low > 0.5
    assert found["training loss", "", "AUC"].low > 0.7
    assert found["random", "", "AUC"].low < 0.5 < found["random", "", "AUC"].high
    assert found["training loss", "", "precision at 18"].low > found["random", "", "precision at 18"].high


def test_methods_that_need_test_triples_are_left_out_and_named(tmp_path):
    study = study_in(tmp_path / "study", PLAIN, COSINE, Method(name="near", baseline="random-neighbour"))
    kept, notes = applicable(study)
    assert [method.name for method in kept] == ["plain"]
    assert notes == ["left out, because they compare with test triples: cosine, near"]
    with pytest.raises(ConfigError, match="no method says anything of a training triple without a test triple"):
        applicable(replace(study, methods=(COSINE,)))


def test_stability_compares_seeds_and_checkpoints_of_methods_that_read_models(tmp_path):
    study = study_in(tmp_path / "study", PLAIN, RANDOM, replace(PLAIN, name="two", trainings=2))
    found = values(stability(study, StabilityPlan(num_tests=5, num_seeds=2, top_k=5)))
    conditions = {(method, condition) for method, condition, _ in found}
    assert conditions == {
        ("plain", BETWEEN_SEEDS),
        *(("plain", f"epochs {epoch}, 4") for epoch in (1, 2, 3)),
        ("two", BETWEEN_SEEDS),
    }
    assert all(0 <= estimate.low <= estimate.value <= estimate.high <= 1 for estimate in found.values())
    assert found["plain", "epochs 3, 4", "overlap"].value > found["plain", "epochs 1, 4", "overlap"].value


def test_stability_needs_two_seeds_and_a_method_that_reads_a_model(tmp_path):
    with pytest.raises(ConfigError, match="1 seed gives no lists to compare"):
        StabilityPlan(num_seeds=1)
    with pytest.raises(ConfigError, match="no method reads a trained model"):
        stability(study_in(tmp_path / "study", RANDOM), StabilityPlan(num_tests=2, num_seeds=2))


@pytest.fixture
def material(tmp_path):
    return study_in(tmp_path / "study").bench(np.array([[0, 0, 1], [3, 1, 2]])).material


@pytest.mark.parametrize("quantity", ["margin", "loss", "score"])
def test_the_effects_of_all_training_triples_add_up_to_the_change_of_the_training(material, quantity):
    effects = effects_of(record(material, 5), torch.as_tensor(material.tests), quantity)
    assert np.abs(effects.change).min() > 1e-4
    assert agreement(effects) < 1e-9


def test_the_effect_of_a_training_triple_is_what_plain_gradient_terms_give(material):
    """A training of one small step: the product of the triple's part of the step with the gradient of the worth."""
    no_dropout = Dropout(input=0.0, feature_map=0.0, output=0.0)
    settings = replace(material.settings, num_epochs=1, batch_size=200, learning_rate=1e-5, dropout=no_dropout)
    recorded = record(replace(material, settings=settings), 5)
    (step,) = recorded.steps
    model = recorded.model
    torch.nn.utils.vector_to_parameters(step.weights, model.parameters())
    weights = list(model.parameters())

    def gradient(value):
        found = torch.autograd.grad(value, weights, retain_graph=True, materialize_grads=True)
        return torch.nn.utils.parameters_to_vector(found)

    head, relation, tail = recorded.triples[step.rows].unbind(dim=1)
    scores = model.train()(head, relation)
    labels = torch.nn.functional.one_hot(tail, SIZES.num_entities) * 0.9 + 0.1 / SIZES.num_entities
    losses = torch.nn.functional.binary_cross_entropy_with_logits(scores, labels, reduction="none").sum(dim=1)
    moves = [-step.scale * 0.1 * gradient(losses[index] / scores.numel()) for index in range(4)]
    model.eval().load_state_dict({**model.state_dict(), **step.buffers})
    tests = torch.as_tensor(material.tests)
    expected = [[float(gradient(model.score(test[None]).sum()) @ move) for move in moves] for test in tests]
    found = effects_of(recorded, tests, "score").effects
    np.testing.assert_allclose(found[:, step.rows[:4]], expected, rtol=2e-3, atol=1e-4 * np.abs(expected).max())


def test_a_recording_that_is_too_large_is_refused_with_its_size(material, monkeypatch):
    monkeypatch.setattr(recording, "MOST_BYTES", 2**18)
    with pytest.raises(MemoryLimitError, match=r"a recording of 48 steps takes .* GiB.*replay a smaller graph"):
        record(material, 5)


def test_replays_are_scored_beside_methods_and_not_repeated(tmp_path, monkeypatch):
    plan = SubsetPlan(num_subsets=4, num_tests=3, num_repeated=2)
    table = replay_study(study_in(tmp_path / "study", PLAIN), plan)
    found = values(table)
    assert {("replay", "", "margin"), ("plain", "", "likeness")} <= set(found)
    assert (REPLAY, "", "likeness") not in found
    assert "within 0.0%" in table.notes[-1]
    monkeypatch.setattr("tracin_dask.validation.studies.replay.replay", lambda *_: pytest.fail("repeated"))
    assert replay_study(study_in(tmp_path / "study", PLAIN), plan).rows == table.rows
