"""Training is what it says: the loss, the steps, resuming without a trace, the files it leaves."""

import json
import tempfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from tracin_dask.errors import ConfigError, NonFiniteError, ResumeError
from tracin_dask.models.conve.model import ConvEConfig, Dropout
from tracin_dask.models.load import load_checkpoint
from tracin_dask.models.training.epoch import train_epoch
from tracin_dask.models.training.settings import TrainingConfig, TrainingData, TrainingFiles
from tracin_dask.models.training.steps.batches import Batches, derive_seed
from tracin_dask.models.training.steps.step import one_to_all_loss, project_recomputing
from tracin_dask.models.training.training import Observer, new_learner, train

SIZES = ConvEConfig(
    num_entities=20, num_relations=3, embedding_dim=32, embedding_height=8, embedding_width=4, output_channels=4
)
SETTINGS = TrainingConfig(num_epochs=4, batch_size=16, learning_rate=0.01, checkpoint_frequency=1)


def triples(rows, seed=0):
    generator = np.random.default_rng(seed)
    return np.stack([generator.integers(0, limit, rows) for limit in (20, 3, 20)], axis=1)


@pytest.fixture
def graph():
    return TrainingData(train=triples(65), valid=triples(9, 1), test=triples(8, 2), id_maps_sha256="maps")


@pytest.fixture
def run(graph, tmp_path):
    def run(name, data=graph, sizes=SIZES, resume_from=None, observer=None, **settings):
        files = TrainingFiles(output_dir=tmp_path / name, resume_from=resume_from)
        return train(data, sizes, config=replace(SETTINGS, **settings), files=files, observer=observer)

    return run


def shuffled(rows, seed):
    return Batches.of(rows, SETTINGS, seed=seed, device=torch.device("cpu"))


def weights(path):
    return torch.load(path, weights_only=True)["model_state_dict"]


def assert_same_weights(left, right):
    left, right = weights(left), weights(right)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_the_loss_and_its_gradient_are_those_of_binary_cross_entropy(label_smoothing):
    scores = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    tail = torch.tensor([0, 6, 3, 3, 1])
    labels = torch.full((5, 7), label_smoothing / 7, dtype=torch.float64)
    labels[torch.arange(5), tail] += 1 - label_smoothing
    expected = binary_cross_entropy_with_logits(scores, labels)
    loss = one_to_all_loss(scores, tail, label_smoothing)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, scores), torch.autograd.grad(expected, scores))


def test_every_triple_is_in_one_batch_of_at_least_two():
    rows = torch.from_numpy(triples(65))
    batches = list(shuffled(rows, seed=1))
    assert [len(batch) for batch in batches] == [16, 16, 16, 17]
    assert sorted(torch.cat(batches).tolist()) == sorted(rows.tolist())
    assert torch.cat(batches).tolist() != rows.tolist()


