"""Trains the models of a study that are not finished yet, and gives what all of them say."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tracin_dask.models.training.together.group_size import group_bytes_of, models_at_a_time
from tracin_dask.validation.folder import StudyFolder, checkpoint_path
from tracin_dask.validation.measured import Measured, stacked
from tracin_dask.validation.rows import AllRows, Rows
from tracin_dask.validation.seeds import seed_for
from tracin_dask.validation.trainings import Material, Trained, Training, train_all
from tracin_dask.validation.workers import Workers

NUM_CHECKPOINTS = 4
"""Checkpoints of a training that methods may sum over, where no epochs are stated."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bench:
    """What every study needs to train models: the material, the folder and the workers."""

    material: Material
    folder: StudyFolder
    workers: Workers

    def measured(self, trainings: Sequence[Training]) -> Measured:
        """Train what is missing, and give the measurements of all: arrays [training, test]."""
        keys = [self.material.key(training) for training in trainings]
        missing = {
            key: training
            for key, training in zip(keys, trainings, strict=True)
            if self.folder.measured(key, training.checkpoint_epochs) is None
        }
        if missing:
            self._train(missing, finished=len(set(keys)) - len(missing))
        found = [self.folder.measured(key, ()) for key in keys]
        return stacked([one for one in found if one is not None])

    def checkpoints(self, training: Training) -> list[str]:
        """Name the files of a training that is finished, in the order of their epochs."""
        folder = self.folder.models(self.material.key(training))
        return [str(checkpoint_path(folder, epoch)) for epoch in training.checkpoint_epochs]

    def _train(self, missing: dict[str, Training], *, finished: int) -> None:
        groups, total = _groups(missing, self._models_of_a_task(len(missing))), finished + len(missing)
        self.workers.progress(finished, total)
        for index, outcomes in self._outcomes([[missing[key] for key in group] for group in groups]):
            for key, trained in zip(groups[index], outcomes, strict=True):
                self.folder.write(key, trained.measured, trained.checkpoints)
            finished += len(outcomes)
            self.workers.progress(finished, total)

    def _models_of_a_task(self, num_models: int) -> int:
        """Give every worker work, but no more than it trains at a time: what is lost with a worker is one task."""
        device = torch.device("cuda" if self.workers.on_gpus else "cpu")
        at_a_time = models_at_a_time(
            self.material.model,
            self.material.settings.batch_size,
            group_bytes=group_bytes_of(device, None),
            dtype=torch.float32,
        )
        return max(1, min(at_a_time, -(-num_models // self.workers.number)))

    def _outcomes(self, groups: list[list[Training]]) -> Iterator[tuple[int, list[Trained]]]:
        return self.workers.each(train_all, self.material, groups)


def _groups(missing: dict[str, Training], size: int) -> list[list[str]]:
    """Put trainings that keep checkpoints of the same epochs together, as many as one task has."""
    by_epochs: dict[tuple[int, ...], list[str]] = {}
    for key, training in missing.items():
        by_epochs.setdefault(training.checkpoint_epochs, []).append(key)
    return [keys[start : start + size] for keys in by_epochs.values() for start in range(0, len(keys), size)]


def full_trainings(
    number: int, base_seed: int, num_epochs: int, epochs: tuple[int, ...] = (), rows: Rows | None = None
) -> list[Training]:
    """Plan trainings on all rows whose checkpoints are kept: influences are computed with these models."""
    kept = epochs or spread_epochs(num_epochs)
    return [
        Training(rows=rows or AllRows(), seed=seed_for(base_seed, "full", index), checkpoint_epochs=kept)
        for index in range(number)
    ]


def spread_epochs(num_epochs: int) -> tuple[int, ...]:
    """Choose the epochs of checkpoints: the first, the last, and some between them."""
    return tuple(sorted({round(epoch) for epoch in np.linspace(1, num_epochs, NUM_CHECKPOINTS).tolist()}))
