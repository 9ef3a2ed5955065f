"""The description that a model is built from, together with its weights: its class and settings."""

import importlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.models.checkpoints.making import make, refuse_absurd_settings, with_weights
from tracin_dask.models.checkpoints.state_dict import unwrapped
from tracin_dask.models.checks.check import checked
from tracin_dask.models.rowwise import Face, RowwiseModel
from tracin_dask.models.scoring import Role
from tracin_dask.places.files import read_bytes
from tracin_dask.places.place import AnyPath, Place

_KEYS = {"model", "model_kwargs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """A model's class and settings, which its weights do not state.

    Attributes
    ----------
    model
        The name of a model of PyKEEN's, as its pipeline takes it (`RotatE`); or a class of your own that is a
        `ScoringModel`, or where it is imported from: `package.module:Class`. Workers must be able to import it, too.
    model_kwargs
        The settings that the class is made with; the numbers of entities and relations are added to them, if the
        class names tables of them.
    """

    model: str | type[nn.Module]
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The class and its settings, for messages and for telling runs apart."""
        settings = ", ".join(f"{name}={value!r}" for name, value in sorted(self.model_kwargs.items()))
        return f"{self.class_name}({settings})"

    @property
    def class_name(self) -> str:
        """PyKEEN's name of the class, or where it is imported from."""
        match self.model:
            case str() as name:
                return name
            case kind:
                return f"{kind.__module__}:{kind.__qualname__}"

    @property
    def is_of_pykeen(self) -> bool:
        """Whether PyKEEN has the class."""
        return ":" not in self.class_name

    def build(self, state: Mapping[str, Tensor], *, dtype: torch.dtype) -> RowwiseModel:
        """Build the model with the weights of a state dict, in eval mode, and check it.

        Raises
        ------
        CheckpointError
            If the class does not take the settings, its model has other tensors, or it cannot be explained.
        ConfigError
            If there is no such class, or it is not a `ScoringModel`.
        """
        return checked(*self._made(state, dtype))

    def rebuild(self, state: Mapping[str, Tensor], *, dtype: torch.dtype) -> RowwiseModel:
        """Build a model that was built and checked before, as workers do."""
        return RowwiseModel(*self._made(state, dtype))

    def _made(self, state: Mapping[str, Tensor], dtype: torch.dtype) -> tuple[nn.Module, Face]:
        """Make the model with the weights of a state dict.

        Raises
        ------
        CheckpointError
            If the class does not take the settings, or its model other tensors.
        ConfigError
            If there is no such class, or it is not a `ScoringModel`.
        """
        named = self
        if self.is_of_pykeen:
            from tracin_dask.models.pykeen import any_model  # noqa: PLC0415 - PyKEEN is optional, and takes seconds to import

            made, face_of = any_model.build(self.class_name, self.model_kwargs, unwrapped(state)), any_model.face_of
            named = replace(self, model=type(made).__name__)  # PyKEEN takes `rotate`, too
        else:
            made, face_of = self._build_own(state), own_face
        model = with_weights(made, unwrapped(state, made.state_dict().keys()), dtype, named.name)
        return model, face_of(model, named.name)

    def refuse_absurd(self, state: Mapping[str, Tensor]) -> None:
        """Refuse a description of PyKEEN's that a file states, if it is of a far larger model than the file holds.

        Raises
        ------
        CheckpointError
            If it is.
        """
        from tracin_dask.models.pykeen import any_model  # noqa: PLC0415 - PyKEEN is optional, and takes seconds to import

        bare, name, settings = unwrapped(state), self.class_name, self.model_kwargs
        refuse_absurd_settings(settings, bare, lambda: any_model.build(name, settings, bare, device="meta"))

    def _own_class(self) -> type[nn.Module]:
        match self.model:
            case str() as where:
                return _imported(where)
            case kind:
                return kind

    def _build_own(self, state: Mapping[str, Tensor]) -> nn.Module:
        made_from = self._own_class()
        tables: Mapping[str, Role] = getattr(made_from, "tables", {})
        state = unwrapped(state, tables.keys())
        sizes: dict[str, int] = {}
        for role, size in (("entity", "num_entities"), ("relation", "num_relations")):
            named = [name for name, its_role in tables.items() if its_role == role]
            rows = [len(state[name]) for name in named if name in state]
            sizes |= {size: rows[0]} if rows else {}
            if not rows and _requires(made_from, size) and size not in self.model_kwargs:
                which = f"the file has no {' or '.join(named)}" if named else f"`tables` of {self.name} names none"
                raise CheckpointError(
                    f"no table of {size.removeprefix('num_')}: {which}; {size} can also be among model_kwargs"
                )
        return make(made_from, self.model_kwargs, given=sizes)


def as_description(given: object) -> ModelDescription:
    """Give a description from any of its forms: the value itself, its JSON file, or the contents of that file.

    Raises
    ------
    ConfigError
        If it is none of them.
    """
    match given:
        case ModelDescription():
            return given
        case str() | Path() | Place():
            return read_description(given)
        case Mapping():
            return parse_description(given)
    raise ConfigError(f"the description is {given!r}; expected a tracin_dask.ModelDescription(model=..., ...)")


def read_description(path: AnyPath) -> ModelDescription:
    """Read a JSON file {"model": ..., "model_kwargs": {...}}.

    Raises
    ------
    ConfigError
        If it is no such file.
    """
    try:
        return parse_description(json.loads(read_bytes(path).decode()))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path} is not a JSON file of a model description: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_description(contents: object) -> ModelDescription:
    """Read a description from the contents of a JSON file.

    Raises
    ------
    ConfigError
        If a key is missing, unknown, or of another type.
    """
    expected = 'expected {"model": "RotatE", "model_kwargs": {"embedding_dim": 200}}'
    match contents:
        case Mapping():
            unknown = sorted(map(str, contents.keys() - _KEYS))
        case _:
            raise ConfigError(f"a model description is an object; {expected}")
    if unknown:
        raise ConfigError(f"unknown key(s) {', '.join(unknown)}; {expected}")
    match contents.get("model_kwargs", {}):
        case Mapping() as kwargs if {type(name) for name in kwargs} <= {str}:
            settings = dict(kwargs)
        case kwargs:
            raise ConfigError(f"model_kwargs is {kwargs!r}; {expected}")
    match contents.get("model"):
        case str() as model if model:
            return ModelDescription(model=model, model_kwargs=settings)
        case model:
            raise ConfigError(f"model is {model!r}; {expected}")


