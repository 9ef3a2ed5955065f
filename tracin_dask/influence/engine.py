"""The protocol of an engine: gradients of triples, and their products with the gradients of test triples.

Each engine is a sub-package of this room that the configuration of a model names (`config.engine`); `KIND` in its file
`kind` is an `EngineKind`. Nothing outside of these sub-packages knows which engine it uses.
"""

from collections.abc import Iterator
from dataclasses import Field, dataclass
from importlib import import_module
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.influence.cost import Computing, EngineCost, Modes
from tracin_dask.influence.grouped import Squares
from tracin_dask.influence.index_arrays import IndexArrays
from tracin_dask.influence.losses import AnyLoss
from tracin_dask.influence.losses.by_row import LossByRow
from tracin_dask.influence.precision import Precision, PrecisionName
from tracin_dask.influence.preconditioners.base import Layout, Preconditioner
from tracin_dask.influence.preconditioners.diagonal import IDENTITY
from tracin_dask.influence.table_gradients import TableIndex, TableRows
from tracin_dask.models.config import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchScores:
    """Influences of some rows of a batch on all columns, or on all answers."""

    rows: Int[ndarray, " row"]
    influences: Float[Tensor, "row column"]
    squares: Squares | None = None
    """learning_rate · ⟨∇loss_i, P ∇loss_i⟩ of each row, where they are made with the influences."""
    place: Int[Tensor, " row"] | None = None
    """The rows, on the device; None where they are all rows of the batch, in order."""
    num_cancelled: Int[Tensor, ""] | None = None
    """How many of them are 0 because they would be quotients of rounding errors; None where there can be none."""


@runtime_checkable
class Factors(Protocol):
    """Gradients of triples as an engine keeps them: a dataclass of tensors that share their first axis."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def scale(self) -> Float[Tensor, " column"]:
        """What every product with a gradient is multiplied by: learning_rate · ∂loss/∂score."""
        ...

    def __len__(self) -> int:
        """Count the gradients."""
        ...


@runtime_checkable
class EngineModel(Protocol):
    """A model as an engine holds it."""

    @property
    def device(self) -> torch.device:
        """Where its tensors lie."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The type of its tensors."""
        ...


@runtime_checkable
class Indexed(Protocol):
    """What a scorer found in the ids of a batch, and needs no more of them to score it: each scorer has its own."""

    def __len__(self) -> int:
        """Count the triples of the batch."""
        ...


@runtime_checkable
class BatchScorer(Protocol):
    """Scores batches of training triples against one set of test triples.

    All that follows from the ids of a batch is found out first, on the host: a thread of its own does so ahead.
    """

    def index(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays) -> Indexed:
        """Find out all that the ids of a batch say, in any thread; its index arrays are put beside others."""
        ...

    def parts(self, indexed: Indexed) -> Iterator[BatchScores]:
        """Score a batch that this scorer indexed, in one or several parts; the device is not waited for.

        The rows of the parts follow from the ids and the engine's modes alone.
        """
        ...


def parts_of(scorer: BatchScorer, ids: Int[ndarray, "batch 3"], device: torch.device) -> Iterator[BatchScores]:
    """Index a batch and score it at once, in parts."""
    return scorer.parts(scorer.index(ids, IndexArrays(device)))


@runtime_checkable
class TripleScorer(BatchScorer, Protocol):
    """Scores the triples of a batch as they are, under a loss of each triple's own score or of all scores."""

    def index(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays, loss: LossByRow | None = None) -> Indexed:
        """Find out all that the ids of a batch say; its rows have losses of their own, or all of them the engine's."""
        ...


