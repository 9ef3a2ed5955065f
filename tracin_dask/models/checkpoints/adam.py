"""Adam's preconditioner, read from the optimiser's state in a checkpoint."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.checkpoints.facts import optional_mapping
from tracin_dask.models.checkpoints.files import read_torch_file
from tracin_dask.models.checkpoints.state_dict import state_of
from tracin_dask.places.files import sha256_of

Scales = Mapping[str, Tensor]
"""The diagonal of a preconditioner by parameter tensor, in its shape."""
_SETTINGS = ("betas", "eps", "amsgrad")
"""What the parameter groups of torch.optim.Adam and AdamW have, and those of no other optimiser all."""


def adam_scales(checkpoint: Checkpoint, names: Collection[str]) -> Scales:
    """Read the diagonal of Adam's preconditioner at a checkpoint, P = 1 / (√v̂ + ε), of some parameter tensors.

    v̂ = exp_avg_sq / (1 − β2^step), with max_exp_avg_sq in its place under AMSGrad, as in Algorithm 1 of [1]_, where a
    step is −lr · m̂ / (√v̂ + ε). An influence asks what one more gradient g does: it enters m, of which P alone is the
    factor. m hands all of it on over the later steps, Σ_k (1 − β1) β1^k = 1, and that g changes v, too, is of second
    order in g. The direction of Adam's step is what LESS [2]_ computes influences with.

    Parameters
    ----------
    checkpoint
        A model whose file holds the state dict of a torch.optim.Adam or AdamW of all its parameters, or of those that
        require gradients, in their order.
    names
        Parameter tensors, a ConvE's as `ConvE` names them; others may lack a state.

    Returns
    -------
    dict
        P of each tensor, in its shape and in the dtype of the model's weights.

    Raises
    ------
    CheckpointError
        If the file changed, has no such state, it is another optimiser's, or it does not fit the parameters.

    .. [1] Kingma, Ba: Adam: a method for stochastic optimization, ICLR 2015, arXiv:1412.6980.
    .. [2] Xia, Malladi, Gururangan, Arora, Chen: LESS, ICML 2024, arXiv:2402.04333.
    """
    try:
        contents = _read_unchanged(checkpoint)
        optimizer, state = _optimizer(contents), state_of(contents)
        weights = dict(checkpoint.model.module.named_parameters())
        number = sum(len(group["params"]) for group in optimizer["param_groups"])
        theirs = checkpoint.format.names_in_file(checkpoint.model, state, number)
        known = _by_name(optimizer, list(theirs.values()))
        return {
            name: _scale(name, known.get(theirs[name]), state[theirs[name]].shape, weights[name])
            for name in sorted(names)
        }
    except CheckpointError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error


def _read_unchanged(checkpoint: Checkpoint) -> Mapping[object, object]:
    """Read the file again; the file of a whole pickled model holds the model and nothing else."""
    if checkpoint.format.is_pickle:
        return {}
    contents = read_torch_file(checkpoint.path, lazily=True)
    if sha256_of(checkpoint.path) != checkpoint.sha256:
        raise CheckpointError("it changed since it was loaded; load it again")
    return contents


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The optimiser's state of one parameter tensor, and the settings of the tensor's group."""

    state: Mapping[str, Any]
    group: Mapping[str, Any]


def _optimizer(contents: Mapping[object, object]) -> Mapping[str, Any]:
    """Find the state dict of an Adam."""
    optimizer: Mapping[Any, Any] = optional_mapping(contents.get("optimizer_state_dict"))
    if not {"state", "param_groups"} <= optimizer.keys():
        raise CheckpointError(
            "has no optimizer_state_dict, from which Adam's preconditioner is computed; take a checkpoint that holds "
            "the state_dict() of its torch.optim.Adam or AdamW under that name"
        )
    for group in optimizer["param_groups"]:
        missing = [setting for setting in _SETTINGS if setting not in group]
        if missing:
            raise CheckpointError(
                f"its optimizer_state_dict is not of torch.optim.Adam or AdamW: the param_groups lack "
                f"{', '.join(missing)}; there is no preconditioner of Adam for a model that another optimiser trained"
            )
    return optimizer


def _by_name(optimizer: Mapping[str, Any], names: list[str]) -> dict[str, _Known]:
    """Give the state of the optimiser by parameter; `names` are those of the file, in the optimiser's order."""
    groups = optimizer["param_groups"]
    numbers = [(number, group) for group in groups for number in group["params"]]
    if all("param_names" in group for group in groups):
        names = [name for group in groups for name in group["param_names"]]
    if len(numbers) != len(names):
        raise CheckpointError(
            f"its optimizer_state_dict is of {len(numbers)} parameter tensors, the model has {len(names)}; Adam's "
            "preconditioner needs the state of an optimiser of all of them"
        )
    state, pairs = optimizer["state"], zip(names, numbers, strict=True)
    return {name: _Known(state=state.get(number, {}), group=group) for name, (number, group) in pairs}


def _scale(name: str, known: _Known | None, shape: torch.Size, like: Tensor) -> Tensor:
    """Compute P of one parameter tensor, which has this shape in the file."""
    key = "max_exp_avg_sq" if known is not None and known.group["amsgrad"] else "exp_avg_sq"
    if known is None or not {key, "step"} <= known.state.keys():
        raise CheckpointError(
            f"its optimizer_state_dict has no {key} and no step for {name}: the optimiser never updated it; track "
            "other parameter tensors, or take a later checkpoint"
        )
    moment, step = known.state[key], int(known.state["step"])
    if moment.is_complex() and like.is_complex():  # Adam keeps a number for the real and one for the imaginary part
        moment, like, shape = torch.view_as_real(moment), torch.view_as_real(like), torch.Size([*shape, 2])
    if moment.shape != shape or step < 1:
        raise CheckpointError(
            f"its optimizer_state_dict has a {key} {tuple(moment.shape)} of step {step} for {name}, which is "
            f"{tuple(shape)}; expected that shape and a step from 1 on: it is the state of another model, or its "
            "parameters are in another order than in the model"
        )
    scale: Tensor = moment.to(like.dtype, copy=True).div_(1 - float(known.group["betas"][1]) ** step)
    scale = scale.sqrt_().add_(known.group["eps"]).reciprocal_()
    bad = int(scale.numel() - torch.isfinite(scale).sum())
    if bad:
        raise CheckpointError(
            f"{key} of {name} has {bad:,} values of {scale.numel():,} that give no finite 1 / (√v̂ + ε): they are NaN, "
            "infinite or below 0; the training diverged, take an earlier checkpoint"
        )
    return scale.reshape(like.shape)
