"""Trains models on chosen rows, and measures each: the one file that knows the trainer."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.identity import Json, digest_of
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.training.epoch import Learner, train_epoch
from tracin_dask.models.training.evaluation import KnownTails
from tracin_dask.models.training.resume import History, checkpoint_contents, identity
from tracin_dask.models.training.settings import TrainingConfig, TrainingData
from tracin_dask.models.training.training import choose_device, new_learner
from tracin_dask.turn import Turn
from tracin_dask.validation.folder import digest_of_json
from tracin_dask.validation.measured import Measured, measure
from tracin_dask.validation.rows import Rows

BATCH = 8
"""Trainings of one task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training of a study."""

    rows: Rows
    seed: int
    checkpoint_epochs: tuple[int, ...] = ()
    """After which epochs, counted from 1, the model is kept; models of no epoch are only measured."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """What all trainings of a study share.

    Attributes
    ----------
    triples
        All rows that trainings choose from.
    tests
        The test triples that every model is measured on.
    known
        True triples besides `triples`, for filtered ranks.
    """

    triples: Int[ndarray, "row 3"]
    tests: Int[ndarray, "test 3"]
    known: Int[ndarray, "other 3"]
    model: ConvEConfig
    settings: TrainingConfig
    id_maps_sha256: str

    def key(self, training: Training) -> str:
        """Name a training by all that decides what it gives."""
        return digest_of_json([self._identity(), training.rows.identity, training.seed, training.checkpoint_epochs])

    def _identity(self) -> Json:
        settings = {**asdict(self.settings), "random_seed": None, "num_workers": None, "use_gpu": None}
        arrays = [digest_of(array.astype(np.int64)) for array in (self.triples, self.tests, self.known)]
        return [self.model.sizes(), settings, self.id_maps_sha256, *arrays]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """What a training leaves."""

    measured: Measured
    checkpoints: Mapping[int, bytes] = field(default_factory=dict)
    """The files of the models that are kept, by epoch."""


def train_all(material: Material, trainings: Sequence[Training], threads: int) -> list[Trained]:
    """Train and measure some models, on the GPU of this process where there is one and the settings want it.

    Raises
    ------
    NonFiniteError
        If a loss diverges.
    """
    every = np.concatenate([material.triples, material.known])
    known = KnownTails.from_triples(every.astype(np.int64), material.model.num_relations)
    device = choose_device(use_gpu=material.settings.use_gpu)
    with Turn(threads, "highest"), torch.random.fork_rng(devices=[device.index or 0] if device.type == "cuda" else []):
        return [_train(material, training, known, device) for training in trainings]


def _train(material: Material, training: Training, known: KnownTails, device: torch.device) -> Trained:
    chosen = material.triples[training.rows.select(len(material.triples))].astype(np.int64)
    data = TrainingData(train=chosen, id_maps_sha256=material.id_maps_sha256)
    settings = replace(material.settings, random_seed=training.seed)
    learner = new_learner(material.model, settings, device=device)
    triples = torch.from_numpy(chosen)
    history: History = []
    kept: dict[int, bytes] = {}
    for epoch in range(settings.num_epochs):
        loss = train_epoch(learner, triples, epoch=epoch, on_batch=lambda _done, _total: None)
        history.append({"epoch": epoch + 1, "train_loss": loss, "valid_metrics": None})
        if epoch + 1 in training.checkpoint_epochs:
            kept[epoch + 1] = _checkpoint(learner, history, data)
    tests, smoothing = material.tests.astype(np.int64), settings.label_smoothing
    measured = measure(learner.model, tests, known, label_smoothing=smoothing)
    return Trained(measured=measured, checkpoints=kept)


def _checkpoint(learner: Learner, history: History, data: TrainingData) -> bytes:
    file = io.BytesIO()
    torch.save(checkpoint_contents(learner, history, identity=identity(learner, data)), file)
    return file.getvalue()