@runtime_checkable
class Engine(Protocol):
    """Computes gradients of one checkpoint's losses, and their products ⟨∇loss_i, P ∇loss_j⟩."""

    @property
    def model(self) -> EngineModel:
        """The model, on its device."""
        ...

    @property
    def num_entities(self) -> int:
        """How many entities there are to corrupt triples with, or to score as tails."""
        ...

    @property
    def loss(self) -> AnyLoss:
        """The loss whose gradients count."""
        ...

    @property
    def learning_rate(self) -> float:
        """The factor of every influence."""
        ...

    @property
    def precision(self) -> Precision:
        """How the operands of big products are rounded."""
        ...

    @property
    def gradients_at_a_time(self) -> int:
        """How many gradients are held whole, where several of a triple meet each other."""
        ...

    @property
    def scores_with_squares(self) -> bool:
        """Whether the squared lengths of training triples' gradients are made with their influences."""
        ...

    def with_loss(self, loss: AnyLoss) -> "Engine":
        """Give the same engine for another loss."""
        ...

    def prepare(self, test_triples: Int[Tensor, "test 3"], *, batch_size: int) -> Factors:
        """Compute the gradients of test triples, `batch_size` at a time.

        Raises
        ------
        NonFiniteError
            If a factor is NaN or infinite; the test triple is named.
        """
        ...

    def self_influence(self, triples: Int[Tensor, "batch 3"], *, what: str = "training") -> Float[Tensor, " batch"]:
        """Compute learning_rate · ⟨∇loss_i, P ∇loss_i⟩ for every triple i, in float64.

        Squares of short gradients are no numbers of float32; otherwise every value is one.

        Raises
        ------
        NonFiniteError
            If one is NaN or infinite; the message calls the triple a `what` triple.
        """
        ...

    def index_own(self, ids: Int[ndarray, "batch 3"], arrays: IndexArrays) -> Indexed:
        """Find out what ids of training triples say, whose gradients meet themselves: in any thread."""
        ...

    def own_squares(self, indexed: Indexed, *, what: str = "training") -> Float[Tensor, " batch"]:
        """Compute the same as `self_influence` of triples that are indexed."""
        ...

    def index_within(self, ids: Int[ndarray, "triple gradient 3"], arrays: IndexArrays) -> Indexed:
        """Find out what ids say of several triples of one relation each: in any thread."""
        ...

    def products_within(
        self, indexed: Indexed, dtype: torch.dtype
    ) -> tuple[Float[Tensor, "triple gradient"], Float[Tensor, "triple gradient gradient"]]:
        """Give the scores of several triples of one relation each, and ⟨∇score_k, P ∇score_l⟩ of their gradients.

        Gradients are those of the model's type; their products are made in `dtype`.
        """
        ...

    def index_tables(
        self, ids: Int[ndarray, "batch 3"], rows: TableRows, arrays: IndexArrays, loss: LossByRow | None = None
    ) -> TableIndex:
        """Find out which triples have gradients at some rows of tracked tables: in any thread.

        Triples have losses of their own, or all of them the engine's, of their own scores.
        """
        ...

    def table_gradients(self, indexed: TableIndex) -> dict[str, Float[Tensor, "entry _"]]:
        """Give the gradients of losses at rows of tables, in the order of the `entries` of each table."""
        ...

    def index_at_rows(self, ids: Int[ndarray, "batch 3"], rows: TableRows, arrays: IndexArrays) -> Indexed:
        """Find out what the ids of triples say whose losses are of all scores: in any thread."""
        ...

    def gradients_at_rows(self, indexed: Indexed) -> Iterator[tuple[str, Float[Tensor, "id triple width"]]]:
        """Give the gradients of losses of all scores at the rows of each table, a few triples at a time."""
        ...

    def scorer(self, factors: Factors) -> TripleScorer:
        """Lay the columns out on the device, once for all batches."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How an engine of a loaded model computes."""

    tracked: frozenset[str]
    loss: AnyLoss
    learning_rate: float
    modes: Modes
    preconditioner: Preconditioner = IDENTITY
    recompute: bool = False
    """Compute activations again in the backward pass instead of keeping them (gradient checkpointing)."""


@runtime_checkable
class ReadyModel(Protocol):
    """A model on a device, from which engines are made."""

    @property
    def model(self) -> EngineModel:
        """The model, the same object for all engines."""
        ...

    def engine(self, settings: EngineSettings) -> Engine:
        """Make an engine."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What a run asks of an engine beyond its loss."""

    precision: PrecisionName
    recompute: bool


@runtime_checkable
class EngineKind(Protocol):
    """What must be known of an engine before there is one."""

    def refuse_unsupported(self, model: Any, loss: AnyLoss, options: EngineOptions) -> None:  # noqa: ANN401 - the module that the configuration describes
        """Refuse what the engine, or this model, cannot do.

        Raises
        ------
        ConfigError
            With the reason and a way out.
        """
        ...

    def config_for(self, model: Any, loss: AnyLoss) -> ModelConfig:  # noqa: ANN401 - the module that the configuration describes
        """Describe a model with all that the cost model needs for a loss."""
        ...

    def cost(self, config: ModelConfig, how: Computing) -> EngineCost:
        """Choose the modes with the fewest multiply-adds, and count what they take."""
        ...

    def layout(self, config: ModelConfig, device: torch.device) -> Layout:
        """Give what brings numbers of a parameter tensor into the order of its gradients, on a device."""
        ...

    def ready(self, model: Any, *, device: torch.device, precision: Precision) -> ReadyModel:  # noqa: ANN401 - the module that the configuration describes
        """Bring a loaded model to a device."""
        ...


def engine_kind(config: ModelConfig) -> EngineKind:
    """Give the engine that differentiates a model."""
    kind: EngineKind = import_module(f"{__package__}.{config.engine}.kind").KIND
    return kind
