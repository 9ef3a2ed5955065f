"""The models that the cases name, each written when a case asks for it first."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from same_runs.any_model import description, own_checkpoint, pykeen_checkpoint, pykeen_model
from same_runs.conve import Sizes, height_checkpoint, width_checkpoint

Make = Callable[[], Any]
"""Makes what `torch.save` writes."""

DESCRIBED = ("RotatE", "ComplEx", "DistMult", "TransE", "TuckER")
_ANY_MODELS: dict[str, tuple[Make, ...]] = {name: (partial(pykeen_checkpoint, name, 0),) for name in DESCRIBED}
MODELS: Mapping[str, tuple[Make, ...]] = MappingProxyType(
    _ANY_MODELS
    | {
        "width": (partial(width_checkpoint, 0),),
        "width-epochs": (
            partial(width_checkpoint, 0),
            partial(width_checkpoint, 1, amsgrad=True),
            partial(width_checkpoint, 2),
        ),
        "narrow": (partial(width_checkpoint, 3, Sizes(height=12, width=2)),),
        "large": (partial(width_checkpoint, 5, Sizes(height=6, width=8)),),
        "bare": (lambda: width_checkpoint(4)["model_state_dict"],),
        "height": (partial(height_checkpoint, 0),),
        "height-epochs": (partial(height_checkpoint, 1), partial(height_checkpoint, 2)),
        "own": (partial(own_checkpoint, 0),),
        "own-epochs": (partial(own_checkpoint, 0), partial(own_checkpoint, 1)),
        "pickled-conve": (partial(pykeen_model, "ConvE", 0),),
        "pickled-other-conve": (partial(pykeen_model, "ConvE without batch norm", 0),),
    }
)
"""The checkpoints of each model."""


def model_options(name: str, folder: Path) -> list[str]:
    """Name the checkpoints of a model, and its description; write them if they are not there."""
    home = folder / "models" / name
    if not home.exists():
        home.mkdir(parents=True)
        for number, make in enumerate(MODELS[name]):
            torch.save(make(), home / f"epoch_{number}.pt")
    words = ["--model-path", *map(str, sorted(home.glob("*.pt")))]
    described = name.removesuffix("-epochs")
    if described not in {*DESCRIBED, "own"}:
        return words
    path = folder / f"{described}.json"
    path.write_text(json.dumps(description(described)))
    return [*words, "--model-description", str(path)]
