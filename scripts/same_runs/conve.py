"""ConvE checkpoints of both dialects, written tensor by tensor: no code of the package is asked for their names."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from same_runs.weights import adam_state, draw

NUM_ENTITIES, NUM_RELATIONS = 135, 46
KERNEL = 3
PYKEEN_MODULES = {
    "entity_embeddings": "entity_representations.0._embeddings",
    "relation_embeddings": "relation_representations.0._embeddings",
    "bn0": "interaction.hr2d.0",
    "conv1": "interaction.hr2d.2",
    "bn1": "interaction.hr2d.3",
    "fc": "interaction.hr1d.0",
    "bn2": "interaction.hr1d.2",
}
ENTITY_BIAS = "entity_representations.1._embeddings.weight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The image of one embedding, and the kernels of the convolution."""

    height: int = 4
    width: int = 6
    channels: int = 5

    @property
    def dim(self) -> int:
        """Numbers per entity and relation."""
        return self.height * self.width

    def num_features(self, *, is_stacked: bool) -> int:
        """Count the numbers of a feature map: of two images above each other, or side by side."""
        rows, columns = (2 * self.height, self.width) if is_stacked else (self.height, 2 * self.width)
        return self.channels * (rows - KERNEL + 1) * (columns - KERNEL + 1)


def width_checkpoint(seed: int, sizes: Sizes | None = None, *, amsgrad: bool = False) -> dict[str, Any]:
    """Make a checkpoint as `tracin-dask train` writes it: images side by side."""
    sizes = sizes or Sizes()
    state = draw(_shapes(sizes, is_stacked=False), seed)
    return _checkpoint(state, sizes, seed, amsgrad=amsgrad)


def height_checkpoint(seed: int) -> dict[str, Any]:
    """Make a checkpoint with PyKEEN's names: images above each other, and a bias per entity."""
    sizes = Sizes(height=8, width=6)
    tensors = draw(_shapes(sizes, is_stacked=True) | {"entity_bias": (NUM_ENTITIES, 1)}, seed)
    state = {_pykeen_name(name): tensor for name, tensor in tensors.items()}
    return _checkpoint(state, sizes, seed, amsgrad=False)


def _checkpoint(state: dict[str, Tensor], sizes: Sizes, seed: int, *, amsgrad: bool) -> dict[str, Any]:
    config = {"embedding_dim": sizes.dim, "embedding_height": sizes.height, "embedding_width": sizes.width}
    trained = {name: tensor for name, tensor in state.items() if "running_" not in name}
    return {
        "model_state_dict": state,
        "model_config": config,
        "learning_rate": 0.01 / (1 + seed),
        "epoch": seed,
        "training": {"label_smoothing": 0.1},
        "optimizer_state_dict": adam_state(trained, seed, amsgrad=amsgrad),
    }


def _shapes(sizes: Sizes, *, is_stacked: bool) -> dict[str, tuple[int, ...]]:
    dim, channels = sizes.dim, sizes.channels
    return {
        "entity_embeddings.weight": (NUM_ENTITIES, dim),
        "relation_embeddings.weight": (NUM_RELATIONS, dim),
        **_batch_norm("bn0", 1),
        "conv1.weight": (channels, 1, KERNEL, KERNEL),
        "conv1.bias": (channels,),
        **_batch_norm("bn1", channels),
        "fc.weight": (dim, sizes.num_features(is_stacked=is_stacked)),
        "fc.bias": (dim,),
        **_batch_norm("bn2", dim),
    }


def _batch_norm(name: str, size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (size,) for part in ("weight", "bias", "running_mean", "running_var")}


def _pykeen_name(name: str) -> str:
    module, _, part = name.partition(".")
    return ENTITY_BIAS if module == "entity_bias" else f"{PYKEEN_MODULES[module]}.{part}"
