"""The settings of a model in LibKGE's configuration, which its checkpoints hold."""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from tracin_dask.errors import CheckpointError
from tracin_dask.models.checkpoints.facts import as_number, optional_mapping, shown
from tracin_dask.models.libkge.model import SETTINGS

Places: TypeAlias = tuple[object, object]
RECIPROCAL = "reciprocal_relations_model"
_HOW = (
    'state the model with --model-description: {"model": "tracin_dask.models.libkge.model:LibKGE", "model_kwargs": '
    '{"scorer": "rotate", "l_norm": 1.0}}'
)


def stated_options(contents: Mapping[object, object]) -> Mapping[object, object]:
    """Find the options of the training, in LibKGE's `Config` or as a dictionary; none if the file has none."""
    config = contents.get("config")
    held = config if isinstance(config, Mapping) else getattr(config, "__dict__", {})
    return optional_mapping(held.get("options", held))


def settings_of(options: Mapping[object, object], entity_dim: int) -> dict[str, Any]:
    """Read the name and settings of a model whose rows of entities have `entity_dim` numbers.

    Raises
    ------
    CheckpointError
        If it is no known model, or a setting is not there, or does not say what the model computes.
    """
    places = _places(options)
    scorer = places[1]
    if not isinstance(scorer, str) or scorer not in SETTINGS:
        found = "it holds no configuration" if scorer is None else f"its configuration names the model {shown(scorer)}"
        raise CheckpointError(
            f"its tensors are those of a model of LibKGE's, and {found}; those that can be explained are "
            f"{', '.join(SETTINGS)}. Models with the same tensors score differently: {_HOW}"
        )
    _refuse_changed_rows(options, places)
    if scorer == "conve":
        ratio, *rest = (_number(options, places, name) for name in ("2D_aspect_ratio", "stride", "padding"))
        return {
            "scorer": scorer,
            "embedding_height": _height(ratio, entity_dim - 1),
            "stride": rest[0],
            "padding": rest[1],
        }
    if scorer == "rotate":
        _refuse_other_sign(options, places)
    return {"scorer": scorer, **{name: _number(options, places, name) for name in SETTINGS[scorer]}}


def refuse_contradiction(options: Mapping[object, object], given: Mapping[str, object]) -> None:
    """Refuse what the caller states of the model where the file states something else.

    Raises
    ------
    CheckpointError
        If it does.
    """
    places = _places(options)
    if not isinstance(places[1], str):
        return
    for name, value in given.items():
        stated = places[1] if name == "scorer" else _stated(options, places, name)
        if stated is not None and stated != value:
            raise CheckpointError(
                f"the model description has {name} {shown(value)}, and the file's configuration {shown(stated)}; leave "
                "the description out"
            )


def _places(options: Mapping[object, object]) -> Places:
    """Give the keys of the model and of the defaults of its kind; the latter is its name."""
    model = options.get("model")
    if model != RECIPROCAL:
        return model, model
    place = f"{RECIPROCAL}.base_model"
    return place, _at(options, f"{place}.type")


def _at(options: Mapping[object, object], key: str) -> object:
    """Look up a.b.c in dictionaries within each other."""
    found: object = options
    for name in key.split("."):
        found = optional_mapping(found).get(name)
    return found


def _stated(options: Mapping[object, object], places: Places, name: str) -> object:
    """Look up a setting: the model's own, or else the default of its kind."""
    return next((value for place in places if (value := _at(options, f"{place}.{name}")) is not None), None)


def _number(options: Mapping[object, object], places: Places, name: str) -> int | float:
    found = _stated(options, places, name)
    number = as_number(found)
    if number is None:
        raise CheckpointError(f"its configuration has {places[1]}.{name} {shown(found)}, which is no number; {_HOW}")
    return number


def _refuse_other_sign(options: Mapping[object, object], places: Places) -> None:
    """Refuse RotatE of the versions of LibKGE that scored with the distance itself."""
    if _stated(options, places, "normalize_phases") is None:
        raise CheckpointError(
            "its configuration does not state rotate.normalize_phases: versions of LibKGE without that setting score "
            f"with the opposite sign. If it was trained with -‖h · r - t‖, {_HOW}"
        )


def _refuse_changed_rows(options: Mapping[object, object], places: Places) -> None:
    """Refuse rows that are changed before each score: early versions normalised them there."""
    for embedder in ("entity_embedder", "relation_embedder"):
        for place in (*(f"{place}.{embedder}" for place in places), "lookup_embedder"):
            found = _at(options, f"{place}.normalize")
            if isinstance(found, str) and found:
                raise CheckpointError(
                    f"its configuration states {place}.normalize {shown(found)}: this version of LibKGE normalises "
                    "rows whenever it scores; use a class of your own that does so"
                )


def _height(ratio: int | float, dim: int) -> int:
    """Find the height of an embedding's image, which is `ratio` times as wide."""
    height = math.isqrt(max(0, round(dim / ratio))) if 0 < ratio < math.inf else 0
    if not height or height * round(height * ratio) != dim:
        raise CheckpointError(
            f"its configuration states conve.2D_aspect_ratio {ratio}, which gives no image of a row's {dim} numbers"
        )
    return height
