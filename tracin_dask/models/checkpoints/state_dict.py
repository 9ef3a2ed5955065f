"""The state dict in the contents of a torch file, and the sizes that are stated next to it."""

from collections.abc import Mapping

from torch import Tensor

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.facts import optional_mapping

_HOLDERS = ("model_state_dict", "state_dict")
_CONFIGS = ("model_config", "config")


def state_of(contents: Mapping[object, object]) -> dict[str, Tensor]:
    """Find the named tensors: under one of two names, or the contents themselves.

    Raises
    ------
    CheckpointError
        If there is not a dictionary of named tensors.
    """
    holder = next((key for key in _HOLDERS if key in contents), None)
    found = contents if holder is None else contents[holder]
    state: dict[str, Tensor] = {}
    if not isinstance(found, Mapping):
        raise CheckpointError(f"{holder} is not a dictionary of named tensors")
    for name, value in found.items():
        match name, value:
            case str(), Tensor():
                state[name] = value
            case str(), _ if holder is None:
                raise CheckpointError(f"neither {' nor '.join(_HOLDERS)} is there, and {name!r} is not a tensor")
            case str(), _:
                raise CheckpointError(f"{name!r} in {holder} is not a tensor")
            case _:
                raise CheckpointError(f"{holder or 'the file'} is not a dictionary of named tensors")
    return state


def stated_sizes(contents: Mapping[object, object], names: tuple[str, ...]) -> list[tuple[str, int]]:
    """Gather the sizes of these names that a configuration next to a state dict states, at any depth.

    Raises
    ------
    CheckpointError
        If a size is not a whole number.
    """
    if not any(holder in contents for holder in _HOLDERS):
        return []
    config = next((contents[key] for key in _CONFIGS if key in contents), None)
    return _sizes_within(optional_mapping(config), names)


def _sizes_within(config: Mapping[object, object], names: tuple[str, ...]) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    for name, value in config.items():
        match name, value:
            case str(), int() if name in names:
                found.append((name, value))
            case str(), _ if name in names and value is not None:
                raise CheckpointError(f"its configuration states {name} {value!r}, which is not a whole number")
            case _:
                found.extend(_sizes_within(optional_mapping(value), names))
    return found
