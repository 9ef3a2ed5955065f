"""ConvE (Dettmers et al., 2018, arXiv:1707.01476), its images put together on either axis: its sizes and its module."""

from dataclasses import dataclass, fields
from math import isqrt
from typing import ClassVar, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tracin_dask.errors import ConfigError
from tracin_dask.models.scoring import Table
from tracin_dask.types import Stacking

_BEFORE_FC = ("bn0.weight", "bn0.bias", "conv1.weight", "conv1.bias", "bn1.weight", "bn1.bias")
_FROM_FC = ("fc.weight", "fc.bias", "bn2.weight", "bn2.bias")
CANCELLED = frozenset({"bn0.weight", "bn0.bias", "conv1.bias"})
"""Tensors of a ConvE that training does not change, but for rounding: see `ConvEConfig.cancelled_parameters`."""


def image_size(embedding_dim: int, *, height: int | None = None, width: int | None = None) -> tuple[int, int]:
    """Choose the height and the width of an embedding's image: what is not stated follows from the dimension.

    Where neither is stated, the image is as nearly square as possible, and not higher than wide: 10×20 for 200, 4×8
    for 32.

    Raises
    ------
    ConfigError
        If the height or the width does not divide the dimension.
    """
    if height is not None and width is not None:
        return height, width
    stated = height or width
    if stated is None:
        rows = next(number for number in range(isqrt(embedding_dim), 0, -1) if embedding_dim % number == 0)
        return rows, embedding_dim // rows
    if embedding_dim % stated:
        raise ConfigError(
            f"an image of {stated} {'rows' if height else 'columns'} cannot hold embedding_dim {embedding_dim} "
            "numbers; choose a divisor of the dimension"
        )
    other = embedding_dim // stated
    return (stated, other) if height else (other, stated)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvEConfig:
    """The sizes of a ConvE, enough to build one.

    `stacking` names the axis on which the head image and the relation image (each embedding_height ×
    embedding_width) are put side by side: `width` gives H × 2W, `height` gives 2H × W. These are different
    functions.
    """

    engine: ClassVar[str] = "conve"
    name: ClassVar[str] = "ConvE"
    num_entities: int
    num_relations: int
    embedding_dim: int = 200
    embedding_height: int = 10
    embedding_width: int = 20
    output_channels: int = 32
    kernel_height: int = 3
    kernel_width: int = 3
    stacking: Stacking = "width"
    has_entity_bias: bool = False
    has_convolution_bias: bool = True
    """Without it conv1.bias is 0, is not trained, and has no influence."""

    def __post_init__(self) -> None:
        """Refuse sizes that cannot form a model.

        Raises
        ------
        ConfigError
            If height × width is not embedding_dim, or the kernel does not fit the stacked image.
        """
        if self.embedding_height * self.embedding_width != self.embedding_dim:
            raise ConfigError(
                f"embedding_height {self.embedding_height} × embedding_width {self.embedding_width} = "
                f"{self.embedding_height * self.embedding_width} is not embedding_dim {self.embedding_dim}; "
                "choose a height and a width whose product is the dimension"
            )
        if self.map_height < 1 or self.map_width < 1:
            raise ConfigError(
                f"kernel {self.kernel_height}×{self.kernel_width} is larger than the stacked image "
                f"{self.image_height}×{self.image_width}; choose a smaller kernel"
            )

    @property
    def image_height(self) -> int:
        """Rows of the stacked image."""
        return self.embedding_height * (2 if self.stacking == "height" else 1)

    @property
    def image_width(self) -> int:
        """Columns of the stacked image."""
        return self.embedding_width * (2 if self.stacking == "width" else 1)

    @property
    def map_height(self) -> int:
        """Rows of the feature map."""
        return self.image_height - self.kernel_height + 1

    @property
    def map_width(self) -> int:
        """Columns of the feature map."""
        return self.image_width - self.kernel_width + 1

    @property
    def num_positions(self) -> int:
        """Places of the kernel on the stacked image, P."""
        return self.map_height * self.map_width

    @property
    def num_taps(self) -> int:
        """Entries of one kernel."""
        return self.kernel_height * self.kernel_width

    @property
    def num_features(self) -> int:
        """Values of the flattened feature map, F = C · P."""
        return self.output_channels * self.num_positions

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Name every trained tensor in the order of the model's definition."""
        names = ("entity_embeddings.weight", "relation_embeddings.weight", *self._before_fc, *_FROM_FC)
        return (*names, "entity_bias") if self.has_entity_bias else names

    @property
    def tables(self) -> tuple[Table, ...]:
        """Describe the tables that have a row per entity, or per relation."""
        dim = self.embedding_dim
        tables = (
            Table(name="entity_embeddings.weight", role="entity", row_size=dim, is_trained=True),
            Table(name="relation_embeddings.weight", role="relation", row_size=dim, is_trained=True),
        )
        bias = Table(name="entity_bias", role="entity", row_size=1, is_trained=True)
        return (*tables, bias) if self.has_entity_bias else tables

    @property
    def cancelled_parameters(self) -> frozenset[str]:
        """Name the tensors whose gradients are 0 in training, up to rounding, but not in eval mode.

        bn1 subtracts the mean of a batch and divides by its scale, and these tensors change nothing else.
        """
        return CANCELLED.intersection(self.parameter_names)

    @property
    def _before_fc(self) -> tuple[str, ...]:
        return tuple(name for name in _BEFORE_FC if self.has_convolution_bias or name != "conv1.bias")

    def sizes(self) -> dict[str, int]:
        """Give the sizes by name, as checkpoints state them; stacking and biases follow from their dialect."""
        return {name: getattr(self, name) for name in SIZE_NAMES}

    def last_layers(self, number: int) -> frozenset[str]:
        """Name fc.weight and fc.bias and, for N > 2, the N - 2 tensors before them; never embeddings, never bn2.

        Raises
        ------
        ConfigError
            If N is not positive.
        """
        if number < 1:
            raise ConfigError(f"the number of last layers must be at least 1, not {number}")
        before = self._before_fc
        return frozenset({"fc.weight", "fc.bias", *before[max(0, len(before) + 2 - max(2, number)) :]})


