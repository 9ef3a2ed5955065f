"""Models that are trained together equal those that are trained alone, in every setting."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tracin_dask.errors import ConfigError, NonFiniteError
from tracin_dask.models.conve.model import ConvEConfig, Dropout
from tracin_dask.models.load import load_checkpoint
from tracin_dask.models.stacked.models import StackedModels
from tracin_dask.models.training.epoch import train_epoch
from tracin_dask.models.training.settings import TrainingConfig, TrainingData, TrainingFiles
from tracin_dask.models.training.together.group_size import bytes_per_model, models_at_a_time
from tracin_dask.models.training.together.trained import Retraining
from tracin_dask.models.training.together.training import TogetherOptions, train_in_groups, train_together
from tracin_dask.models.training.training import new_learner, train

CPU = torch.device("cpu")
SIZES = ConvEConfig(
    num_entities=20, num_relations=3, embedding_dim=12, embedding_height=4, embedding_width=3, output_channels=4
)
SETTINGS = TrainingConfig(num_epochs=3, batch_size=16, learning_rate=0.01, use_gpu=False)
NONE = Dropout(input=0.0, feature_map=0.0, output=0.0)
RETRAININGS = [
    Retraining(seed=5, rows=np.arange(2)),
    Retraining(seed=2, rows=np.arange(64, 24, -1)),
    Retraining(seed=1),
    Retraining(seed=3, rows=np.arange(33)),
    Retraining(seed=2, rows=np.array([7, 7, 8, 9, 10])),
]
ROUNDING = 1e-7
"""In float64. Batches of two amplify rounding: one training whose first weights differ in the last bit differs by 1e-9
after an epoch in such batches, and by 1e-2 after three."""
DOUBLE = TogetherOptions(dtype=torch.float64)


def triples(rows, seed=0):
    generator = np.random.default_rng(seed)
    return np.stack([generator.integers(0, limit, rows) for limit in (20, 3, 20)], axis=1)


@pytest.fixture
def graph():
    return TrainingData(train=triples(65), valid=triples(9, 1), id_maps_sha256="maps")


def trained_alone(graph, sizes, config, retraining, dtype=torch.float64):
    """Train with the trainer of single models, in another number type than its own."""
    learner = new_learner(sizes, replace(config, random_seed=retraining.seed), device=CPU)
    learner.model.to(dtype)
    rows = torch.from_numpy(retraining.triples(graph))
    losses = [
        train_epoch(learner, rows, epoch=epoch, on_batch=lambda _done, _total: None)
        for epoch in range(config.num_epochs)
    ]
    return learner, losses


def assert_same_states(found, expected, **tolerance):
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        torch.testing.assert_close(found[name], tensor, **tolerance, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(
    ("sizes", "settings"),
    [
        ({}, {}),
        ({}, {"label_smoothing": 0.0}),
        ({}, {"dropout": NONE}),
        ({}, {"dropout": replace(NONE, input=0.4)}),
        ({}, {"dropout": replace(NONE, feature_map=0.4)}),
        ({}, {"dropout": replace(NONE, output=0.4)}),
        ({}, {"batch_size": 2, "num_epochs": 1}),
        ({}, {"batch_size": 4}),
        ({}, {"batch_size": 100}),
        ({"stacking": "height", "has_entity_bias": True}, {}),
        ({"has_convolution_bias": False}, {}),
        ({"kernel_height": 2, "kernel_width": 5}, {}),
    ],
    ids=str,
)
def test_every_model_equals_the_one_that_is_trained_alone(sizes, settings, graph):
    sizes, config = replace(SIZES, **sizes), replace(SETTINGS, **settings)
    together = train_together(graph, sizes, RETRAININGS, config=config, options=DOUBLE)
    for index, retraining in enumerate(RETRAININGS):
        alone, losses = trained_alone(graph, sizes, config, retraining)
        assert_same_states(together.state_dict(index), alone.model.state_dict(), rtol=0, atol=ROUNDING)
        assert together.losses[index] == pytest.approx(losses, abs=1e-10)


def test_models_equal_those_trained_alone_in_float32_too(graph):
    config = replace(SETTINGS, num_epochs=1)
    retrainings = RETRAININGS[1:4]
    together = train_together(graph, SIZES, retrainings, config=config)
    for index, retraining in enumerate(retrainings):
        alone, losses = trained_alone(graph, SIZES, config, retraining, torch.float32)
        found, expected = together.state_dict(index), alone.model.state_dict()
        rounding = {"bn0.bias", "bn0.weight", "conv1.bias", "bn1.running_mean"}  # batch norm cancels their gradients
        kept = [name for name in expected if name not in rounding]
        assert_same_states(
            {name: found[name] for name in kept}, {name: expected[name] for name in kept}, rtol=1e-3, atol=1e-4
        )
        assert together.losses[index] == pytest.approx(losses, rel=1e-5)


@pytest.mark.parametrize("at_a_time", [1, 2, 5])
def test_the_number_of_models_at_a_time_changes_no_model(at_a_time, graph):
    whole = train_together(graph, SIZES, RETRAININGS, config=SETTINGS, options=DOUBLE)
    options = replace(DOUBLE, models_at_a_time=at_a_time)
    groups = list(train_in_groups(graph, SIZES, RETRAININGS, config=SETTINGS, options=options))
    assert [len(group) for group in groups] == {1: [1] * 5, 2: [2, 2, 1], 5: [5]}[at_a_time]
    states = [group.state_dict(index) for group in groups for index in range(len(group))]
    for index, state in enumerate(states):
        assert_same_states(state, whole.state_dict(index), rtol=0, atol=ROUNDING)


def test_snapshots_are_the_models_of_shorter_trainings(graph):
    options = replace(DOUBLE, snapshot_epochs=[1, 2], models_at_a_time=2)
    whole = train_together(graph, SIZES, RETRAININGS, config=SETTINGS, options=options)
    assert list(whole.snapshots) == [1, 2, 3]
    for epoch in (1, 2):
        part = train_together(graph, SIZES, RETRAININGS, config=replace(SETTINGS, num_epochs=epoch), options=DOUBLE)
        for index in range(len(RETRAININGS)):
            assert_same_states(whole.state_dict(index, epoch=epoch), part.state_dict(index), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("index", [1, 2])
def test_a_training_alone_resumes_from_a_checkpoint_of_a_training_together(index, graph, tmp_path):
    retraining = RETRAININGS[index]
    options = TogetherOptions(snapshot_epochs=[2])
    config = replace(SETTINGS, dropout=Dropout(input=0.3))
    together = train_together(graph, SIZES, RETRAININGS, config=config, options=options)
    path = tmp_path / "checkpoint.pt"
    together.write_checkpoint(path, index, epoch=2)
    files = TrainingFiles(output_dir=tmp_path / "resumed", resume_from=path)
    data = replace(graph, train=retraining.triples(graph))
    resumed = train(data, SIZES, config=replace(config, random_seed=retraining.seed), files=files)
    losses = [entry["train_loss"] for entry in resumed.history]
    assert losses == pytest.approx(together.losses[index], rel=1e-4)
    expected = torch.load(resumed.final_model, weights_only=True)
    found = together.checkpoint(index)
    assert expected.keys() == found.keys()
    for part in ("training", "learning_rate", "epoch", "model_config", "id_maps_sha256", "scaler_state_dict"):
        assert found[part] == expected[part]
    weights = found["model_state_dict"]["fc.weight"], expected["model_state_dict"]["fc.weight"]
    torch.testing.assert_close(*weights, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("sizes", [SIZES, replace(SIZES, stacking="height", has_entity_bias=True)])
def test_the_state_of_adam_equals_that_of_a_training_alone(sizes, graph):
    together = train_together(graph, sizes, RETRAININGS, config=SETTINGS, options=DOUBLE)
    for index, retraining in enumerate(RETRAININGS):
        expected = trained_alone(graph, sizes, SETTINGS, retraining)[0].optimizer.state_dict()
        found = together.checkpoint(index)["optimizer_state_dict"]
        assert found["param_groups"] == expected["param_groups"]
        assert found["state"].keys() == expected["state"].keys()
        for number, state in expected["state"].items():
            torch.testing.assert_close(found["state"][number], state, rtol=0, atol=ROUNDING, check_dtype=False)


def test_a_checkpoint_is_read_as_any_other(graph, tmp_path):
    together = train_together(graph, SIZES, RETRAININGS[:2], config=SETTINGS)
    together.write_checkpoint(tmp_path / "model.pt", 1)
    checkpoint = load_checkpoint(tmp_path / "model.pt")
    assert (checkpoint.config, checkpoint.epoch, checkpoint.learning_rate) == (SIZES, 2, 0.01)
    assert checkpoint.id_maps_sha256 == "maps"
    assert torch.equal(checkpoint.model.fc.weight, together.state_dict(1)["fc.weight"])
    assert_same_states(together.model(1).state_dict(), together.state_dict(1), rtol=0, atol=0)


def test_epochs_are_reported_with_the_losses_of_the_models_in_training(graph):
    reports = []
    options = TogetherOptions(models_at_a_time=3, on_epoch=reports.append)
    together = train_together(graph, SIZES, RETRAININGS, config=replace(SETTINGS, num_epochs=2), options=options)
    assert [(report.first, report.epoch) for report in reports] == [(0, 1), (0, 2), (3, 1), (3, 2)]
    assert reports[1].losses.tolist() == together.losses[:3, 1].tolist()
    assert reports[2].losses.tolist() == together.losses[3:, 0].tolist()


def test_training_together_leaves_the_callers_random_numbers_alone(graph):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_together(graph, SIZES, RETRAININGS[:1], config=replace(SETTINGS, num_epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_models_of_other_trainings_can_be_stacked(make_model, config):
    models = [make_model(config), make_model(config)]
    models[1].fc.weight.data += 1
    stacked = StackedModels.of(models)
    for index, model in enumerate(models):
        assert_same_states(stacked.state_dict(index), model.state_dict(), rtol=0, atol=0)


def test_models_at_a_time_follow_from_the_bytes():
    single = bytes_per_model(SIZES, 16, dtype=torch.float32)
    assert single > 4 * (17 * 2 * SIZES.num_features + 4 * 20 * 12)
    assert [models_at_a_time(SIZES, 16, group_bytes=size, dtype=torch.float32) for size in (1, 3 * single)] == [1, 3]
    assert bytes_per_model(SIZES, 16, dtype=torch.float64) == 2 * single


def test_group_bytes_bound_the_models_at_a_time(graph):
    options = TogetherOptions(group_bytes=2 * bytes_per_model(SIZES, 16))
    config = replace(SETTINGS, num_epochs=1)
    groups = train_in_groups(graph, SIZES, RETRAININGS, config=config, options=options)
    assert [len(group) for group in groups] == [2, 2, 1]


@pytest.mark.parametrize(
    ("setting", "value"), [("use_mixed_precision", True), ("use_gradient_checkpointing", True), ("num_workers", 2)]
)
def test_settings_that_only_single_trainings_have_are_refused(setting, value, graph):
    with pytest.raises(ConfigError, match=f"{setting} is {value}; .* trained together"):
        train_together(graph, SIZES, RETRAININGS, config=replace(SETTINGS, **{setting: value}))


@pytest.mark.parametrize(
    ("retrainings", "message"),
    [
        ([], "no retrainings"),
        ([Retraining(seed=1), Retraining(seed=1, rows=np.array([3]))], "retraining 1 has 1 training triples"),
        ([Retraining(seed=1, rows=np.array([3, 65]))], r"retraining 0 has rows from 3 to 65; .* rows 0 to 64"),
        ([Retraining(seed=1, rows=np.array([-1, 5]))], "rows from -1 to 5"),
        ([Retraining(seed=-1)], "the seed of retraining 0 is -1"),
    ],
)
def test_wrong_retrainings_are_refused(retrainings, message, graph):
    with pytest.raises(ConfigError, match=message):
        train_together(graph, SIZES, retrainings, config=SETTINGS)


def test_epochs_that_do_not_exist_have_no_snapshots(graph):
    with pytest.raises(ConfigError, match="snapshot_epochs has 4; the epochs are 1 to 3"):
        train_together(graph, SIZES, RETRAININGS, config=SETTINGS, options=TogetherOptions(snapshot_epochs=[4]))
    together = train_together(graph, SIZES, RETRAININGS[:1], config=SETTINGS)
    with pytest.raises(ConfigError, match="no snapshot of epoch 2 was taken; there are those of epochs 3"):
        together.checkpoint(0, epoch=2)


def test_a_diverging_model_is_named(graph):
    config = replace(SETTINGS, learning_rate=1e38)
    with pytest.raises(NonFiniteError, match=r"retraining \d \(seed \d\): .* epoch 1.*lower learning rate"):
        train_together(graph, SIZES, RETRAININGS, config=config)
