"""Training of many ConvE models at once, each on its own rows of the same triples and with its own seed."""

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tracin_dask.errors import ConfigError, NonFiniteError
from tracin_dask.models.conve.model import ConvE, ConvEConfig
from tracin_dask.models.stacked.forward import Weights, project
from tracin_dask.models.stacked.functions import one_to_all_losses
from tracin_dask.models.stacked.models import ENTITIES, StackedModels
from tracin_dask.models.stacked.normalization import BatchNorms
from tracin_dask.models.training.settings import TrainingConfig, TrainingData
from tracin_dask.models.training.steps.batches import derive_seed
from tracin_dask.models.training.together.adam import StackedAdam
from tracin_dask.models.training.together.batches import Batch, Drawing, EpochBatches
from tracin_dask.models.training.together.group_size import group_bytes_of, models_at_a_time
from tracin_dask.models.training.together.trained import Retraining, Snapshot, TrainedModels
from tracin_dask.models.training.training import choose_device, first_model
from tracin_dask.seed import check_seed


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupReport:
    """The results of an epoch, which counts from 1, of the models `first`, `first` + 1, ... that are trained now."""

    first: int
    epoch: int
    losses: Float[np.ndarray, " model"]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TogetherOptions:
    """How models are trained together; none of it changes them, but for rounding and `dtype`.

    Attributes
    ----------
    device
        By default the GPU if there is one and the settings want it.
    models_at_a_time
        By default as many as `group_bytes` hold.
    group_bytes
        Bound on the bytes of the models that are trained at a time, at least one model's; the default is the
        device's in `group_size.GROUP_BYTES`.
    snapshot_epochs
        The epochs, counted from 1, after which all models are kept in addition to the last one.
    """

    device: torch.device | None = None
    models_at_a_time: int | None = None
    group_bytes: int | None = None
    snapshot_epochs: Collection[int] = ()
    on_epoch: Callable[[GroupReport], object] = lambda _report: None
    dtype: torch.dtype = torch.float32


def train_together(
    data: TrainingData,
    model_config: ConvEConfig,
    retrainings: Sequence[Retraining],
    *,
    config: TrainingConfig,
    options: TogetherOptions | None = None,
) -> TrainedModels:
    """Train models of one configuration, and keep them all; arguments and errors are those of `train_in_groups`."""
    groups = train_in_groups(data, model_config, retrainings, config=config, options=options)
    return TrainedModels.joined(list(groups))


def train_in_groups(
    data: TrainingData,
    model_config: ConvEConfig,
    retrainings: Sequence[Retraining],
    *,
    config: TrainingConfig,
    options: TogetherOptions | None = None,
) -> Iterator[TrainedModels]:
    """Train models of one configuration, as many at a time as memory allows, and give each group when it is done.

    Each model equals, but for rounding, the one that `train` gives on a CPU with its seed and its triples alone: the
    same first weights, batches and dropout. On a GPU that holds, too, since random numbers are drawn on the CPU.

    Parameters
    ----------
    data
        Its validation and test triples are not used.
    retrainings
        At least one.
    config
        The seeds of the retrainings stand in for `random_seed`, and the options' snapshots for `checkpoint_frequency`.

    Raises
    ------
    ConfigError
        If a setting is not supported here, or a retraining has other rows than there are, or fewer than two.
    NonFiniteError
        If the loss of a model diverges.
    """
    options = options or TogetherOptions()
    _check(data, retrainings, config, options)
    device = options.device or choose_device(use_gpu=config.use_gpu)
    at_a_time = options.models_at_a_time or models_at_a_time(
        model_config, config.batch_size, group_bytes=group_bytes_of(device, options.group_bytes), dtype=options.dtype
    )
    for first in range(0, len(retrainings), at_a_time):
        group = retrainings[first : first + at_a_time]
        models = _first_models(model_config, config, group).to(device, options.dtype)
        yield _Group.of(models, data, group, config=config, options=options, first=first).run()


def _check(
    data: TrainingData, retrainings: Sequence[Retraining], config: TrainingConfig, options: TogetherOptions
) -> None:
    for name in ("use_mixed_precision", "use_gradient_checkpointing", "use_cuda_graph", "num_workers"):
        if getattr(config, name):
            raise ConfigError(f"{name} is {getattr(config, name)}; models that are trained together cannot have it")
    if not retrainings:
        raise ConfigError("no retrainings; give at least one")
    for index, retraining in enumerate(retrainings):
        _check_retraining(retraining, index, len(data.train))
    for epoch in options.snapshot_epochs:
        if not 1 <= epoch <= config.num_epochs:
            raise ConfigError(f"snapshot_epochs has {epoch}; the epochs are 1 to {config.num_epochs}")


def _check_retraining(retraining: Retraining, index: int, num_rows: int) -> None:
    check_seed(f"the seed of retraining {index}", retraining.seed)
    rows = retraining.rows
    if rows is None:
        return
    if len(rows) < 2:
        raise ConfigError(f"retraining {index} has {len(rows)} training triples; a training needs at least 2")
    if rows.min() < 0 or rows.max() >= num_rows:
        raise ConfigError(
            f"retraining {index} has rows from {rows.min()} to {rows.max()}; the graph has rows 0 to {num_rows - 1}"
        )


