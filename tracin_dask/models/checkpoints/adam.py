"""Adam's preconditioner, read from the optimiser's state in a checkpoint."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from typing_extensions import TypeIs

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.checkpoint import Checkpoint
from tracin_dask.models.checkpoints.contents.optimizer import stated_optimizer
from tracin_dask.models.checkpoints.contents.tensors import usable
from tracin_dask.models.checkpoints.facts import as_number, optional_mapping, shown
from tracin_dask.models.checkpoints.files import read_contents
from tracin_dask.models.checkpoints.state_dict import common_prefix, state_of

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
    file = read_contents(checkpoint.path, trust_pickle=checkpoint.format.is_pickle)
    if file.sha256 != checkpoint.sha256:
        raise CheckpointError("it changed since it was loaded; load it again")
    return optional_mapping(file.contents)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The optimiser's state of one parameter tensor, and the settings of the tensor's group."""

    state: Mapping[str, Any]
    group: Mapping[str, Any]


def _optimizer(contents: Mapping[object, object]) -> Mapping[str, Any]:
    """Find the state dict of an Adam."""
    optimizer = stated_optimizer(contents)
    if optimizer is None or "state" not in optimizer:
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
        _check_settings(group)
    return optimizer


def _check_settings(group: Mapping[str, Any]) -> None:
    """Refuse settings that no Adam takes: with β2 = 1 or ε < 0 the numbers would mean nothing."""
    betas = [as_number(beta) for beta in group["betas"]] if isinstance(group["betas"], list | tuple) else []
    shown_list = ", ".join(map(shown, group["betas"])) if betas else shown(group["betas"])
    epsilon = as_number(group["eps"])
    if len(betas) != 2 or not all(beta is not None and 0 <= beta < 1 for beta in betas):
        raise CheckpointError(
            f"its optimizer_state_dict has the betas {shown_list}; expected two numbers from 0 on and below 1"
        )
    if epsilon is None or not 0 <= epsilon < math.inf or not isinstance(group["amsgrad"], bool):
        raise CheckpointError(
            f"its optimizer_state_dict has eps {shown(group['eps'])} and amsgrad {shown(group['amsgrad'])}; expected "
            "a number from 0 on, and true or false"
        )


def _by_name(optimizer: Mapping[str, Any], names: list[str]) -> dict[str, _Known]:
    """Give the state of the optimiser by parameter; `names` are those of the file, in the optimiser's order."""
    groups = optimizer["param_groups"]
    numbers = [(number, group) for group in groups for number in group["params"]]
    if all("param_names" in group for group in groups):
        given = [name for group in groups for name in group["param_names"]]
        if not set(given) & set(names):  # the optimiser was made before or after the model was wrapped
            ours, theirs = common_prefix(names), common_prefix(given)
            given = [ours + name.removeprefix(theirs) for name in given]
        names = given
    else:
        _refuse_ambiguous(optimizer)
    if len(numbers) != len(names):
        raise CheckpointError(
            f"its optimizer_state_dict is of {len(numbers)} parameter tensors, the model has {len(names)}; Adam's "
            "preconditioner needs the state of an optimiser of all of them"
        )
    state, pairs = optimizer["state"], zip(names, numbers, strict=True)
    return {name: _Known(state=state.get(number, {}), group=group) for name, (number, group) in pairs}


def _refuse_ambiguous(optimizer: Mapping[str, Any]) -> None:
    """Refuse groups without names whose tensors could be taken for one another: groups may be in any order."""
    of_shape: dict[tuple[int, ...], int] = {}
    for index, group in enumerate(optimizer["param_groups"]):
        for number in group["params"]:
            moment = optimizer["state"].get(number, {}).get("exp_avg_sq")
            if not _is_dense(moment):
                continue
            shape = tuple(moment.shape)
            if of_shape.setdefault(shape, index) != index:
                raise CheckpointError(
                    f"its optimizer_state_dict has groups without names, and several of them hold tensors of the shape "
                    f"{shape}: which belongs to which tensor of the model is not known; make the optimiser from "
                    "model.named_parameters(), which PyTorch takes from version 2.7 on, or from one group"
                )


def _scale(name: str, known: _Known | None, shape: torch.Size, like: Tensor) -> Tensor:
    """Compute P of one parameter tensor, which has this shape in the file."""
    key = "max_exp_avg_sq" if known is not None and known.group["amsgrad"] else "exp_avg_sq"
    if known is None or not {key, "step"} <= known.state.keys():
        raise CheckpointError(
            f"its optimizer_state_dict has no {key} and no step for {name}: the optimiser never updated it; track "
            "other parameter tensors, or take a later checkpoint"
        )
    moment, steps = known.state[key], _steps(known.state["step"])
    if _is_dense(moment) and moment.is_complex() and like.is_complex():  # Adam keeps two numbers for one
        moment, like, shape = torch.view_as_real(moment), torch.view_as_real(like), torch.Size([*shape, 2])
    if not _is_dense(moment) or moment.is_complex() or moment.shape != shape or steps is None:
        raise CheckpointError(
            f"its optimizer_state_dict has as {key} {shown(moment)} of step {shown(known.state['step'])} for {name}, "
            f"which is {tuple(shape)}; expected that shape and a step from 1 on: it is the state of another model, or "
            "its parameters are in another order than in the model"
        )
    scale: Tensor = moment.to(like.dtype, copy=True).div_(1 - float(known.group["betas"][1]) ** steps)
    scale = scale.sqrt_().add_(float(known.group["eps"])).reciprocal_()
    bad = int(scale.numel() - torch.isfinite(scale).sum())
    if bad:
        raise CheckpointError(
            f"{key} of {name} has {bad:,} values of {scale.numel():,} that give no finite 1 / (√v̂ + ε): they are NaN, "
            "infinite or below 0; the training diverged, take an earlier checkpoint"
        )
    return scale.reshape(like.shape)


def _steps(stated: object) -> int | None:
    """Give the number of steps, which Adam holds as a tensor; None if it is no whole number from 1 on."""
    number = as_number(stated)
    return int(number) if number is not None and 1 <= number < math.inf and number == int(number) else None


def _is_dense(moment: object) -> TypeIs[Tensor]:
    """Tell whether an entry of the state is a tensor of floating-point numbers, real or complex."""
    if not isinstance(moment, Tensor) or usable(moment) is not moment:
        return False
    return moment.is_floating_point() or moment.is_complex()
