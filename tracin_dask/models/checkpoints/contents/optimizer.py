"""The state dict of an optimiser in the contents of a file."""

from collections.abc import Mapping
from typing import Any

from tracin_dask.errors import CheckpointError

_HOLDERS = ("optimizer_state_dict", "optimizer_state", "optimizer")
"""The last can be the name of the optimiser instead."""
_OF_LIGHTNING = "optimizer_states"


def stated_optimizer(contents: Mapping[object, object]) -> Mapping[str, Any] | None:
    """Find the state dict of the optimiser; None if there is none, or nothing in it.

    Raises
    ------
    CheckpointError
        If it is not {state: {number: {...}}, param_groups: [{params: [numbers], ...}]}, or there are several.
    """
    several = contents.get(_OF_LIGHTNING)
    if isinstance(several, list) and len(several) > 1:
        raise CheckpointError(f"its {_OF_LIGHTNING} are of {len(several)} optimisers; only one can be used")
    names = [name for name in _HOLDERS if contents.get(name) and not isinstance(contents[name], str)]
    name = next(iter(names), _OF_LIGHTNING if several else None)
    if name is None:
        return None
    found = several[0] if name == _OF_LIGHTNING and isinstance(several, list) else contents[name]
    problem = _problem(found)
    if problem is not None:
        raise CheckpointError(
            f"its {name} is damaged: {problem}; expected the state_dict() of an optimiser of torch.optim"
        )
    return found  # type: ignore[return-value] # the problems would say so if it were anything else


def _problem(found: object) -> str | None:
    match found:
        case {"param_groups": [*groups], "state": Mapping() as state}:
            pass
        case {"param_groups": [*groups]}:
            state = {}
        case _:
            return "it has no list param_groups"
    if not groups or not all(isinstance(group, Mapping) for group in groups):
        return "its param_groups are not a list of dictionaries"
    names = [group["param_names"] for group in groups if "param_names" in group]
    if not all(isinstance(some, list) and all(isinstance(name, str) for name in some) for some in names):
        return "the param_names of its param_groups are not lists of names"
    numbers = [number for group in groups for number in _numbers(group)]
    if any(type(number) is not int for number in numbers) or len(set(numbers)) < len(numbers):
        return "the params of its param_groups are not a list of different whole numbers"
    if not all(isinstance(values, Mapping) for values in state.values()):
        return "its state is not a dictionary of dictionaries"
    return None


def _numbers(group: Mapping[str, Any]) -> list[object]:
    numbers = group.get("params", [])
    return numbers if isinstance(numbers, list) else [None]