def _first_models(model_config: ConvEConfig, config: TrainingConfig, group: Sequence[Retraining]) -> StackedModels:
    def model(retraining: Retraining) -> ConvE:
        return first_model(model_config, replace(config, random_seed=retraining.seed))

    with torch.random.fork_rng(devices=[]):
        return StackedModels.of([model(retraining) for retraining in group])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Models that are trained at the same time, those with the most batches first; the tensors inside change."""

    models: StackedModels
    adam: StackedAdam
    data: TrainingData
    retrainings: tuple[Retraining, ...]
    """In the order of the caller."""
    order: tuple[int, ...]
    """The caller's numbers of the models, in the order of the group."""
    drawing: Drawing
    config: TrainingConfig
    options: TogetherOptions
    first: int

    @classmethod
    def of(
        cls,
        models: StackedModels,
        data: TrainingData,
        retrainings: Sequence[Retraining],
        *,
        config: TrainingConfig,
        options: TogetherOptions,
        first: int,
    ) -> "_Group":
        triples = [torch.from_numpy(np.array(one.triples(data), dtype=np.int64)) for one in retrainings]
        order = sorted(range(len(triples)), key=lambda model: -len(triples[model]))
        sorted_models = models.select(torch.tensor(order))
        return cls(
            models=sorted_models,
            adam=StackedAdam(sorted_models.numbers, learning_rate=config.learning_rate),
            data=data,
            retrainings=tuple(retrainings),
            order=tuple(order),
            drawing=Drawing(
                triples=[triples[model] for model in order],
                batch_size=config.batch_size,
                config=models.config,
                dropout=config.dropout,
                like=models.numbers,
            ),
            config=config,
            options=options,
            first=first,
        )

    def run(self) -> TrainedModels:
        snapshots: dict[int, Snapshot] = {}
        reports: list[GroupReport] = []
        for epoch in range(self.config.num_epochs):
            reports.append(self._run_epoch(epoch))
            if epoch + 1 in {*self.options.snapshot_epochs, self.config.num_epochs}:
                snapshots[epoch + 1] = self._snapshot()
            self.options.on_epoch(reports[-1])
        seconds = np.array([report.seconds for report in reports]) / len(self.models)
        return TrainedModels(
            retrainings=self.retrainings,
            data=self.data,
            config=self.config,
            snapshots=snapshots,
            losses=np.stack([report.losses for report in reports], axis=1),
            epoch_seconds=np.tile(seconds, (len(self.models), 1)),
        )

    def _run_epoch(self, epoch: int) -> GroupReport:
        start = time.perf_counter()
        seeds = [derive_seed(self.retrainings[model].seed, epoch + 1) for model in self.order]
        losses = [self._step(batch) for batch in EpochBatches.of(self.drawing, seeds)]
        means = self._mean_losses([step.tolist() for step in losses], epoch)
        self._check_weights(epoch)
        return GroupReport(
            first=self.first,
            epoch=epoch + 1,
            losses=np.array(means)[np.argsort(self.order)],
            seconds=time.perf_counter() - start,
        )

    def _step(self, batch: Batch) -> Float[Tensor, " model"]:
        models = self.models.select(slice(len(batch)))
        weights = Weights.of(models.numbers, models.layout, requires_grad=True)
        norms = BatchNorms(valid=batch.pairs.valid, counts=batch.counts)
        losses = one_to_all_losses(
            weights.tensors[ENTITIES],
            project(weights, batch.pairs, norms, batch.masks),
            weights.tensors.get("entity_bias"),
            tail=batch.tail,
            share=batch.pairs.valid / (batch.counts[:, None] * models.config.num_entities),
            label_smoothing=self.config.label_smoothing,
        )
        self.adam.step(weights.gradients(losses.sum()))
        norms.update(models.buffers)
        return losses.detach()

    def _mean_losses(self, steps: list[list[float]], epoch: int) -> list[float]:
        """Average each model's losses over the batches that it has."""
        means = []
        for place, model in enumerate(self.order):
            losses = [step[place] for step in steps if place < len(step)]
            wrong = [index for index, loss in enumerate(losses) if not math.isfinite(loss)]
            if wrong:
                found = f"the loss is {losses[wrong[0]]} in epoch {epoch + 1}, batch {wrong[0] + 1}"
                raise NonFiniteError(f"{self._name(model)}: {found}; try a lower learning rate")
            means.append(math.fsum(losses) / len(losses))
        return means

    def _check_weights(self, epoch: int) -> None:
        finite = torch.isfinite(self.models.numbers).all(dim=1).tolist()
        for model, is_finite in zip(self.order, finite, strict=True):
            if not is_finite:
                found = f"weights are NaN or infinite after epoch {epoch + 1}"
                raise NonFiniteError(f"{self._name(model)}: {found}; try a lower learning rate")

    def _name(self, model: int) -> str:
        return f"retraining {self.first + model} (seed {self.retrainings[model].seed})"

    def _snapshot(self) -> Snapshot:
        restored = torch.argsort(torch.tensor(self.order)).to(self.models.numbers.device)
        return Snapshot(models=self.models.select(restored), adam=self.adam.state().select(restored))
