"""What stands between two gradients: P in ⟨∇i, P ∇j⟩, and the methods that find it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.models.scoring import Role

if TYPE_CHECKING:
    from tracin_dask.influence.engine import Engine, Indexed
    from tracin_dask.models.checkpoints.checkpoint import Checkpoint

State: TypeAlias = Mapping[str, Tensor]
"""What a method knows of one checkpoint, by names: of parameter tensors, or its own."""
Layout: TypeAlias = Callable[[str, Tensor], Tensor]
"""Brings numbers of a parameter tensor, in its shape, into the order in which an engine holds its gradients."""


Range: TypeAlias = tuple[int, int]
"""Rows of the store, start ≤ row < stop."""


@runtime_checkable
class TimesTensors(Protocol):
    """A preconditioner that knows whole tensors: made without a layout, plain code can multiply with it."""

    def times_tensor(self, name: str, gradient: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Multiply the gradient of a tensor, in its shape as a parameter."""
        ...


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

    def is_diagonal(self, name: str) -> bool:
        """Tell whether P of a tensor that has one is diagonal."""
        ...

    def diagonal(self, name: str) -> Float[Tensor, "..."]:
        """Give a diagonal P, in the shape that `Layout` gives this tensor.

        Engines multiply with it where they never hold a tensor's gradient whole. P of a table may be a matrix for each
        row instead; P of all other tensors must be diagonal.
        """
        ...

    def matrices(self, name: str) -> Float[Tensor, "row width width"]:
        """Give the matrices, in float64, of all rows of a table that has one for each row."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What P is needed for, and what a pass over the training triples may go by."""

    num_triples: int
    batch_size: int
    num_ids: Mapping[Role, int]
    """How many entities and relations there are."""
    ids: Mapping[Role, Int[ndarray, " id"]] | None
    """Those at whose rows the test side has gradients, ascending; None for all: gradients may be anywhere."""
    row_sizes: Mapping[str, int]
    """The numbers of a row of each tracked table, by its name."""
    roles: Mapping[str, Role]
    """What these tables have rows of."""
    touching: int | None
    """No more training triples touch these entities; None where all triples have gradients at all rows."""

    @property
    def matrix_bytes(self) -> int:
        """Count the bytes of a matrix in float64 for each of these rows."""
        return sum(8 * size * size * len(self.ids_of(table)) for table, size in self.row_sizes.items())

    def bound_matrix_bytes(self, num_triples: int | None) -> int:
        """Bound the bytes of matrices for the rows that so many triples touch, or for all rows."""
        touched = {"entity": num_triples and 2 * num_triples, "relation": num_triples}
        numbers = {role: min(self.num_ids[role], touched[role] or self.num_ids[role]) for role in self.num_ids}
        return sum(8 * size * size * numbers[self.roles[table]] for table, size in self.row_sizes.items())

    def ids_of(self, table: str) -> Int[ndarray, " id"]:
        """List the rows of a table that P is needed for."""
        role = self.roles[table]
        return np.arange(self.num_ids[role]) if self.ids is None else self.ids[role]


@runtime_checkable
class TrainingPass(Protocol):
    """What a method gathers in a part of a pass over the training triples, before anything is scored."""

    def index(self, engine: "Engine", ids: Int[ndarray, "batch 3"], arrays: IndexArrays) -> "Indexed":
        """Find out all that the ids of some training triples say, for the engine of every checkpoint, in any thread."""
        ...

    def add(self, engine: "Engine", indexed: "Indexed") -> None:
        """Take in the gradients of training triples that are indexed; the engine has no preconditioner yet."""
        ...

    def finish(self) -> State:
        """Give what was gathered."""
        ...


@runtime_checkable
class PassPart(Protocol):
    """A part of a pass: a small value that travels to a worker. Parts do not depend on the number of workers."""

    @property
    def rows(self) -> tuple[Range, ...]:
        """The rows of the store to read."""
        ...

    @property
    def entities(self) -> Int[ndarray, " entity"] | None:
        """Leave out training triples that touch none of these; None for all training triples."""
        ...

    def start(self) -> TrainingPass:
        """Start on these rows."""
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

    @property
    def needs_pass(self) -> bool:
        """Whether it needs a pass over training triples of each checkpoint."""
        ...

    def parts(self, scope: Scope) -> Sequence[PassPart]:
        """Cut the pass into parts; none where it needs no pass."""
        ...

    def merge(self, parts: Sequence[State]) -> State:
        """Merge what some parts gathered, in their order; associative."""
        ...

    def fit(self, state: State, gathered: State, layout: Layout) -> Preconditioner:
        """Make P from the state read from the checkpoint and the sums of the pass (empty without one)."""
        ...
