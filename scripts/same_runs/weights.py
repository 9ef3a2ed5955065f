"""Random weights that no symmetry hides, and the state of an Adam that trained them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

SIZE = 0.4
"""The standard deviation of most numbers."""
STEPS = 40
"""Of Adam."""


def draw(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Draw tensors of these shapes; what batch norm multiplies with or divides by is near 1."""
    random = np.random.default_rng(seed)
    return {name: _drawn(name, random.standard_normal(shape)) for name, shape in shapes.items()}


def adam_state(parameters: Mapping[str, Tensor], seed: int, *, amsgrad: bool = False) -> dict[str, Any]:
    """Make the state dict of a torch.optim.Adam of these parameters."""
    random = np.random.default_rng(seed)
    state: dict[int, dict[str, Tensor]] = {}
    for number, tensor in enumerate(parameters.values()):
        squares = _float32(1e-4 * random.standard_normal(tuple(tensor.shape)) ** 2 + 1e-6)
        state[number] = {
            "step": torch.tensor(float(STEPS)),
            "exp_avg": torch.zeros_like(tensor),
            "exp_avg_sq": squares,
            "max_exp_avg_sq": 2 * squares,
        }
    group = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": amsgrad}
    return {"state": state, "param_groups": [group | {"params": list(state)}]}


def _drawn(name: str, noise: np.ndarray) -> Tensor:
    is_norm = name.endswith("weight") and ("bn" in name or "norm" in name)
    if is_norm or name.endswith("running_var"):
        return _float32(1 + SIZE * np.abs(noise))
    return _float32(SIZE * noise)


def _float32(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
