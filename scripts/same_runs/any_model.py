"""Checkpoints of PyKEEN's models and of a class of one's own, with their descriptions."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from same_runs.conve import NUM_ENTITIES, NUM_RELATIONS
from same_runs.own_model import Bilinear
from same_runs.weights import adam_state, draw

SETTINGS: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "RotatE": {"embedding_dim": 6},
        "ComplEx": {"embedding_dim": 6},
        "DistMult": {"embedding_dim": 7},
        "TransE": {"embedding_dim": 7, "scoring_fct_norm": 2},
        "TuckER": {"embedding_dim": 6, "relation_dim": 4},
        "ConvE": {"embedding_dim": 12, "embedding_height": 3, "embedding_width": 4, "output_channels": 3},
        "ConvE without batch norm": {
            "embedding_dim": 12,
            "embedding_height": 3,
            "embedding_width": 4,
            "output_channels": 3,
            "apply_batch_normalization": False,
        },
    }
)
OWN_DIM = 5


def pykeen_model(name: str, seed: int) -> nn.Module:
    """Make a model of PyKEEN's with random weights."""
    from pykeen.models import model_resolver  # noqa: PLC0415 - PyKEEN is slow to import
    from pykeen.triples import CoreTriplesFactory  # noqa: PLC0415 - PyKEEN takes seconds to import

    graph = CoreTriplesFactory(
        mapped_triples=torch.empty((0, 3), dtype=torch.int64), num_entities=NUM_ENTITIES, num_relations=NUM_RELATIONS
    )
    made = model_resolver.lookup(name.partition(" ")[0])(triples_factory=graph, random_seed=seed, **SETTINGS[name])
    return _randomised(made, seed)


def pykeen_checkpoint(name: str, seed: int) -> dict[str, Any]:
    """Make a checkpoint of a model of PyKEEN's."""
    return _checkpoint(pykeen_model(name, seed), seed)


def own_checkpoint(seed: int) -> dict[str, Any]:
    """Make a checkpoint of the model in `own_model.py`."""
    return _checkpoint(_randomised(Bilinear(NUM_ENTITIES, NUM_RELATIONS, OWN_DIM), seed), seed)


def description(name: str) -> dict[str, Any]:
    """Describe a model as `--model-description` wants it."""
    if name == "own":
        return {"model": f"{Bilinear.__module__}:{Bilinear.__name__}", "model_kwargs": {"dim": OWN_DIM}}
    return {"model": name, "model_kwargs": SETTINGS[name]}


def _randomised(model: nn.Module, seed: int) -> nn.Module:
    state = model.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items() if tensor.is_floating_point()}
    model.load_state_dict(state | draw(shapes, seed))
    return model.eval()


def _checkpoint(model: nn.Module, seed: int) -> dict[str, Any]:
    return {
        "model_state_dict": model.state_dict(),
        "learning_rate": 0.01 / (1 + seed),
        "epoch": seed,
        "optimizer_state_dict": adam_state(dict(model.named_parameters()), seed),
    }