def own_face(model: Any, name: str) -> Face:  # noqa: ANN401 - a user's module, which may be no ScoringModel
    """Say how a model of the user's own is called.

    Raises
    ------
    ConfigError
        If it is not a `ScoringModel`.
    """
    if getattr(model, "score", None) is None or getattr(model, "tables", None) is None:
        raise ConfigError(f"{name} has no `tables` or no `score(triples)`; see tracin_dask.ScoringModel")
    return Face(
        name=name,
        tables=model.tables,
        score_tails="score_tails" if hasattr(model, "score_tails") else None,
        scores_are_logits=getattr(model, "scores_are_logits", False) is True,
    )


def _requires(made_from: type[nn.Module], parameter: str) -> bool:
    """Tell whether this parameter of a class has no default."""
    taken = inspect.signature(made_from).parameters.get(parameter)
    return taken is not None and taken.default is inspect.Parameter.empty


def _imported(where: str) -> type[nn.Module]:
    module, _, name = where.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # the code of a user's module can raise anything
        raise ConfigError(
            f"{where} cannot be imported ({type(error).__name__}: {error}); install its package, or name its folder in "
            "PYTHONPATH, here and on all workers"
        ) from error
    match found:
        case type() if issubclass(found, nn.Module) and hasattr(found, "tables"):
            return found
    raise ConfigError(f"{where} is not an nn.Module class with `tables` and `score`: see tracin_dask.ScoringModel")
