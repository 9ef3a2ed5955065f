"""Steps that a GPU replays from a captured graph are those that it would make one by one; the CPU plays the GPU."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from doubles.gpu import gpu_on_this_cpu
from doubles.graph import graphs_on_this_cpu
from torch.testing import assert_close

from tracin_dask.errors import ConfigError
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.training.epoch import train_epoch
from tracin_dask.models.training.memory import count_memory
from tracin_dask.models.training.settings import TrainingConfig, TrainingData, TrainingFiles
from tracin_dask.models.training.steps import captured
from tracin_dask.models.training.steps.batches import place_triples
from tracin_dask.models.training.steps.captured import WARM_UP_STEPS, CapturedStep, step_of
from tracin_dask.models.training.steps.step import train_step
from tracin_dask.models.training.training import new_learner, train

SIZES = ConvEConfig(
    num_entities=20, num_relations=3, embedding_dim=32, embedding_height=8, embedding_width=4, output_channels=4
)
SETTINGS = TrainingConfig(num_epochs=3, batch_size=8, learning_rate=0.01, use_cuda_graph=True)
GPU = torch.device("cuda")
ROWS, EPOCHS = 45, 3
FULL_STEPS = ROWS // SETTINGS.batch_size * EPOCHS


def triples(rows: int = ROWS) -> np.ndarray:
    generator = np.random.default_rng(0)
    return np.stack([generator.integers(0, limit, rows) for limit in (20, 3, 20)], axis=1)


@pytest.fixture
def graphs():
    with gpu_on_this_cpu(), graphs_on_this_cpu() as made:
        yield made


def trained(step, config=SETTINGS):
    """Train some epochs, each with a smaller last batch; gives all tensors and the losses."""
    learner, placed = new_learner(SIZES, config, device=GPU), place_triples(triples(), config, GPU)
    losses = [
        train_epoch(learner, placed, epoch=epoch, on_batch=lambda _done, _total: None, step=step)
        for epoch in range(EPOCHS)
    ]
    return losses, learner.model.state_dict(), learner.optimizer.state_dict()


def test_a_captured_step_trains_to_the_same_bits(graphs):
    ordinary, replayed = trained(train_step), trained(step_of(SETTINGS, GPU))
    assert_close(replayed, ordinary, rtol=0, atol=0)
    (graph,) = graphs
    assert graph.num_replays == FULL_STEPS - WARM_UP_STEPS > WARM_UP_STEPS


def test_a_captured_step_reads_its_batch_from_the_same_memory_each_time(graphs):
    learner = new_learner(SIZES, SETTINGS, device=GPU)
    learner.model.train()
    step, batches = CapturedStep(), torch.split(torch.from_numpy(triples(80)), 8)
    losses = [step(learner, batch) for batch in batches]
    assert len({float(loss) for loss in losses}) == len(losses)
    assert_close(step.batch, batches[-1])
    assert len(graphs[0].calls) > 50


def test_only_full_batches_are_captured(graphs):
    learner, step = new_learner(SIZES, SETTINGS, device=GPU), CapturedStep()
    learner.model.train()
    for _ in range(WARM_UP_STEPS + 2):
        step(learner, torch.from_numpy(triples(5)))
    assert (step.num_warm, graphs) == (0, [])


def test_a_step_that_cannot_be_captured_stops_with_advice(monkeypatch, graphs):
    def reading_step(learner, batch):
        train_step(learner, batch).item()

    learner, batch = new_learner(SIZES, SETTINGS, device=GPU), torch.from_numpy(triples(8))
    step = CapturedStep(num_warm=WARM_UP_STEPS)
    learner.model.train()
    train_step(learner, batch)
    monkeypatch.setattr(captured, "train_step", reading_step)
    with pytest.raises(ConfigError, match=r"cannot be captured on this GPU: .*capturing; train without --cuda-graph"):
        step(learner, batch)
    assert learner.optimizer.param_groups[0]["capturable"] is False
    assert [graph.num_replays for graph in graphs] == [0]


def test_a_graph_on_a_cpu_is_refused(tmp_path):
    config, files = replace(SETTINGS, use_gpu=False), TrainingFiles(output_dir=tmp_path / "model")
    with pytest.raises(ConfigError, match="--cuda-graph replays kernels of a GPU, and this training is on the CPU"):
        train(TrainingData(train=triples()), SIZES, config=config, files=files)


@pytest.mark.parametrize("other", ["use_mixed_precision", "use_gradient_checkpointing"])
def test_a_graph_of_steps_that_differ_is_refused(other):
    with pytest.raises(ConfigError, match=f"use_cuda_graph goes neither .*{other}"):
        TrainingConfig(use_cuda_graph=True, **{other: True})


def test_a_graph_is_counted_in_the_memory():
    plain, graph = (
        count_memory(TrainingData(train=triples()), SIZES, replace(SETTINGS, use_cuda_graph=wanted), GPU)
        for wanted in (False, True)
    )
    assert graph.total == plain.total + plain.step
