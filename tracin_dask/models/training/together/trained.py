"""What a training of many models gives: their weights after stated epochs, and checkpoints of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.errors import ConfigError
from tracin_dask.models.checkpoints.files import write_torch_file
from tracin_dask.models.conve.model import ConvE
from tracin_dask.models.stacked.models import StackedModels
from tracin_dask.models.training.resume import History, States, checkpoint_contents, identity
from tracin_dask.models.training.settings import TrainingConfig, TrainingData
from tracin_dask.models.training.together.adam import AdamState
from tracin_dask.places.place import AnyPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Retraining:
    """One of many trainings: its seed, and the training triples that it sees by their row numbers, or all of them."""

    seed: int
    rows: Int[np.ndarray, " kept"] | None = None

    def triples(self, data: TrainingData) -> Int[np.ndarray, "row 3"]:
        """Give the triples in the order of the row numbers."""
        return data.train if self.rows is None else data.train[self.rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All models after an epoch, with the state of their optimizers."""

    models: StackedModels
    adam: AdamState


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedModels:
    """Models in the order of their retrainings; `snapshots` are by epoch, counted from 1, the last one always there."""

    retrainings: tuple[Retraining, ...]
    data: TrainingData
    config: TrainingConfig
    snapshots: Mapping[int, Snapshot]
    losses: Float[np.ndarray, "model epoch"]
    """The mean loss over the batches of each epoch."""
    epoch_seconds: Float[np.ndarray, "model epoch"]
    """The seconds of each epoch, divided by the number of models that were trained at that time."""

    @classmethod
    def joined(cls, groups: Sequence["TrainedModels"]) -> "TrainedModels":
        """Put groups of the same training settings one after the other."""
        first = groups[0]
        snapshots = {
            epoch: Snapshot(
                models=StackedModels.joined([group.snapshots[epoch].models for group in groups]),
                adam=AdamState.joined([group.snapshots[epoch].adam for group in groups]),
            )
            for epoch in first.snapshots
        }
        return replace(
            first,
            retrainings=tuple(one for group in groups for one in group.retrainings),
            snapshots=snapshots,
            losses=np.concatenate([group.losses for group in groups]),
            epoch_seconds=np.concatenate([group.epoch_seconds for group in groups]),
        )

    def __len__(self) -> int:
        """Count the models."""
        return len(self.retrainings)

    @property
    def models(self) -> StackedModels:
        """The models after the last epoch."""
        return self.snapshots[self.config.num_epochs].models

    def state_dict(self, index: int, *, epoch: int | None = None) -> dict[str, Tensor]:
        """Copy a model's tensors after an epoch, by default the last one; raises as `checkpoint`."""
        return self._snapshot(epoch).models.state_dict(index)

    def model(self, index: int, *, epoch: int | None = None) -> ConvE:
        """Copy a model after an epoch, by default the last one; raises as `checkpoint`."""
        return self._snapshot(epoch).models.model(index)

    def checkpoint(self, index: int, *, epoch: int | None = None) -> dict[str, object]:
        """Give a model's checkpoint as a training alone writes it; one may resume from it.

        Raises
        ------
        ConfigError
            If no snapshot of this epoch was taken.
        """
        snapshot, retraining = self._snapshot(epoch), self.retrainings[index]
        config = replace(self.config, random_seed=retraining.seed)
        data = replace(self.data, train=retraining.triples(self.data))
        models = snapshot.models
        optimizer = snapshot.adam.state_dict(index, models.layout, learning_rate=config.learning_rate)
        return checkpoint_contents(
            States(model=models.state_dict(index), optimizer=optimizer, scaler={}),
            self._history(index, epoch or self.config.num_epochs),
            model_config=models.config,
            identity=identity(models.config, config, data),
        )

    def write_checkpoint(self, path: AnyPath, index: int, *, epoch: int | None = None) -> None:
        """Write a model's checkpoint to a file that `tracin-dask run --model-path` reads; raises as `checkpoint`."""
        write_torch_file(path, self.checkpoint(index, epoch=epoch))

    def _snapshot(self, epoch: int | None) -> Snapshot:
        wanted = self.config.num_epochs if epoch is None else epoch
        if wanted not in self.snapshots:
            there = ", ".join(map(str, self.snapshots))
            raise ConfigError(f"no snapshot of epoch {wanted} was taken; there are those of epochs {there}")
        return self.snapshots[wanted]

    def _history(self, index: int, num_epochs: int) -> History:
        return [
            {"epoch": epoch + 1, "train_loss": loss, "valid_metrics": None, "time": seconds}
            for epoch, (loss, seconds) in enumerate(
                zip(self.losses[index].tolist(), self.epoch_seconds[index].tolist(), strict=True)
            )
        ][:num_epochs]
