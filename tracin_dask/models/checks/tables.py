"""The tables of a model, and the places of its tensors, which parts of it can share."""

from collections.abc import Mapping

from torch import Tensor, nn

from tracin_dask.errors import CheckpointError
from tracin_dask.models.scoring import Role

_ROLES: dict[str, Role] = {"entity": "entity", "relation": "relation"}


def first_names(model: nn.Module) -> dict[str, str]:
    """Give the first name of every tensor by each of its names."""
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    first: dict[int, str] = {}
    return {name: first.setdefault(id(tensor), name) for name, tensor in named}


def places_of(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Give all places of each tensor by its first name: several parts can share it, and a part can have two names."""
    found: dict[str, list[str]] = {first: [] for first in first_names(model).values()}
    for name, first in _names_in_modules(model).items():
        found[first].append(name)
    return {first: tuple(names) for first, names in found.items()}


def _names_in_modules(model: nn.Module) -> dict[str, str]:
    """Give the first name of each tensor by its names under the first names of the modules."""
    first = first_names(model)
    return {
        name: first[name]
        for prefix, module in model.named_modules()  # a module of two names is there once
        for listed in (module.named_parameters, module.named_buffers)
        for name, _ in listed(prefix=prefix, recurse=False, remove_duplicate=False)
    }


def checked_tables(
    tensors: Mapping[str, Tensor], tables: Mapping[str, str], first: Mapping[str, str]
) -> dict[str, Role]:
    """Give the role of each table by the first name of its tensor.

    Raises
    ------
    CheckpointError
        If a table is none, or no tensor of the model is trained.
    """
    checked: dict[str, Role] = {}
    for name, role in tables.items():
        if name not in first:
            raise CheckpointError(f"the table {name} is not a parameter or buffer; there are: {', '.join(tensors)}")
        if role not in _ROLES:
            raise CheckpointError(f"the table {name} has a row per {role!r}; expected 'entity' or 'relation'")
        own = first[name]
        if tensors[own].dim() == 0 or len(tensors[own]) == 0:
            raise CheckpointError(f"the table {name} has no rows: its shape is {tuple(tensors[own].shape)}")
        if checked.setdefault(own, _ROLES[role]) != role:
            raise CheckpointError(f"the table {name} is also {own}, which has a row per {checked[own]}")
    if not any(tensor.requires_grad for tensor in tensors.values()):
        raise CheckpointError(
            "no tensor of the model requires a gradient: nothing was trained, so nothing has influence"
        )
    return checked


def refuse_gradients_by_id(model: nn.Module) -> None:
    """Refuse look-ups whose gradients depend on the ids, or that change rows: small tables have other ids."""
    for name, module in model.named_modules():
        if not isinstance(module, nn.Embedding | nn.EmbeddingBag):
            continue
        for option in ("padding_idx", "max_norm", "scale_grad_by_freq", "sparse"):
            value = getattr(module, option)
            if value is not None and value is not False:
                raise CheckpointError(
                    f"{name} is a torch.nn.{type(module).__name__} with {option}={value}, under which gradients are "
                    "not those of its rows alone; look rows up without it"
                )