SIZE_NAMES = tuple(field.name for field in fields(ConvEConfig) if field.type is int)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout:
    """Dropout rates of the training; scores are computed without dropout."""

    input: float = 0.2
    feature_map: float = 0.2
    output: float = 0.3


class ConvE(nn.Module):
    """ConvE; its parameters have the names of the dialect `train_pytorch`, whatever file they came from.

    score(h, r, t) = x(h, r) · E[t] (+ bias[t]) with x = relu(bn2(fc(relu(bn1(conv1(bn0(image(h, r)))))))).
    """

    def __init__(self, config: ConvEConfig, dropout: Dropout | None = None) -> None:
        """Build the modules with PyTorch's default values; `initialize` draws the ones to train from."""
        super().__init__()
        dropout = dropout or Dropout()
        self.config = config
        self.entity_embeddings = _embedding(config.num_entities, config.embedding_dim)
        self.relation_embeddings = _embedding(config.num_relations, config.embedding_dim)
        self.bn0 = nn.BatchNorm2d(1)
        self.conv1 = nn.Conv2d(1, config.output_channels, (config.kernel_height, config.kernel_width))
        self.bn1 = nn.BatchNorm2d(config.output_channels)
        if not config.has_convolution_bias:
            self.conv1.bias = nn.Parameter(torch.zeros(config.output_channels), requires_grad=False)
        self.fc = nn.Linear(config.num_features, config.embedding_dim)
        self.bn2 = nn.BatchNorm1d(config.embedding_dim)
        self.entity_bias = nn.Parameter(torch.zeros(config.num_entities)) if config.has_entity_bias else None
        self.input_dropout = nn.Dropout(dropout.input)
        self.feature_map_dropout = nn.Dropout2d(dropout.feature_map)
        self.output_dropout = nn.Dropout(dropout.output)

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the weights."""
        return self.fc.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.fc.weight.device

    @property
    def module(self) -> nn.Module:
        """The model itself."""
        return self

    def initialize(self) -> None:
        """Draw Xavier-normal embeddings, kernels and projection from torch's global generator."""
        for weight in (
            self.entity_embeddings.weight,
            self.relation_embeddings.weight,
            self.conv1.weight,
            self.fc.weight,
        ):
            nn.init.xavier_normal_(weight)

    def image(self, head: Int[Tensor, " pair"], relation: Int[Tensor, " pair"]) -> Float[Tensor, "pair 1 height width"]:
        """Stack the head image and the relation image."""
        shape = (-1, 1, self.config.embedding_height, self.config.embedding_width)
        axis = 3 if self.config.stacking == "width" else 2
        return torch.cat(
            [self.entity_embeddings(head).view(shape), self.relation_embeddings(relation).view(shape)], dim=axis
        )

    def project(self, head: Int[Tensor, " pair"], relation: Int[Tensor, " pair"]) -> Float[Tensor, "pair dim"]:
        """Compute x(h, r), the vector that is compared with every tail."""
        image = self.bn0(self.input_dropout(self.image(head, relation)))
        features = self.feature_map_dropout(torch.relu(self.bn1(self.conv1(image))))
        return torch.relu(cast("Tensor", self.bn2(self.output_dropout(self.fc(features.flatten(start_dim=1))))))

    def forward(self, head: Int[Tensor, " pair"], relation: Int[Tensor, " pair"]) -> Float[Tensor, "pair entity"]:
        """Score every entity as the tail of (head, relation)."""
        return self.compare(self.project(head, relation))

    def score_tails(self, pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair entity"]:
        """Score every entity as the tail of each (head, relation)."""
        scores: Tensor = self(pairs[:, 0], pairs[:, 1])
        return scores

    def compare(self, projection: Float[Tensor, "pair dim"]) -> Float[Tensor, "pair entity"]:
        """Score every entity against x(h, r)."""
        scores = projection @ self.entity_embeddings.weight.T
        return scores if self.entity_bias is None else scores + self.entity_bias

    def score(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Score the triples (h, r, t) one by one: one logit each."""
        head, relation, tail = triples.unbind(dim=1)
        scores: Tensor = (self.project(head, relation) * self.entity_embeddings(tail)).sum(dim=1)
        return scores if self.entity_bias is None else scores + self.entity_bias[tail]


def _embedding(num_rows: int, dim: int) -> nn.Embedding:
    """Make a table with PyTorch's default values, but not on the meta device: that would import the compiler."""
    weight = torch.empty(num_rows, dim)
    return nn.Embedding(num_rows, dim, _weight=weight if weight.is_meta else nn.init.normal_(weight))
