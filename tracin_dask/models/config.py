"""The protocols of a trained model, and of its configuration: what a run is planned from."""

from dataclasses import Field
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tracin_dask.models.scoring import Table


@runtime_checkable
class ModelConfig(Protocol):
    """What is known of a model without its weights: a frozen dataclass, equal for all checkpoints of one training."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    engine: ClassVar[str]
    """The sub-package of `tracin_dask.influence` that differentiates such models."""

    @property
    def name(self) -> str:
        """What the model is called."""
        ...

    @property
    def num_entities(self) -> int:
        """Count the entities."""
        ...

    @property
    def num_relations(self) -> int:
        """Count the relations."""
        ...

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Name the trained tensors."""
        ...

    @property
    def tables(self) -> tuple[Table, ...]:
        """Describe the tensors that have a row per entity, or per relation."""
        ...

    @property
    def cancelled_parameters(self) -> frozenset[str]:
        """Name the trained tensors whose gradients are 0 while the model is trained, but not in eval mode."""
        ...

    def last_layers(self, number: int) -> frozenset[str]:
        """Name the tensors of the last layers.

        Raises
        ------
        ConfigError
            If the number is not positive, or the model has no order of layers.
        """
        ...


@runtime_checkable
class TrainedModel(Protocol):
    """A trained model in eval mode."""

    @property
    def config(self) -> ModelConfig:
        """Describe the model."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The number type of the trained tensors."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the tensors lie."""
        ...

    def score(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Score triples (head, relation, tail)."""
        ...

    def score_tails(self, pairs: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch entity"]:
        """Score every entity as the tail of each (head, relation), for models that can."""
        ...

    @property
    def module(self) -> nn.Module:
        """Give the module whose tensors have the names by which files, optimisers and users know them."""
        ...
