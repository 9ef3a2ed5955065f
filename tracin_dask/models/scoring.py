"""The protocol of a model of the user's own: scores of triples, and the tensors that are tables of rows.

A table has a row per entity or per relation, and a score reads only the rows of its own triple. So the gradient of a
table is a few rows, and nothing as large as a table is ever made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from tracin_dask.errors import ConfigError

Role = Literal["entity", "relation"]


@runtime_checkable
class ScoringModel(Protocol):
    """A model of your own: an `nn.Module`, made as `cls(num_entities=..., num_relations=..., **model_kwargs)`.

    A score reads the rows of its own head and tail, or relation, and nothing else of a table; it may read all of any
    other tensor. It must not depend on the other triples of the batch, on earlier calls, nor on the ids but by the
    tables. Parameters that require no gradient are not trained, and have no influence. The model is taken in eval mode.

    A model can have one more method, which losses of all entities' scores need, as `OneToAll`:

        def score_tails(self, pairs: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch entity"]

    It scores every entity as the tail of each (head, relation), equal to what `score` gives these triples.

    A model whose scores are logits, trained with binary cross-entropy, can say so with `scores_are_logits = True`: then
    results state the sigmoid of a test triple's score as its probability.
    """

    tables: Mapping[str, Role]
    """The parameters and buffers that have a row per entity, or per relation, by their names; of the class."""

    def score(self, triples: Int[Tensor, "batch 3"]) -> Float[Tensor, " batch"]:
        """Score triples (head, relation, tail), with operations that autograd and `torch.func` know."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table: its name, whether its rows are of entities or relations, and the numbers of a row."""

    name: str
    role: Role
    row_size: int
    is_trained: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """The operations and the memory of one score, and those of every call in addition."""

    multiply_adds: int
    """Of matrix products and convolutions."""
    values: int
    """Numbers that are kept on the way for a gradient, in the type of a score."""
    values_per_call: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivativeWays:
    """In which ways the scores of a model can be differentiated, in addition to one backward pass per triple."""

    has_forward_mode: bool = True
    """Whether all operations have forward-mode derivatives (`torch.func.jvp`)."""
    is_mapped: bool = True
    """Whether the gradients of several triples can be made in one call (`torch.func.vmap`)."""


EVERY_WAY = DerivativeWays()
"""What most models allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringConfig:
    """What is known of a model that scores triples: enough to plan a run."""

    engine: ClassVar[str] = "autograd"
    cancelled_parameters: ClassVar[frozenset[str]] = frozenset()
    name: str
    """What the model is called, its settings included."""
    num_entities: int
    num_relations: int
    tables: tuple[Table, ...]
    dense: tuple[tuple[str, int], ...]
    """The other trained tensors, with their sizes: the gradient of a score may fill them."""
    untrained_size: int
    """Numbers of all tensors that are neither trained nor tables."""
    effort: Effort
    tails_effort: Effort | None = None
    """Of the scores of all entities as the tail of one (head, relation), where a loss reads these."""
    ways: DerivativeWays = EVERY_WAY
    """Of single scores; of those of all tails, where a loss reads these."""

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The trained tensors."""
        return (*(table.name for table in self.tables if table.is_trained), *(name for name, _ in self.dense))

    def last_layers(self, number: int) -> frozenset[str]:
        """Refuse: such a model does not state the order of its layers.

        Raises
        ------
        ConfigError
            Always.
        """
        raise ConfigError(
            f"{self.name} has no last {number} layers: the order of its layers is unknown; name tensors as parameters"
        )

    @property
    def size(self) -> int:
        """All numbers of the model."""
        return sum(map(self._size_of, self.tables)) + sum(size for _, size in self.dense) + self.untrained_size

    def tracked_size(self, tracked: frozenset[str]) -> int:
        """Count all numbers of the tracked tensors."""
        tables = sum(self._size_of(table) for table in self.tables if table.name in tracked)
        return tables + self.dense_size(tracked)

    def row_size(self, role: Role, tracked: frozenset[str]) -> int:
        """Count the numbers of one id's rows in the tracked tables."""
        return sum(table.row_size for table in self.tables if table.role == role and table.name in tracked)

    def dense_size(self, tracked: frozenset[str]) -> int:
        """Count the numbers of the tracked tensors that are not tables."""
        return sum(size for name, size in self.dense if name in tracked)

    def _size_of(self, table: Table) -> int:
        return table.row_size * (self.num_entities if table.role == "entity" else self.num_relations)
