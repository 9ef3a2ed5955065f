"""The bytes that a training states are those that it takes, and one that cannot fit is refused before it starts."""

import numpy as np
import pytest
import torch
from doubles.gpu import MEMORY_BYTES, gpu_on_this_cpu
from influence.live_bytes import LiveBytes

from tracin_dask.errors import MemoryLimitError
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.training import memory as training_memory
from tracin_dask.models.training.epoch import train_epoch
from tracin_dask.models.training.evaluation import KnownTails, tail_ranks
from tracin_dask.models.training.memory import check_memory, count_memory, shown_bytes
from tracin_dask.models.training.settings import TrainingConfig, TrainingData, TrainingFiles
from tracin_dask.models.training.steps.batches import place_triples
from tracin_dask.models.training.training import new_learner, train

CPU, GPU = torch.device("cpu"), torch.device("cuda")
IMAGES = {12: (3, 4), 32: (4, 8), 200: (10, 20)}


def sizes_of(num_entities: int, dim: int) -> ConvEConfig:
    height, width = IMAGES[dim]
    return ConvEConfig(
        num_entities=num_entities, num_relations=7, embedding_dim=dim, embedding_height=height, embedding_width=width
    )


def data_of(sizes: ConvEConfig, rows: int) -> TrainingData:
    generator = np.random.default_rng(0)
    limits = (sizes.num_entities, sizes.num_relations, sizes.num_entities)
    return TrainingData(train=np.stack([generator.integers(0, limit, rows) for limit in limits], axis=1))


@pytest.mark.parametrize("changed", [{}, {"use_mixed_precision": True}, {"use_gradient_checkpointing": True}], ids=str)
@pytest.mark.parametrize(
    ("num_entities", "dim", "batch_size"),
    [
        pytest.param(20, 32, 2048, id="activations"),
        pytest.param(20, 200, 256, id="large activations"),
        pytest.param(20_000, 12, 512, id="scores"),
        pytest.param(100_000, 32, 16, id="weights"),
    ],
)
def test_a_training_takes_the_bytes_that_are_counted(num_entities, dim, batch_size, changed):
    sizes = sizes_of(num_entities, dim)
    data, config = data_of(sizes, batch_size), TrainingConfig(batch_size=batch_size, **changed)
    with LiveBytes() as live:
        learner = new_learner(sizes, config, device=CPU)
        for epoch in range(2):
            placed = place_triples(data.train, config, CPU)
            train_epoch(learner, placed, epoch=epoch, on_batch=lambda _done, _total: None)
    counted = count_memory(data, sizes, config, CPU)
    assert 1.0 <= counted.total * 1.01 / live.peak_bytes <= 1.3


@pytest.mark.parametrize(("num_entities", "dim"), [(20, 200), (20_000, 12)], ids=["activations", "scores"])
def test_an_evaluation_takes_the_bytes_that_are_counted(num_entities, dim):
    sizes, config = sizes_of(num_entities, dim), TrainingConfig()
    model, ranked = new_learner(sizes, config, device=CPU).model.eval(), data_of(sizes, 300).train
    known = KnownTails.from_triples(ranked, sizes.num_relations)
    with LiveBytes() as live:
        tail_ranks(model, ranked, known)
    counted = count_memory(TrainingData(train=ranked, test=ranked), sizes, config, CPU)
    assert 0.95 <= counted.evaluation / live.peak_bytes <= 1.3
    assert counted.total >= counted.weights + counted.evaluation


def test_a_training_beyond_the_memory_is_refused_before_it_starts_with_the_bytes(monkeypatch, tmp_path):
    monkeypatch.setattr(training_memory, "memory_limit", lambda: 2**20)
    sizes = sizes_of(20, 32)
    message = (
        r"the training takes about 36 MiB \(0 MiB for weights and Adam, 0 MiB for training triples, 35 MiB for a batch "
        r"of 2,048, 0 MiB for ranking\), and 1 MiB are there; choose a smaller --batch-size"
    )
    config, files = TrainingConfig(batch_size=2048), TrainingFiles(output_dir=tmp_path / "model")
    with pytest.raises(MemoryLimitError, match=message):
        train(data_of(sizes, 2048), sizes, config=config, files=files)
    assert not list((tmp_path / "model").glob("*.json"))


def test_a_training_on_a_gpu_is_held_to_the_memory_of_the_gpu():
    sizes, config = sizes_of(100_000, 32), TrainingConfig(batch_size=2**21)
    memory = count_memory(data_of(sizes, 2**21), sizes, config, GPU)
    assert memory.total > MEMORY_BYTES / 2
    with gpu_on_this_cpu():
        check_memory(memory, config, GPU)
        larger = count_memory(data_of(sizes, 2**23), sizes, TrainingConfig(batch_size=2**23), GPU)
        with pytest.raises(MemoryLimitError, match=r"and 64\.0 GiB are there"):
            check_memory(larger, config, GPU)


def test_a_batch_is_counted_no_larger_than_the_graph():
    sizes = sizes_of(20, 32)
    huge, whole = (
        count_memory(data_of(sizes, 100), sizes, TrainingConfig(batch_size=size), CPU) for size in (10**9, 100)
    )
    assert huge == whole


def test_bytes_are_shown_in_the_unit_that_fits():
    assert [shown_bytes(number) for number in (2**20, 3 * 2**29)] == ["1 MiB", "1.5 GiB"]
