"""The contents of a checkpoint of a training, and how a training is resumed from one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tracin_dask.errors import CheckpointError, ResumeError
from tracin_dask.models.checkpoints.files import read_torch_file
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.training.settings import TrainingConfig, TrainingData
from tracin_dask.models.training.steps.step import Learner
from tracin_dask.places.place import AnyPath

History = list[dict[str, Any]]
"""One entry per finished epoch, as in training_history.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """State dicts of the model, the optimiser and the gradient scaler."""

    model: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    scaler: Mapping[str, Any]


def states_of(learner: Learner) -> States:
    """Give the state dicts of a learner; the tensors stay its own."""
    return States(
        model=learner.model.state_dict(),
        optimizer=learner.optimizer.state_dict(),
        scaler=learner.scaler.state_dict(),
    )


def identity(model_config: ConvEConfig, config: TrainingConfig, data: TrainingData) -> dict[str, object]:
    """Name everything that decides the weights after each epoch."""
    return {
        **model_config.sizes(),
        **config.decisive(),
        "id_maps_sha256": data.id_maps_sha256,
        "triples_sha256": data.fingerprint(),
    }


def checkpoint_contents(
    states: States, history: History, *, model_config: ConvEConfig, identity: Mapping[str, object]
) -> dict[str, object]:
    """Give the contents of a checkpoint, with all that resuming needs."""
    last = history[-1]
    return {
        "epoch": last["epoch"] - 1,
        "model_state_dict": states.model,
        "optimizer_state_dict": states.optimizer,
        "scaler_state_dict": states.scaler,
        "model_config": model_config.sizes(),
        "metrics": last["valid_metrics"],
        "learning_rate": identity["learning_rate"],
        "id_maps_sha256": identity["id_maps_sha256"],
        "training": dict(identity),
        "history": history,
    }


def restore(learner: Learner, path: AnyPath, *, identity: Mapping[str, object]) -> History:
    """Put a checkpoint's state into `learner` and return the history up to it.

    Raises
    ------
    ResumeError
        If the file cannot be resumed from, or its training has other settings, triples or id maps.
    """
    try:
        contents: Mapping[Any, Any] = read_torch_file(path)
    except CheckpointError as error:
        raise ResumeError(f"cannot continue from {path}: {error}") from error
    if "training" not in contents or "history" not in contents:
        raise ResumeError(
            f"{path} does not state the settings it was trained with, so training cannot continue from it exactly; "
            "give a checkpoint that `tracin-dask train` wrote"
        )
    _check_same(contents["training"], identity, path)
    history: History = contents["history"]
    if len(history) > learner.config.num_epochs:
        raise ResumeError(
            f"{path} has {len(history)} finished epochs, but --num-epochs is {learner.config.num_epochs}; "
            "give the total number of epochs, not the remaining one"
        )
    learner.model.load_state_dict(contents["model_state_dict"])
    learner.optimizer.load_state_dict(_of_this_device(contents["optimizer_state_dict"], learner.optimizer))
    learner.scaler.load_state_dict(contents["scaler_state_dict"])
    return history


def _of_this_device(saved: Mapping[str, Any], optimizer: torch.optim.Adam) -> dict[str, Any]:
    """Let the device decide how Adam is computed: its state would bring this setting from the device that saved it."""
    fused = optimizer.param_groups[0]["fused"]
    return {**saved, "param_groups": [{**group, "fused": fused} for group in saved["param_groups"]]}


def _check_same(before: Mapping[str, object], now: Mapping[str, object], path: AnyPath) -> None:
    for name, value in now.items():
        if before.get(name) != value:
            raise ResumeError(
                f"{path} was trained with {name} {before.get(name)}, now it is {value}; "
                "a training continues with the settings it started with: give the same ones, or start a new training"
            )