def test_each_epoch_and_seed_shuffles_differently():
    rows = torch.from_numpy(triples(65))
    orders = [
        torch.cat(list(shuffled(rows, seed=derive_seed(seed, epoch)))).tolist()
        for seed, epoch in ((1, 1), (1, 2), (2, 1))
    ]
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_an_epoch_equals_plain_adam_on_the_same_batches(graph):
    """The second implementation uses torch's own loss and no part of the first but the model and the shuffling."""
    learner = new_learner(SIZES, SETTINGS, device=torch.device("cpu"))
    other = new_learner(SIZES, SETTINGS, device=torch.device("cpu")).model.train()
    rows = torch.from_numpy(graph.train)
    mean_loss = train_epoch(learner, rows, epoch=0, on_batch=lambda _done, _total: None)

    optimizer = torch.optim.Adam(other.parameters(), lr=0.01)
    seed = derive_seed(SETTINGS.random_seed, 1)
    torch.manual_seed(seed)
    losses = []
    for batch in shuffled(rows, seed=seed):
        scores = other(batch[:, 0], batch[:, 1])
        labels = 0.9 * torch.nn.functional.one_hot(batch[:, 2], 20) + 0.1 / 20
        loss = binary_cross_entropy_with_logits(scores, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert mean_loss == pytest.approx(np.mean(losses), rel=1e-5)
    expected = dict(other.named_parameters())
    for name, weight in learner.model.named_parameters():
        if name not in {"bn0.bias", "conv1.bias"}:  # bn1 takes a constant away: their gradients are rounding errors
            torch.testing.assert_close(weight, expected[name], rtol=1e-3, atol=1e-5)


def test_training_lowers_the_loss_and_leaves_its_files(run, tmp_path):
    reports, batches = [], []
    observer = Observer(on_batch=lambda *advance: batches.append(advance), on_epoch=reports.append)
    result = run("a", observer=observer, checkpoint_frequency=2)
    assert reports[-1].train_loss < reports[0].train_loss
    assert batches[:5] == [(1, 1, 4), (1, 2, 4), (1, 3, 4), (1, 4, 4), (2, 1, 4)]
    folder = tmp_path / "a"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "best_model.pt",
        "checkpoints/checkpoint_epoch_2.pt",
        "checkpoints/checkpoint_epoch_4.pt",
        "config.json",
        "final_model.pt",
        "test_results.json",
        "training_history.json",
    ]
    history = json.loads((folder / "training_history.json").read_text())
    assert [entry["epoch"] for entry in history] == [1, 2, 3, 4]
    assert [entry["train_loss"] for entry in history] == [report.train_loss for report in reports]
    tested = json.loads((folder / "test_results.json").read_text())
    assert {name: tested[name] for name in result.test_metrics} == result.test_metrics
    config = json.loads((folder / "config.json").read_text())
    assert config["bits_depend_on"]["threads"] == torch.get_num_threads()
    assert (config["model"]["embedding_dim"], config["training"]["batch_size"]) == (32, 16)
    assert config["data"]["num_train_triples"] == 65


def test_the_best_model_is_that_of_the_best_epoch(run, tmp_path):
    result = run("a")
    ranks = [entry["valid_metrics"]["mean_reciprocal_rank"] for entry in result.history]
    best = load_checkpoint(result.best_model)
    assert best.epoch == int(np.argmax(ranks))
    assert_same_weights(result.best_model, tmp_path / "a" / "checkpoints" / f"checkpoint_epoch_{best.epoch + 1}.pt")
    assert json.loads((tmp_path / "a" / "test_results.json").read_text())["best_model"]["epoch"] == best.epoch + 1


def test_checkpoints_have_the_known_shape_and_load(run):
    result = run("a", num_epochs=2)
    contents = torch.load(result.final_model, weights_only=True)
    assert contents["epoch"] == 1
    assert contents["model_config"] == {
        "num_entities": 20,
        "num_relations": 3,
        "embedding_dim": 32,
        "embedding_height": 8,
        "embedding_width": 4,
        "output_channels": 4,
        "kernel_height": 3,
        "kernel_width": 3,
    }
    assert contents["metrics"] == result.history[-1]["valid_metrics"]
    checkpoint = load_checkpoint(result.final_model)
    assert checkpoint.config == SIZES
    assert (checkpoint.learning_rate, checkpoint.id_maps_sha256, checkpoint.epoch) == (0.01, "maps", 1)


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_resuming_gives_the_same_weights_as_not_stopping(stopped_after, run):
    whole = run("whole")
    torch.manual_seed(123)
    part = run("part", num_epochs=stopped_after)
    torch.rand(7)
    resumed = run("resumed", resume_from=part.final_model)
    assert_same_weights(whole.final_model, resumed.final_model)
    assert [e["valid_metrics"] for e in resumed.history] == [e["valid_metrics"] for e in whole.history]


