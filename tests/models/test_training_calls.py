"""A step of training, and a block of an evaluation, are few operators and never wait: counted on a CPU.

`as on a GPU` lets the CPU play the device, so that the code takes the way that a GPU takes.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from doubles.gpu import gpu_on_this_cpu
from influence.calls import calls_of
from influence.live_bytes import LiveBytes
from models.waiting import Waits
from torch.testing import assert_close

from tracin_dask.models.checkpoints.files import write_torch_file
from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.models.ranking import counts
from tracin_dask.models.training import epoch
from tracin_dask.models.training.evaluation import (
    FEATURE_BYTES,
    FEATURE_COPIES,
    SCORE_BYTES,
    KnownTails,
    rows_per_block,
    tail_ranks,
)
from tracin_dask.models.training.resume import checkpoint_contents, identity, restore, states_of
from tracin_dask.models.training.settings import TrainingConfig, TrainingData
from tracin_dask.models.training.steps.batches import Batches, place_triples
from tracin_dask.models.training.steps.step import Learner, add_gradient, train_step
from tracin_dask.models.training.training import new_learner

SIZES = ConvEConfig(
    num_entities=20, num_relations=3, embedding_dim=32, embedding_height=8, embedding_width=4, output_channels=4
)
SETTINGS = TrainingConfig(num_epochs=4, batch_size=8, learning_rate=0.01)
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def triples(rows: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    return np.stack([generator.integers(0, limit, rows) for limit in (20, 3, 20)], axis=1)


def a_step(learner: Learner, rows: int):
    batch = torch.from_numpy(triples(rows))
    learner.model.train()
    return lambda: train_step(learner, batch)


@pytest.fixture
def gpu():
    with gpu_on_this_cpu():
        yield GPU


def test_a_training_step_on_a_gpu_never_waits(gpu):
    step = a_step(new_learner(SIZES, SETTINGS, device=gpu), 8)
    step()
    with Waits() as waits:
        step()
    assert waits.names == []


def test_adam_of_a_cpu_is_seen_as_waiting_where_it_reads_the_number_of_its_step():
    step = a_step(new_learner(SIZES, SETTINGS, device=CPU), 8)
    step()
    with Waits() as waits:
        step()
    assert set(waits.names) == {"_local_scalar_dense"}


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize("device", [CPU, GPU], ids=str)
def test_a_training_step_takes_as_many_calls_for_any_batch(device):
    few, many = (calls_of(a_step(new_learner(SIZES, SETTINGS, device=device), rows)) for rows in (4, 400))
    assert few == many


def test_a_training_step_on_a_gpu_takes_few_calls(gpu):
    learner = new_learner(SIZES, SETTINGS, device=gpu)
    step = a_step(learner, 8)
    step()
    assert calls_of(step) <= 100
    assert calls_of(learner.optimizer.step) <= 4  # with the start and the end of its record for a profiler


def test_a_batch_is_one_call_where_the_triples_lie_on_the_device(gpu):
    placed = place_triples(triples(64), SETTINGS, gpu)
    few, many = (
        calls_of(lambda size=size: list(Batches.of(placed, replace(SETTINGS, batch_size=size), seed=1, device=gpu)))
        for size in (32, 8)
    )
    assert many - few == 6


@pytest.mark.parametrize(("num_steps", "readings"), [(8, 1), (70, 2)])
def test_losses_of_a_gpu_are_read_once_for_many_steps_and_its_weights_once_per_epoch(num_steps, readings, gpu):
    learner, placed = new_learner(SIZES, SETTINGS, device=gpu), place_triples(triples(8 * num_steps), SETTINGS, gpu)
    with Waits() as waits:
        epoch.train_epoch(learner, placed, epoch=0, on_batch=lambda _done, _total: None)
    assert waits.names == ["tolist"] * (readings + 1)


@pytest.mark.usefixtures("gpu")
def test_an_epoch_on_a_gpu_has_the_losses_of_one_on_a_cpu():
    losses = [
        [
            epoch.train_epoch(
                learner, place_triples(triples(65), SETTINGS, device), epoch=e, on_batch=lambda _done, _total: None
            )
            for e in range(2)
        ]
        for device in (CPU, GPU)
        for learner in [new_learner(SIZES, SETTINGS, device=device)]
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("score_bytes", [1, 4 * 20 * 3, 4 * 20 * 7])
@pytest.mark.parametrize("changed", [{}, {"use_mixed_precision": True}, {"use_gradient_checkpointing": True}], ids=str)
def test_scores_in_pieces_give_the_same_loss_and_gradient(score_bytes, changed):
    found = []
    for some_bytes in (2**30, score_bytes):
        learner = new_learner(SIZES, replace(SETTINGS, **changed), device=CPU)
        learner.model.train()
        torch.manual_seed(0)
        loss = add_gradient(learner, torch.from_numpy(triples(16)), score_bytes=some_bytes)
        found.append((loss, {name: weight.grad for name, weight in learner.model.named_parameters()}))
    tolerance = {"rtol": 0.05, "atol": 1e-4} if "use_mixed_precision" in changed else {"rtol": 1e-4, "atol": 1e-7}
    assert_close(found[1], found[0], **tolerance)


def test_scores_in_pieces_bound_the_memory():
    sizes, batch = replace(SIZES, num_entities=5000), torch.from_numpy(triples(64))
    learner = new_learner(sizes, SETTINGS, device=CPU)
    peaks = []
    for score_bytes in (2**30, 4 * 5000 * 4):
        learner.optimizer.zero_grad()
        with LiveBytes() as live:
            add_gradient(learner, batch, score_bytes=score_bytes)
        peaks.append(live.peak_bytes)
    assert peaks[0] >= 4 * 4 * 5000 * 64
    assert peaks[1] < 4 * 4 * 5000 * 4 + 4 * 4 * 5000 * 32 + 2**20


def evaluated(num_ranked: int, device: torch.device) -> np.ndarray:
    torch.manual_seed(0)
    model, rows = ConvE(SIZES).to(device).eval(), triples(num_ranked)
    return tail_ranks(model, rows, KnownTails.from_triples(triples(300), num_relations=3))


def test_a_block_of_ranks_takes_as_many_calls_for_any_number_of_triples(monkeypatch):
    monkeypatch.setattr(counts, "LONG_ROW", 1000)  # a CPU counts longer rows one by one, because that is faster there
    assert calls_of(lambda: evaluated(5, CPU)) == calls_of(lambda: evaluated(250, CPU))


def test_an_evaluation_waits_once_for_all_its_blocks():
    model, known = ConvE(SIZES).eval(), KnownTails.from_triples(triples(300), num_relations=3)
    with Waits() as waits:
        tail_ranks(model, triples(50), known, block_rows=7)
    assert waits.names == ["cpu", "numpy"]


@pytest.mark.usefixtures("gpu")
def test_ranks_on_a_gpu_equal_those_on_a_cpu():
    np.testing.assert_array_equal(evaluated(250, GPU), evaluated(250, CPU))


@pytest.mark.parametrize("num_entities", [20, 500_000])
def test_a_block_of_ranks_is_bounded_by_its_scores_and_activations(num_entities):
    sizes = replace(SIZES, num_entities=num_entities)
    blocks = [rows_per_block(sizes, device) for device in (CPU, GPU)]
    assert 1 <= blocks[0] < blocks[1]
    for rows, device in zip(blocks, ("cpu", "cuda"), strict=True):
        assert rows * 4 * num_entities <= SCORE_BYTES[device]
        assert rows * 4 * FEATURE_COPIES * sizes.num_features <= FEATURE_BYTES[device]


@pytest.mark.parametrize(("before", "after"), [(GPU, CPU), (CPU, GPU)], ids=str)
@pytest.mark.usefixtures("gpu")
def test_a_training_resumes_on_another_device_with_the_adam_of_that_device(before, after, tmp_path):
    first, second = (new_learner(SIZES, SETTINGS, device=device) for device in (before, after))
    a_step(first, 8)()
    history = [{"epoch": 1, "valid_metrics": None}]
    known = identity(SIZES, SETTINGS, TrainingData(train=triples(8)))
    contents = checkpoint_contents(states_of(first), history, model_config=SIZES, identity=known)
    write_torch_file(tmp_path / "checkpoint.pt", contents)
    restore(second, tmp_path / "checkpoint.pt", identity=known)
    assert second.optimizer.param_groups[0]["fused"] == (True if after == GPU else None)
    for learner in (first, second):
        torch.manual_seed(0)
        a_step(learner, 8)()
    assert_close(first.model.state_dict(), second.model.state_dict(), rtol=1e-4, atol=1e-6)
