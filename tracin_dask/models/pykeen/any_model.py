"""Any model of PyKEEN: built from its settings and weights, adapted to this package. Needs the extra `pykeen`."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from tracin_dask.errors import CheckpointError, ConfigError
from tracin_dask.models.checkpoints.making import make
from tracin_dask.models.checks.gradients import message_passing
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.pykeen import imports as pykeen
from tracin_dask.models.pykeen.conve import read_config, without_training_advice
from tracin_dask.models.rowwise import Face
from tracin_dask.models.scoring import Role

_ROLES: tuple[Role, ...] = ("entity", "relation")
_TABLE = re.compile(r"(entity|relation)_representations\.\d+\._embeddings\.weight")
"""How PyKEEN names the tensor of a table."""


def build(name: str, settings: Mapping[str, Any], state: Mapping[str, Tensor], *, device: str = "cpu") -> nn.Module:
    """Build a model with as many rows as a state dict's tables have; the weights are not set yet.

    On the device `meta`, tensors have shapes and no values.

    Raises
    ------
    CheckpointError
        If the state dict has no table of entities or of relations, the class refuses the settings, or passes
        messages over the graph.
    ConfigError
        If PyKEEN has no model of this name, or a setting is none of models.
    """
    made_from = _class(name)
    if issubclass(made_from, pykeen.GRAPH_MODELS):
        raise CheckpointError(message_passing(made_from.__name__, "the neighbours of head and tail"))
    if "create_inverse_triples" in settings:
        raise ConfigError(
            "create_inverse_triples is a setting of PyKEEN's triples, not of the model: leave it out of model_kwargs, "
            "and give a relation map with two of every relation, which says the same"
        )
    graph = pykeen.CoreTriplesFactory(
        mapped_triples=torch.empty((0, 3), dtype=torch.int64),
        num_entities=_num_rows(state, "entity"),
        num_relations=_num_rows(state, "relation"),
    )
    given = {"triples_factory": graph, "random_seed": pykeen.NoRandomSeedNecessary}
    with without_training_advice():
        return make(made_from, settings, given=given, device=device)


def face_of(model: nn.Module, name: str) -> Face:
    """Say how a model is called: `score_hrt` reads rows of its tables, with inverse triples of doubled relations.

    Raises
    ------
    CheckpointError
        If it passes messages over the graph.
    ConfigError
        If it has no representations.
    """
    if not isinstance(model, pykeen.ERModel):
        raise ConfigError(f"{name} has no entity and relation representations, so it cannot be explained")
    for part in model.modules():
        if isinstance(part, pykeen.MESSAGE_PASSING):
            raise CheckpointError(message_passing(name, f"what {type(part).__name__} computes of neighbours"))
    tables: dict[str, Role] = {}
    for role in _ROLES:
        for place, representation in enumerate(getattr(model, f"{role}_representations")):
            if type(representation) is pykeen.Embedding:
                tables[f"{role}_representations.{place}._embeddings.weight"] = role
    return Face(
        name=name,
        tables=tables,
        score="score_hrt",
        score_tails="score_t",
        scores_are_logits=isinstance(model.loss, pykeen.LOGISTIC_LOSSES),
    )


def conve_config(model: nn.Module) -> ConvEConfig | None:
    """Give the sizes of a ConvE that has a faster engine; None for any other model."""
    try:
        return read_config(model)
    except ConfigError:  # another model, or a ConvE with other layers
        return None


def _class(name: str) -> type[nn.Module]:
    known = {found.__name__.lower(): found for found in pykeen.model_resolver.lookup_dict.values()}
    if "." in name:
        raise ConfigError(f"PyKEEN has no model {name}; a class of yours is package.module:Class, with a colon")
    if name.lower() not in known:
        names = {key: found.__name__ for key, found in known.items()}
        close = [names[key] for key in get_close_matches(name.lower(), known)] or sorted(names.values())
        raise ConfigError(f"PyKEEN has no model {name!r}; is it {' or '.join(close)}?")
    return known[name.lower()]


def _num_rows(state: Mapping[str, Tensor], role: Role) -> int:
    """Count the rows of a state dict's tables."""
    for name, tensor in state.items():
        found = _TABLE.fullmatch(name)
        if found is not None and found[1] == role:
            return len(tensor)
    raise CheckpointError(
        f"the file has no tensor {role}_representations.N._embeddings.weight: it is not the state dict "
        "of a PyKEEN model with a plain table of embeddings"
    )