def test_a_training_stopped_within_an_epoch_continues_in_its_folder(run, tmp_path):
    whole = run("whole")

    def stop(epoch, done, _total):
        if (epoch, done) == (3, 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run("stopped", observer=Observer(on_batch=stop))
    resumed = run("stopped", resume_from=tmp_path / "stopped" / "checkpoints" / "checkpoint_epoch_2.pt")
    assert_same_weights(whole.final_model, resumed.final_model)
    assert_same_weights(whole.best_model, resumed.best_model)


def test_a_finished_training_resumes_to_itself(run):
    whole = run("whole", num_epochs=2)
    assert_same_weights(whole.final_model, run("again", num_epochs=2, resume_from=whole.final_model).final_model)


def test_training_leaves_the_callers_random_numbers_alone(run):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run("a", num_epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_another_training_seed_gives_other_weights(run):
    first, second = (weights(run(f"{seed}", num_epochs=1, random_seed=seed).final_model) for seed in (1, 2))
    assert not torch.equal(first["fc.weight"], second["fc.weight"])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns of what DataLoader does
def test_the_number_of_training_workers_changes_no_weight(run):
    alone, helped = run("alone", num_epochs=2), run("helped", num_epochs=2, num_workers=2)
    assert_same_weights(alone.final_model, helped.final_model)


def test_recomputing_activations_changes_no_weight(run):
    kept, recomputed = run("kept", num_epochs=2), run("recomputed", num_epochs=2, use_gradient_checkpointing=True)
    assert_same_weights(kept.final_model, recomputed.final_model)


def saved_bytes(project, head, relation):
    """Bytes of the distinct storages that one forward pass keeps for its backward pass."""
    storages = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        project(head, relation).sum()
    return sum(size for size, _ in storages.values())


def test_recomputing_activations_needs_less_memory(graph):
    model = new_learner(SIZES, SETTINGS, device=torch.device("cpu")).model.train()
    head, relation, _ = torch.from_numpy(graph.train).unbind(dim=1)
    feature_bytes = 4 * len(head) * SIZES.num_features
    assert saved_bytes(model.project, head, relation) > 3 * feature_bytes
    recomputing = saved_bytes(lambda h, r: project_recomputing(model, h, r), head, relation)
    assert recomputing < 0.1 * feature_bytes


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32_weights(run):
    plain, mixed = run("plain", num_epochs=1), run("mixed", num_epochs=1, use_mixed_precision=True)
    assert {tensor.dtype for tensor in weights(mixed.final_model).values()} == {torch.float32, torch.int64}
    losses = [result.history[0]["train_loss"] for result in (plain, mixed)]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_without_validation_there_is_no_best_model_and_without_test_no_result(run, graph, tmp_path):
    empty = np.empty((0, 3), dtype=np.int64)
    result = run("a", data=replace(graph, valid=empty, test=empty))
    assert (result.best_model, result.test_metrics) == (None, None)
    assert not (tmp_path / "a" / "best_model.pt").exists()
    assert not (tmp_path / "a" / "test_results.json").exists()
    assert load_checkpoint(result.final_model).epoch == 3


def test_a_diverging_loss_stops_with_epoch_and_batch(run, tmp_path):
    with pytest.raises(NonFiniteError, match=r"the loss is \w+ in epoch 2, batch 1; try a lower --learning-rate"):
        run("a", learning_rate=1e30, batch_size=65)
    assert (tmp_path / "a" / "checkpoints" / "checkpoint_epoch_1.pt").exists()


@pytest.mark.fault("weights that diverge in training", promised="one message")
def test_weights_that_diverge_in_the_last_batch_are_named(graph):
    learner = new_learner(SIZES, SETTINGS, device=torch.device("cpu"))
    rows = torch.from_numpy(graph.train[:16])
    learner.optimizer.param_groups[0]["lr"] = torch.inf
    with pytest.raises(NonFiniteError, match=r"entity_embeddings\.weight has NaN or infinite values after epoch 1;"):
        train_epoch(learner, rows, epoch=0, on_batch=lambda _done, _total: None)


OTHER_SETTINGS = {
    "batch_size": (16, {"batch_size": 8}),
    "learning_rate": (0.01, {"learning_rate": 0.02}),
    "label_smoothing": (0.1, {"label_smoothing": 0.2}),
    "input_dropout": (0.2, {"dropout": Dropout(input=0.5)}),
    "random_seed": (42, {"random_seed": 43}),
    "use_mixed_precision": (False, {"use_mixed_precision": True}),
    "output_channels": (4, {"sizes": replace(SIZES, output_channels=5)}),
    "embedding_height": (8, {"sizes": replace(SIZES, embedding_height=4, embedding_width=8)}),
    "id_maps_sha256": ("maps", {"data": TrainingData(train=triples(65), id_maps_sha256="others")}),
    "triples_sha256": (
        TrainingData(train=triples(65), valid=triples(9, 1)).fingerprint(),
        {"data": TrainingData(train=triples(65, 9), valid=triples(9, 1), id_maps_sha256="maps")},
    ),
}


@pytest.mark.parametrize("name", OTHER_SETTINGS)
def test_resuming_with_other_settings_is_refused_with_both_values(name, run):
    first = run("first", num_epochs=1)
    before, other = OTHER_SETTINGS[name]
    now = other.get(name, getattr(other.get("sizes"), name, r"\S+"))
    with pytest.raises(ResumeError, match=rf"was trained with {name} {before}, now it is {now};"):
        run("second", resume_from=first.final_model, **other)


def test_resuming_with_fewer_epochs_than_are_done_is_refused(run):
    first = run("first", num_epochs=2)
    with pytest.raises(ResumeError, match="has 2 finished epochs, but --num-epochs is 1"):
        run("second", num_epochs=1, resume_from=first.final_model)


def test_resuming_from_a_checkpoint_of_another_program_is_refused(run, tmp_path):
    torch.save({"model_state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(ResumeError, match=r"other\.pt does not state the settings it was trained with"):
        run("a", resume_from=tmp_path / "other.pt")


def test_resuming_from_a_missing_checkpoint_is_refused(run, tmp_path):
    with pytest.raises(ResumeError, match=r"cannot continue from .*none\.pt: there is no such file"):
        run("a", resume_from=tmp_path / "none.pt")


def test_models_of_two_trainings_do_not_mix(run):
    run("a", num_epochs=1)
    with pytest.raises(ConfigError, match=r"best_model\.pt exists already, .*--resume-from-checkpoint"):
        run("a", num_epochs=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_epochs": 0}, "num_epochs is 0; expected at least 1"),
        ({"batch_size": 1}, "batch_size is 1; expected at least 2"),
        ({"checkpoint_frequency": 0}, "checkpoint_frequency is 0; expected at least 1"),
        ({"num_workers": -1}, "num_workers is -1; expected at least 0"),
        ({"random_seed": -1}, "random_seed is -1; expected a whole number from 0 to 18446744073709551615"),
        ({"random_seed": 2**64}, "random_seed is 18446744073709551616; expected a whole number from 0 to"),
        ({"learning_rate": 0.0}, r"learning_rate is 0\.0; expected a number above 0"),
        ({"label_smoothing": 1.0}, r"label_smoothing is 1\.0; expected at least 0 and less than 1"),
        ({"dropout": Dropout(output=-0.1)}, r"output is -0\.1; expected at least 0 and less than 1"),
    ],
)
def test_invalid_training_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        TrainingConfig(**settings)


def test_one_training_triple_is_too_few():
    with pytest.raises(ConfigError, match="1 training triples; a training needs at least 2"):
        TrainingData(train=triples(1))


@pytest.mark.fault("a path of temporary files too long for sockets", promised="one message, before any work")
def test_a_temporary_folder_without_room_for_sockets_is_refused_with_workers(run, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * 80)
    with pytest.raises(ConfigError, match=r"--num-workers needs sockets .* has 81 bytes, more than 75; set TMPDIR"):
        run("a", num_workers=1)
