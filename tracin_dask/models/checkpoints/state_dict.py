"""The state dict in the contents of a file, and the sizes that are stated next to it."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from torch import Tensor, nn

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.contents.tensors import Unusable, usable
from tracin_dask.models.checkpoints.facts import optional_mapping, shown
from tracin_dask.models.config import TrainedModel

HOLDERS = ("model_state_dict", "state_dict", "model_state", "model", "net")
"""Where a file has its state dict; the first one counts."""
_CONFIGS = ("model_config", "config", "hyper_parameters", "hparams", "args")
PREFIXES = ("module.", "_orig_mod.", "model.")
"""What wrappers put before the names of tensors: DataParallel, torch.compile, and Lightning or a class of one's own."""
_MOST_SIZE = 1 << 63

Contents = Mapping[object, object] | nn.Module


def state_of(contents: Contents) -> dict[str, Tensor]:
    """Find the named tensors: under one of the usual names, or the contents themselves.

    Raises
    ------
    CheckpointError
        If there is not a dictionary of named dense tensors.
    """
    holder, found = _held(contents)
    state: dict[str, Tensor] = {}
    if not isinstance(found, Mapping):
        raise CheckpointError(f"{holder} is not a dictionary of named tensors")
    for name, value in found.items():
        match name, usable(value) if isinstance(value, Tensor) else value:
            case str(), Tensor() as tensor:
                state[name] = tensor
            case str(), Unusable(what=what):
                raise CheckpointError(
                    f"{name!r} is {what}; expected a dense tensor of floating-point numbers: save the state_dict() of "
                    "the model as it was trained"
                )
            case str(), _ if holder is None:
                raise CheckpointError(f"none of {', '.join(HOLDERS)} is there, and {name!r} is not a tensor")
            case str(), _:
                raise CheckpointError(f"{name!r} in {holder} is not a tensor")
            case _:
                raise CheckpointError(f"{holder or 'the file'} is not a dictionary of named tensors")
    return state


def module_in(contents: Contents) -> nn.Module | None:
    """Give the whole model that a file holds in the place of a state dict."""
    if isinstance(contents, nn.Module):
        return contents
    found = contents.get(_holder(contents))
    return found if isinstance(found, nn.Module) else None


def state_notes(contents: Contents, model: TrainedModel) -> Iterator[str]:
    """Say what was chosen: the prefix that was taken off, and other state dicts of the same tensors."""
    if module_in(contents) is not None or isinstance(contents, nn.Module):
        return
    prefix = common_prefix(state_of(contents).keys(), model.module.state_dict().keys())
    if prefix:
        yield f"{prefix!r}, which a wrapper of the model adds, was taken off the names of its tensors"
    holder, found = _held(contents)
    names = optional_mapping(found).keys()
    for key, value in contents.items():
        if key != holder and holder is not None and _has_state(value, names):
            yield f"the weights are those of {holder!r}; the file's {key!r} has others, which are not used"


def common_prefix(names: Collection[str], own: Collection[str] = ()) -> str:
    """Give what wrappers put before every one of a file's names; it ends where names of the model's `own` begin."""
    prefix = ""
    while not any(prefix + name in names for name in own):
        found = next((one for one in PREFIXES if all(name.startswith(prefix + one) for name in names)), None)
        if found is None or not names:
            break
        prefix += found
    return prefix


def unwrapped(state: Mapping[str, Tensor], own: Collection[str] = ()) -> dict[str, Tensor]:
    """Take what wrappers put before every name away; as `common_prefix`."""
    prefix = common_prefix(state.keys(), own)
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def stated_sizes(contents: Contents, names: tuple[str, ...]) -> list[tuple[str, int]]:
    """Gather the sizes of these names that a configuration next to a state dict states, at any depth.

    Raises
    ------
    CheckpointError
        If a size is not a whole number.
    """
    if isinstance(contents, nn.Module) or _holder(contents) is None:
        return []
    config = next((contents[key] for key in _CONFIGS if key in contents), None)
    return list(_sizes_within(optional_mapping(config), names))


def _holder(contents: Mapping[object, object]) -> str | None:
    """Find the entry that holds the state dict; `model` and `net` can be the name of a model instead."""
    for key in HOLDERS:
        if key in contents and (key.endswith("state_dict") or _first(contents[key]) is not None):
            return key
    return None


def _held(contents: Contents) -> tuple[str | None, object]:
    """Give the entry that holds the state dict, and what is in it."""
    if isinstance(contents, nn.Module):
        return None, contents.state_dict()
    holder = _holder(contents)
    if holder is None:
        return None, contents
    found = _first(contents[holder])
    return holder, found.state_dict() if isinstance(found, nn.Module) else found


def _first(held: object) -> Mapping[object, object] | nn.Module | None:
    """Give a dictionary or a model, or the first of a list: LibKGE adds facts to its state dict that way."""
    match held:
        case Mapping() | nn.Module():
            return held
        case [Mapping() as first, *_]:
            return first
    return None


def _has_state(value: object, names: Iterable[object]) -> bool:
    """Tell whether an entry is a state dict of these names, or a checkpoint with one."""
    match value:
        case Mapping():
            inner = [optional_mapping(value.get(key)) for key in HOLDERS]
            return any(set(names) <= held.keys() for held in (value, *inner))
        case nn.Module():
            return True
    return False


def _sizes_within(config: Mapping[object, object], names: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    seen, left = set[int](), [config]
    while left:
        mapping = left.pop()
        seen.add(id(mapping))
        for name, value in mapping.items():
            match name, value:
                case str(), Mapping() if id(value) not in seen:
                    left.append(value)
                case str(), None if name in names:
                    continue
                case str(), int() if name in names and type(value) is int and 0 < value < _MOST_SIZE:
                    yield name, value
                case str(), _ if name in names:
                    stated = f"its configuration states {name} {shown(value)}"
                    raise CheckpointError(f"{stated}, which is not a whole number above 0")
