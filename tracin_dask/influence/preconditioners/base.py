"""What stands between two gradients: P in ⟨∇i, P ∇j⟩, and the methods that find it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from tracin_dask.influence.engine import Engine
    from tracin_dask.models.checkpoints.checkpoint import Checkpoint

State: TypeAlias = Mapping[str, Tensor]
"""What a method knows of one checkpoint, by names: of parameter tensors, or its own."""
Layout: TypeAlias = Callable[[str, Tensor], Tensor]
"""Brings numbers of a parameter tensor, in its shape, into the order in which an engine holds its gradients."""


@runtime_checkable
class Preconditioner(Protocol):
    """P of one checkpoint. Engines ask for products with it, and never for what it is made of."""

    def check_covers(self, tracked: frozenset[str]) -> None:
        """Refuse to be the preconditioner of some tracked tensors only.

        Raises
        ------
        ConfigError
            Naming the others.
        """
        ...

    def __contains__(self, name: str) -> bool:
        """Tell whether a tensor has a P other than the identity."""
        ...

    def times(
        self, name: str, gradients: Float[Tensor, "row width"], ids: Int[Tensor, " row"] | None = None
    ) -> Float[Tensor, "row width"]:
        """Multiply gradients of a tensor, or of the rows `ids` of one."""
        ...

    def times_side_by_side(
        self, names: Sequence[str], gradients: Float[Tensor, "row width"], ids: Int[Tensor, " row"]
    ) -> Float[Tensor, "row width"]:
        """Multiply gradients of the rows `ids` of several tables, side by side."""
        ...

    def squares(self, name: str, gradients: Float[Tensor, "row parameter"]) -> Float[Tensor, " row"]:
        """Compute ⟨∇, P ∇⟩ of each gradient of a tensor, flattened."""
        ...

    def diagonal(self, name: str) -> Float[Tensor, "..."]:
        """Give the diagonal of P, in the shape that `Layout` gives this tensor.

        Engines multiply with it where they never hold a tensor's gradient whole: there P must be diagonal.
        """
        ...


@runtime_checkable
class TrainingPass(Protocol):
    """What a method gathers in a pass over the training triples, before anything is scored."""

    def add(self, engine: "Engine", triples: Int[Tensor, "batch 3"]) -> None:
        """Take in the gradients of some training triples; the engine has no preconditioner yet."""
        ...

    def finish(self) -> State:
        """Give what was gathered."""
        ...


@runtime_checkable
class PreconditionerMethod(Protocol):
    """A way to find P; it travels to the workers, so its class must be importable there, or picklable by value."""

    @property
    def name(self) -> str:
        """The name that results give."""
        ...

    @property
    def identity(self) -> object:
        """A JSON value that tells this method with its settings from others: it changes the scores."""
        ...

    @property
    def skips_cancelled(self) -> bool:
        """Whether tensors whose gradients batch norm cancels are left out unless they are named.

        True where P would be found from their rounding errors.
        """
        ...

    def read(self, checkpoint: "Checkpoint", names: Collection[str]) -> State:
        """Read what a checkpoint says about some parameter tensors.

        Raises
        ------
        CheckpointError
            If it does not say it.
        """
        ...

    def start_pass(self) -> TrainingPass | None:
        """Start a pass over some training triples of one checkpoint; None if the method needs none."""
        ...

    def merge(self, parts: Sequence[State]) -> State:
        """Merge what passes over different training triples gathered, in the order of the triples."""
        ...

    def fit(self, state: State, gathered: State, layout: Layout) -> Preconditioner:
        """Make P from the state read from the checkpoint and the sums of the pass (empty without one)."""
        ...
