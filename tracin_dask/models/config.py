"""The description of a trained model that a run is planned from: its sizes, its tensors, and its engine."""

from typing import ClassVar, Protocol, runtime_checkable


@runtime_checkable
class ModelConfig(Protocol):
    """What is known of a model without its weights: hashable, and the same for all checkpoints of one training."""

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
