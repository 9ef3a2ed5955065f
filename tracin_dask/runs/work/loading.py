"""The models of a run, ready to compute: each checkpoint is loaded once for all tasks of a process."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from tracin_dask.influence.engine import Engine, EngineSettings, ReadyModel, engine_kind
from tracin_dask.influence.precision import Precision
from tracin_dask.influence.preconditioners.base import Layout, Preconditioner, State
from tracin_dask.influence.preconditioners.diagonal import IDENTITY
from tracin_dask.models.checkpoints.checkpoint_file import CheckpointFile, Contents
from tracin_dask.models.config import ModelConfig
from tracin_dask.runs.work.job import ScoreJob
from tracin_dask.runs.work.process import ThisProcess


@dataclass(slots=True, kw_only=True)
class Loaded:
    """A model from which engines are made."""

    ready: ReadyModel
    state: State
    """What the preconditioner's method read of the checkpoint."""
    layout: Layout
    is_counted: bool = True
    """Whether a task has stated that the checkpoint was loaded."""
    _fitted: "tuple[State, Preconditioner] | None" = field(default=None, init=False)

    def preconditioner(self, job: ScoreJob, gathered: State) -> Preconditioner:
        """Give P, made once for what was gathered in a pass; the identity before the pass."""
        if job.method is None or job.needs_pass:
            return IDENTITY
        if self._fitted is None or self._fitted[0] is not gathered:
            self._fitted = gathered, job.method.fit(self.state, gathered, self.layout)
        return self._fitted[1]


NOTHING_GATHERED: State = {}
ModelKey = tuple[str, ModelConfig, torch.dtype, frozenset[str], str, torch.device, Precision]
"""The file, the sizes (one that does not state the image's height and width is another model with others), formats."""


@dataclass(slots=True)
class Models:
    """The models of the last job."""

    _loaded: dict[ModelKey, Loaded] = field(default_factory=dict)

    def keep_only(self, job: ScoreJob, here: ThisProcess) -> bool:
        """Forget the models of other files, devices and precisions; tells whether there were any."""
        others = self._loaded.keys() - {_key(file, here) for file in job.checkpoints}
        for key in others:
            del self._loaded[key]
        return bool(others)

    def remember(self, job: ScoreJob, models: Sequence[Contents], here: ThisProcess) -> None:
        """Keep the models of a job, which are loaded already."""
        for file, contents in zip(job.checkpoints, models, strict=True):
            self._loaded[_key(file, here)] = _ready(file, contents, here)

    def load(self, job: ScoreJob, here: ThisProcess) -> None:
        """Load the models of a job that are not here yet; the first task counts them."""
        for file in job.checkpoints:
            key = _key(file, here)
            if key not in self._loaded:
                self._loaded[key] = _ready(file, file.load(), here)
                self._loaded[key].is_counted = False

    def engines(self, job: ScoreJob, here: ThisProcess) -> tuple[list[Engine], int]:
        """Give an engine per checkpoint of a job, all loaded, and how many of them no task has counted yet."""
        found = [self._loaded[_key(file, here)] for file in job.checkpoints]
        number = sum(not model.is_counted for model in found)
        for model in found:
            model.is_counted = True
        gathered = job.gathered or (NOTHING_GATHERED,) * len(found)
        settings = (
            _settings(job, rate, model.preconditioner(job, of_one))
            for model, rate, of_one in zip(found, job.learning_rates, gathered, strict=True)
        )
        return [model.ready.engine(chosen) for model, chosen in zip(found, settings, strict=True)], number


def _ready(file: CheckpointFile, contents: Contents, here: ThisProcess) -> Loaded:
    """Make a model ready to compute."""
    kind = engine_kind(file.config)
    return Loaded(
        ready=kind.ready(contents.model, device=here.device, precision=here.precision),
        state=contents.state,
        layout=kind.layout(file.config, here.device),
    )


def _settings(job: ScoreJob, learning_rate: float, preconditioner: Preconditioner) -> EngineSettings:
    return EngineSettings(
        tracked=job.tracked,
        loss=job.scoring.loss,
        learning_rate=learning_rate,
        modes=job.modes,
        preconditioner=preconditioner,
        recompute=job.computing.gradient_checkpointing,
    )


def _key(file: CheckpointFile, here: ThisProcess) -> ModelKey:
    reader = "" if file.reader is None else file.reader.name
    return file.sha256, file.config, file.dtype, file.preconditioned, reader, here.device, here.precision
