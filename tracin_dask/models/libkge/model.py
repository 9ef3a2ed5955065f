"""A model of LibKGE's with the names of its files: two tables, and what scores their rows."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tracin_dask.models.libkge.scorers import Convolutions, Distances, Products, Scorer, multiply_complex, rotate
from tracin_dask.models.scoring import Role

ENTITIES, RELATIONS = "_entity_embedder._embeddings.weight", "_relation_embedder._embeddings.weight"
KERNELS, KERNEL_BIAS = "_scorer.convolution.weight", "_scorer.convolution.bias"
PROJECTION = "_scorer.projection.weight"
SETTINGS: dict[str, tuple[str, ...]] = {
    "complex": (),
    "conve": ("embedding_height", "stride", "padding"),
    "distmult": (),
    "rotate": ("l_norm",),
    "transe": ("l_norm",),
}
"""LibKGE's names of the models, and the settings that do not follow from the shapes of their tensors."""
TITLES = {"complex": "ComplEx", "conve": "ConvE", "distmult": "DistMult", "rotate": "RotatE", "transe": "TransE"}


class _Embedder(nn.Module):
    def __init__(self, num_rows: int, dim: int) -> None:
        super().__init__()
        self._embeddings = nn.Embedding(num_rows, dim)

    def forward(self, ids: Tensor) -> Tensor:
        rows: Tensor = self._embeddings(ids)
        return rows

    def all(self) -> Tensor:
        return self._embeddings.weight


class LibKGE(nn.Module):
    """A model of LibKGE's: `scorer` is the name that it has there."""

    tables: ClassVar[dict[str, Role]] = {ENTITIES: "entity", RELATIONS: "relation"}

    def __init__(
        self,
        num_entities: int,
        num_relations: int,
        *,
        scorer: str,
        dims: tuple[int, int],
        convolution: tuple[int, int, int, int, bool] | None = None,
        **settings: Any,  # noqa: ANN401 - what a caller states is checked
    ) -> None:
        """Make a model whose rows of entities and relations have these `dims`.

        Parameters
        ----------
        convolution
            Of ConvE: its channels, the height and width of its kernels, its features, and whether it has a bias.
        **settings
            Those of `SETTINGS`.

        Raises
        ------
        ValueError
            If there is no such model, or its settings are missing, unknown or contradict the sizes.
        """
        super().__init__()
        _check(scorer, settings)
        self._entity_embedder = _Embedder(num_entities, dims[0])
        self._relation_embedder = _Embedder(num_relations, dims[1])
        self._scorer = _scorer(scorer, dims, convolution, settings)

    def score(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Score triples."""
        return self._scorer.compare(self._query(triples), self._entity_embedder(triples[:, 2]))

    def score_tails(self, pairs: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch entity"]:
        """Score all entities as the tail of (head, relation)."""
        return self._scorer.compare_all(self._query(pairs), self._entity_embedder.all())

    def _query(self, triples: Tensor) -> Tensor:
        return self._scorer.query(self._entity_embedder(triples[:, 0]), self._relation_embedder(triples[:, 1]))


def sizes_of(state: Mapping[str, Tensor]) -> dict[str, object]:
    """Read the sizes of a model from the shapes of its tensors.

    Raises
    ------
    ValueError
        If a tensor is missing, or has another number of axes.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    axes = {ENTITIES: 2, RELATIONS: 2} | ({KERNELS: 4, PROJECTION: 2} if KERNELS in shapes else {})
    for name, number in axes.items():
        if len(shapes.get(name, ())) != number:
            raise ValueError(f"{name} has the shape {shapes.get(name)}, not {number} axes")
    sizes: dict[str, object] = {"dims": (shapes[ENTITIES][1], shapes[RELATIONS][1])}
    if KERNELS in shapes:
        channels, _, height, width = shapes[KERNELS]
        sizes["convolution"] = (channels, height, width, shapes[PROJECTION][1], KERNEL_BIAS in shapes)
    return sizes


def _check(scorer: str, settings: Mapping[str, Any]) -> None:
    """Refuse settings that the model does not have, or that are not the numbers that they should be."""
    if scorer not in SETTINGS:
        raise ValueError(f"scorer is {scorer!r}; expected one of {', '.join(SETTINGS)}")
    if settings.keys() != set(SETTINGS[scorer]):
        expected = ", ".join(SETTINGS[scorer]) or "none"
        raise ValueError(f"the settings of {scorer} are {expected}, not {', '.join(settings) or 'none'}")
    for name, value in settings.items():
        least, is_whole = 0 if name == "padding" else 1, name != "l_norm"
        if type(value) not in ((int,) if is_whole else (int, float)) or not value >= least:
            raise ValueError(f"{name} is {value!r}; expected a {'whole ' if is_whole else ''}number from {least} on")


def _scorer(
    scorer: str,
    dims: tuple[int, int],
    convolution: tuple[int, int, int, int, bool] | None,
    settings: Mapping[str, Any],
) -> Scorer:
    if (scorer == "conve") != (convolution is not None):
        raise ValueError(f"{scorer} has {'a' if scorer == 'conve' else 'no'} convolution")
    if dims[0] != dims[1] * (2 if scorer == "rotate" else 1) or (scorer == "complex" and dims[0] % 2):
        raise ValueError(f"no {scorer} has rows of {dims[0]} numbers for entities and {dims[1]} for relations")
    if convolution is not None:
        return _convolutions(dims[0] - 1, convolution, **{name: int(value) for name, value in settings.items()})
    if scorer in ("transe", "rotate"):
        is_rotation = scorer == "rotate"
        return Distances(rotate if is_rotation else torch.add, settings["l_norm"], are_complex=is_rotation)
    return Products(multiply_complex if scorer == "complex" else torch.mul)


def _convolutions(
    dim: int, sizes: tuple[int, int, int, int, bool], *, embedding_height: int, stride: int, padding: int
) -> Convolutions:
    """Make ConvE's scorer, if its sizes fit together."""
    channels, *kernel, num_features, has_bias = sizes
    if dim % embedding_height:
        raise ValueError(f"rows of {dim} numbers and a bias are no images {embedding_height} high")
    image = (embedding_height, dim // embedding_height)
    positions = [
        (pixels + 2 * padding - taps) // stride + 1
        for pixels, taps in zip((2 * image[0], image[1]), kernel, strict=True)
    ]
    if min(positions) < 1 or channels * positions[0] * positions[1] != num_features:
        raise ValueError(f"two images of {image[0]}×{image[1]} do not give the {num_features} features of {PROJECTION}")
    return Convolutions(
        image, nn.Conv2d(1, channels, (kernel[0], kernel[1]), stride, padding, bias=has_bias), num_features
    )
