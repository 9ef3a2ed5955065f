"""The models that this process holds: each checkpoint is loaded once for all tasks of a run."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from tracin_dask.influence.engine import ReadyModel, engine_kind
from tracin_dask.influence.precision import Precision
from tracin_dask.models.checkpoints.checkpoint_file import CheckpointFile, Contents
from tracin_dask.models.config import ModelConfig


@dataclass(slots=True, kw_only=True)
class Loaded:
    """A model from which engines are made."""

    ready: ReadyModel
    is_counted: bool = True
    """Whether a task has stated that the checkpoint was loaded."""


ModelKey = tuple[str, ModelConfig, torch.dtype, frozenset[str], torch.device, Precision]
"""The file, the sizes (one that does not state the image's height and width is another model with others), formats."""
_models: dict[ModelKey, Loaded] = {}
"""The models of the last run."""


def keep_only(files: Iterable[CheckpointFile], device: torch.device, precision: Precision) -> bool:
    """Forget the models of other files, devices and precisions; tells whether there were any."""
    others = _models.keys() - {_key(file, device, precision) for file in files}
    for key in others:
        del _models[key]
    return bool(others)


def loaded(file: CheckpointFile, device: torch.device, precision: Precision) -> tuple[Loaded, bool]:
    """Give a checkpoint's model, and whether nobody has counted yet that it was loaded; that is counted then."""
    known = _models.get(_key(file, device, precision))
    model = known or remember(file, file.load(), device, precision)
    is_new, model.is_counted = known is None or not model.is_counted, True
    return model, is_new


def remember(file: CheckpointFile, contents: Contents, device: torch.device, precision: Precision) -> Loaded:
    """Make a checkpoint's model ready, which is loaded already, and keep it."""
    ready = engine_kind(file.config).ready(contents.model, contents.scales, device=device, precision=precision)
    made = _models[_key(file, device, precision)] = Loaded(ready=ready)
    return made


def _key(file: CheckpointFile, device: torch.device, precision: Precision) -> ModelKey:
    return file.sha256, file.config, file.dtype, file.preconditioned, device, precision
