"""Sums as tables of named terms: all that is added up can be listed, and left out one by one."""

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

Function = TypeVar("Function", bound=Callable[..., object])

Row = Literal["head", "relation", "tail", "tail_bias"]
"""Whose row of a table a gradient is of: that of a triple's head, say."""
COLUMN: dict[Row, int] = {"head": 0, "relation": 1, "tail": 2, "tail_bias": 2}
"""Where a triple holds the number of that row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term(Generic[Function]):
    """A term of a sum, or a step of a computation, that serves the gradients of some parameter tensors."""

    name: str
    tensors: Set[str]
    function: Function


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTerm:
    """The product of two gradients of one row of a table, where a training and a test triple share its id.

    The row belongs to the `train` part of the training triple and to the `test` part of the test triple.
    """

    name: str
    tensors: Set[str]
    train: Row
    test: Row


@runtime_checkable
class TableEntry(Protocol):
    """An entry of a table of terms."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...

    @property
    def tensors(self) -> Set[str]:
        """The parameter tensors whose gradients need it."""
        ...


Entry = TypeVar("Entry", bound=TableEntry)


def counted(table: Iterable[Entry], tracked: Set[str]) -> list[Entry]:
    """List the entries of a table that serve any of the tracked tensors, in the order of the table."""
    return [entry for entry in table if entry.tensors & tracked]
