"""Models made from their class and settings, with the weights of a file."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.facts import check_values

_IRRELEVANT = ("regularizer", "loss.", "num_batches_tracked")
"""Parts of names of a training's state that no score depends on."""


def make(made_from: type[nn.Module], settings: Mapping[str, Any], *, given: Mapping[str, Any]) -> nn.Module:
    """Make a model from its settings and from what is `given`; the global random generator stays as it is.

    Raises
    ------
    CheckpointError
        If the class refuses the settings.
    """
    try:
        with torch.random.fork_rng(devices=[]):
            return made_from(**{**given, **settings})
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the class of a user's model can raise anything
        takes = ", ".join(name for name in inspect.signature(made_from).parameters if name != "kwargs")
        reason = f"{type(error).__name__}: {error}"
        raise CheckpointError(f"{made_from.__name__} refuses {dict(settings)}: {reason}; it takes: {takes}") from error


def with_weights(model: nn.Module, state: Mapping[str, Tensor], dtype: torch.dtype, name: str) -> nn.Module:
    """Put the weights of a file into a model.

    Raises
    ------
    CheckpointError
        Naming the tensors that are missing, unknown, of another shape, or not finite.
    """
    own = model.state_dict()
    problems = _misfits(own, state)
    if problems:
        raise CheckpointError(f"the weights are not those of {name}: the file {'; it '.join(problems)}")
    # copied in place, since tensors that are assigned would no longer be shared by parts of the model that share them
    in_precision(model, dtype).load_state_dict({part: state[part] for part in own if part in state}, strict=False)
    for part, tensor in model.state_dict().items():
        check_values(part, tensor)
    return model


def in_precision(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Convert the numbers of a model, in place: real ones to `dtype`, complex ones to two of these."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_complex():
            tensor.data = tensor.data.to(dtype.to_complex())
        elif tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)
    return model


def _misfits(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """List the differences between a file's tensors and those of a model."""
    problems = []
    for verb, names in (("lacks", own.keys() - state.keys()), ("has unknown", state.keys() - own.keys())):
        relevant = sorted(part for part in names if not any(word in part for word in _IRRELEVANT))
        if relevant:
            problems.append(f"{verb} {_first(relevant)}")
    shapes = [
        f"{part} {tuple(state[part].shape)}, not {tuple(own[part].shape)}"
        for part in sorted(own.keys() & state.keys())
        if state[part].shape != own[part].shape
    ]
    if shapes:
        problems.append(f"has other shapes: {_first(shapes)}")
    untied = [f"{part} and {other}" for part, other in _tied(own) if not _is_same(state, part, other)]
    if untied:
        problems.append(f"has other numbers in tensors that are one in the model: {_first(untied)}")
    cut = sorted(part for part in own.keys() & state.keys() if state[part].is_complex() and not own[part].is_complex())
    if cut:
        problems.append(f"has complex numbers where the model has real ones: {_first(cut)}")
    return problems


def _tied(own: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Give the names of tensors that are also there under an earlier name."""
    first: dict[tuple[int, torch.Size], str] = {}
    pairs = [(part, first.setdefault((tensor.data_ptr(), tensor.shape), part)) for part, tensor in own.items()]
    return [(first_name, part) for part, first_name in pairs if first_name != part and own[part].numel()]


def _is_same(state: Mapping[str, Tensor], part: str, other: str) -> bool:
    """Compare two tensors of a file; one that is missing is like the other."""
    return not {part, other} <= state.keys() or torch.equal(state[part], state[other])


def _first(texts: Sequence[str], limit: int = 5) -> str:
    return ", ".join(texts[:limit]) + (f" and {len(texts) - limit} more" if len(texts) > limit else "")
