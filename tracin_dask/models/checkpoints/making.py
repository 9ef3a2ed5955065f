"""Models made from their class and settings, with the weights of a file."""

import inspect
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import torch
from torch import Tensor, nn

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.facts import check_kind, check_values, shown

_OF_TRAINING = ("regularizer", "loss")
"""Parts of models of PyKEEN, by the ends of their names, whose tensors no score depends on."""
_MOST_AXES = 3
"""Axes of a tensor whose lengths are settings: the core of TuckER has three."""
_MOST_GROWTH = 4
_MOST_SETTINGS = 1000
_LARGEST_SETTING = 1 << 31


def make(
    made_from: type[nn.Module], settings: Mapping[str, Any], *, given: Mapping[str, Any], device: str = "cpu"
) -> nn.Module:
    """Make a model from its settings and from what is `given`; the global random generator stays as it is.

    On the device `meta`, tensors have shapes and no values.

    Raises
    ------
    CheckpointError
        If the class refuses the settings.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device(device):
            return made_from(**{**given, **settings})
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the class of a user's model can raise anything
        takes = ", ".join(name for name in inspect.signature(made_from).parameters if name != "kwargs")
        reason = f"{type(error).__name__}: {error}"
        raise CheckpointError(f"{made_from.__name__} refuses {dict(settings)}: {reason}; it takes: {takes}") from error


def refuse_absurd_settings(
    settings: Mapping[str, Any], state: Mapping[str, Tensor], outline: Callable[[], nn.Module]
) -> None:
    """Refuse settings in a file that would make a far larger model than the file holds, before one is made.

    `outline` gives the model without values; it is not called where all settings are small.

    Raises
    ------
    CheckpointError
        If they would.
    """
    numbers, held = _whole_numbers(settings), sum(tensor.numel() for tensor in state.values())
    if max(numbers, default=0) ** _MOST_AXES <= held:
        return
    claimed = sum(tensor.numel() for tensor in outline().state_dict().values())
    if claimed > _MOST_GROWTH * held:
        raise CheckpointError(
            f"the settings that it states make a model of {claimed:,} values, and the file holds {held:,}; the "
            "description is of another model"
        )


def _whole_numbers(settings: Mapping[str, Any]) -> list[int]:
    """List the whole numbers in settings, which are few and of usual size."""
    left: list[Any] = [settings]
    for read in range(_MOST_SETTINGS):
        if read == len(left):
            return [value for value in left if type(value) is int]
        match left[read]:
            case Mapping() as inner:
                left.extend(inner.values())
            case list() | tuple() as inner:
                left.extend(inner)
            case int() as number if abs(number) > _LARGEST_SETTING:
                raise CheckpointError(f"the settings that it states hold {shown(number)}; no model is as large")
    raise CheckpointError(f"the settings that it states are more than {_MOST_SETTINGS:,}; no model has as many")


def with_weights(model: nn.Module, state: Mapping[str, Tensor], dtype: torch.dtype, name: str) -> nn.Module:
    """Put the weights of a file into a model.

    Raises
    ------
    CheckpointError
        Naming the tensors that are missing, unknown, of another shape, or not finite.
    """
    own = model.state_dict()
    ignored = _ignored(model, state)
    problems = _misfits(own, state, ignored)
    if problems:
        raise CheckpointError(f"the weights are not those of {name}: the file {'; it '.join(problems)}")
    for part, tensor in own.items():
        if part in state and part not in ignored:
            check_kind(part, state[part], tensor)
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


def _ignored(model: nn.Module, state: Mapping[str, Tensor]) -> set[str]:
    """Name the tensors of a file or a model that no score depends on: never a parameter of the model."""
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return {
        name for name in model.state_dict().keys() | state.keys() if name not in parameters and _is_of_training(name)
    }


def _is_of_training(name: str) -> bool:
    *parts, last = name.split(".")
    return last == "num_batches_tracked" or any(
        part == word or part.endswith(f"_{word}") for part in parts for word in _OF_TRAINING
    )


def _misfits(own: Mapping[str, Tensor], state: Mapping[str, Tensor], ignored: Set[str]) -> list[str]:
    """List the differences between a file's tensors and those of a model."""
    problems = []
    for verb, names in (("lacks", own.keys() - state.keys()), ("has unknown", state.keys() - own.keys())):
        relevant = sorted(names - ignored)
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
