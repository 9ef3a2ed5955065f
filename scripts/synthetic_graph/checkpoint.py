"""A ConvE with random weights that behaves like a trained one: about half of its ReLUs are open."""

import math
from pathlib import Path

import torch
from torch import Tensor

from tracin_dask.models.checkpoints.files import write_torch_file
from tracin_dask.models.conve.model import ConvE, ConvEConfig, Dropout

_CALIBRATION_PAIRS = 4096
_SCORE_SPREAD = 2.0


def write_checkpoint(path: Path, config: ConvEConfig, *, learning_rate: float, id_maps_sha256: str, seed: int) -> None:
    """Draw a ConvE and write it in the known shape {model_state_dict, model_config, ...}."""
    contents = {
        "epoch": 0,
        "model_state_dict": make_model(config, seed=seed).state_dict(),
        "model_config": config.sizes(),
        "learning_rate": learning_rate,
        "id_maps_sha256": id_maps_sha256,
    }
    write_torch_file(path, contents)


def make_model(config: ConvEConfig, *, seed: int) -> ConvE:
    """Draw every weight, and take the statistics of the batch norms from random pairs of heads and relations.

    A batch norm then gives values around its own bias, which is near 0 beside its scale: half of them are positive.
    Scores of triples spread by about 1.4.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        model = ConvE(config, Dropout(input=0.0, feature_map=0.0, output=0.0))
    model.to_empty(device="cpu")
    model.requires_grad_(requires_grad=False)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        _fill(name, tensor, config, generator)
    _calibrate(model, generator)
    return model.eval()


def _fill(name: str, tensor: Tensor, config: ConvEConfig, generator: torch.Generator) -> None:
    module, leaf = name.split(".")
    if "running" in leaf or "num_batches" in leaf:
        tensor.zero_()
    elif leaf == "bias":
        tensor.normal_(0.0, 0.1, generator=generator)
    elif module.startswith("bn"):
        tensor.normal_(1.0, 0.2, generator=generator).abs_()
    else:
        fan_in = {"conv1": config.num_taps, "fc": config.num_features}
        spread = 1 / math.sqrt(fan_in[module]) if module in fan_in else _SCORE_SPREAD / math.sqrt(config.embedding_dim)
        tensor.normal_(0.0, spread, generator=generator)


def _calibrate(model: ConvE, generator: torch.Generator) -> None:
    head = torch.randint(model.config.num_entities, (_CALIBRATION_PAIRS,), generator=generator)
    relation = torch.randint(model.config.num_relations, (_CALIBRATION_PAIRS,), generator=generator)
    for norm in (model.bn0, model.bn1, model.bn2):
        norm.momentum = None  # the plain mean over batches
    model.train()
    for part in range(0, _CALIBRATION_PAIRS, 512):
        model.project(head[part : part + 512], relation[part : part + 512])
