"""Trains models on chosen rows, and measures each: the one file that knows the trainer."""

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray

from tracin_dask.identity import Json, digest_of
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.training.evaluation import KnownTails
from tracin_dask.models.training.settings import TrainingConfig, TrainingData
from tracin_dask.models.training.together.measure import measure
from tracin_dask.models.training.together.trained import Retraining, TrainedModels
from tracin_dask.models.training.together.training import TogetherOptions, train_in_groups
from tracin_dask.turn import Turn
from tracin_dask.validation.folder import digest_of_json
from tracin_dask.validation.measured import Measured
from tracin_dask.validation.rows import Rows


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
    """Train models together and measure each, on the GPU of this process where there is one and the settings want it.

    All of them keep the checkpoints of the same epochs.

    Raises
    ------
    NonFiniteError
        If a loss diverges.
    """
    every = np.concatenate([material.triples, material.known]).astype(np.int64)
    known = KnownTails.from_triples(every, material.model.num_relations)
    data = TrainingData(train=every[: len(material.triples)], id_maps_sha256=material.id_maps_sha256)
    retrainings = [Retraining(seed=one.seed, rows=one.rows.select(len(data.train))) for one in trainings]
    options = TogetherOptions(snapshot_epochs=trainings[0].checkpoint_epochs)
    with Turn(threads, "highest"):
        groups = train_in_groups(data, material.model, retrainings, config=material.settings, options=options)
        return [trained for group in groups for trained in _measured(material, group, known, options.snapshot_epochs)]


def _measured(
    material: Material, group: TrainedModels, known: KnownTails, epochs: Collection[int]
) -> Iterator[Trained]:
    """Measure the models of a group, and keep their checkpoints."""
    smoothing = material.settings.label_smoothing
    found = measure(group.models, material.tests.astype(np.int64), known, label_smoothing=smoothing)
    for index in range(len(group)):
        measured = Measured(
            score=found.score[index].astype(np.float64),
            loss=found.one_to_all_loss[index].astype(np.float64),
            margin=found.margin[index].astype(np.float64),
            rank=found.filtered_rank[index],
        )
        yield Trained(measured=measured, checkpoints={epoch: _file(group, index, epoch) for epoch in epochs})


def _file(group: TrainedModels, index: int, epoch: int) -> bytes:
    file = io.BytesIO()
    torch.save(group.checkpoint(index, epoch=epoch), file)
    return file.getvalue()
