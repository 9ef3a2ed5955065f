"""What a run takes in multiply-adds and bytes, asked in one way of either engine's cost model."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from tracin_dask.influence.autograd import cost as gradient_cost
from tracin_dask.influence.conve import cost
from tracin_dask.influence.conve.cost import MultiplyAdds, Workload
from tracin_dask.influence.conve.folded import model_bytes
from tracin_dask.influence.conve.modes import AnyModes, GradientModes, Modes
from tracin_dask.influence.conve.norm_cost import norm_bytes, norm_multiply_adds
from tracin_dask.influence.conve.preconditioner_cost import (
    preconditioned_batch_bytes,
    preconditioned_layout_bytes,
    preconditioner_bytes,
)
from tracin_dask.influence.losses import AnyLoss
from tracin_dask.models.conve.model import ConvEConfig
from tracin_dask.models.scoring import ScoringConfig

AnyConfig: TypeAlias = ConvEConfig | ScoringConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Computing:
    """How influences of one checkpoint are computed, whatever the model."""

    work: Workload
    tracked: frozenset[str]
    loss: AnyLoss
    is_normalised: bool
    itemsize: int
    recompute: bool


@runtime_checkable
class Counts(Protocol):
    """What one checkpoint takes, in the way that is chosen for it."""

    @property
    def modes(self) -> AnyModes:
        """The way."""
        ...

    @property
    def multiply_adds(self) -> MultiplyAdds:
        """The multiply-adds of all training triples, norms included."""
        ...

    @property
    def model_bytes(self) -> int:
        """Bound the bytes of the model, while it is loaded."""
        ...

    @property
    def test_bytes(self) -> int:
        """Bound the bytes of the test triples' factors, twice, and of all that is laid out beside them."""
        ...

    def batch_bytes(self, batch_size: int) -> int:
        """Bound the bytes that live at once while a batch is scored."""
        ...


@dataclass(frozen=True, slots=True)
class ConvECounts:
    """Of a ConvE."""

    config: ConvEConfig
    how: Computing
    modes: Modes

    @property
    def multiply_adds(self) -> MultiplyAdds:
        """The multiply-adds of all training triples, norms included."""
        how = self.how
        counted = cost.multiply_adds(self.config, how.work, how.tracked, self.modes)
        if not how.is_normalised:
            return counted
        return counted + norm_multiply_adds(self.config, how.work, how.tracked, how.loss)

    @property
    def model_bytes(self) -> int:
        """Bound the bytes of the model, while it is loaded."""
        how = self.how
        weights = model_bytes(self.config, how.itemsize)
        return weights + (
            preconditioner_bytes(self.config, how.tracked, how.itemsize) if self._is_preconditioned else 0
        )

    @property
    def test_bytes(self) -> int:
        """Bound the bytes of the test triples' factors, twice, and of all that is laid out beside them."""
        number, itemsize = self.how.work.num_tests, self.how.itemsize
        total = 2 * cost.prepared_bytes(self.config, number, itemsize)
        total += cost.layout_bytes(self.config, number, itemsize, self.modes)
        if self._is_preconditioned:
            total += preconditioned_layout_bytes(self.config, number, itemsize, self.modes)
        return total

    def batch_bytes(self, batch_size: int) -> int:
        """Bound the bytes that live at once while a batch is scored."""
        how, itemsize, again, total = self.how, self.how.itemsize, self.how.recompute, 0
        number = how.work.num_tests
        if number:
            total = cost.batch_bytes(self.config, batch_size, number, self.modes, itemsize=itemsize, recompute=again)
        if number == 0 or how.is_normalised:
            total = max(total, norm_bytes(self.config, batch_size, how.loss, itemsize=itemsize, recompute=again))
        if self._is_preconditioned:
            total += preconditioned_batch_bytes(self.config, batch_size, self.modes, itemsize=itemsize, recompute=again)
        return total

    @property
    def _is_preconditioned(self) -> bool:
        return self.how.work.is_preconditioned


@dataclass(frozen=True, slots=True)
class GradientCounts:
    """Of any other model."""

    config: ScoringConfig
    how: Computing
    modes: GradientModes

    @property
    def multiply_adds(self) -> MultiplyAdds:
        """The multiply-adds of all training triples, norms included."""
        how = self.how
        counted = gradient_cost.multiply_adds(self.config, how.work, how.tracked, self.modes)
        if not how.is_normalised:
            return counted
        return counted + gradient_cost.own_multiply_adds(self.config, how.work, how.tracked)

    @property
    def model_bytes(self) -> int:
        """Bound the bytes of the model, while it is loaded."""
        how = self.how
        weights = gradient_cost.model_bytes(self.config, how.itemsize)
        if not how.work.is_preconditioned:
            return weights
        return weights + gradient_cost.preconditioner_bytes(self.config, how.tracked, how.itemsize)

    @property
    def test_bytes(self) -> int:
        """Bound the bytes of the test triples' factors, twice, and of all that is laid out beside them."""
        number = self.how.work.num_tests
        prepared = gradient_cost.prepared_bytes(self.config, number, self.how.tracked, self.how.itemsize)
        return 2 * prepared + gradient_cost.layout_bytes(self.config, number)

    def batch_bytes(self, batch_size: int) -> int:
        """Bound the bytes that live at once while a batch is scored."""
        how, itemsize, total = self.how, self.how.itemsize, 0
        number = how.work.num_tests
        if number:
            total = gradient_cost.batch_bytes(
                self.config, batch_size, number, how.tracked, self.modes, itemsize=itemsize
            )
        if number == 0 or how.is_normalised:
            each = 1 + how.work.num_negatives
            total += gradient_cost.norm_bytes(self.config, batch_size, each, how.tracked, itemsize)
        return total


def counts_of(config: AnyConfig, how: Computing) -> Counts:
    """Choose the way of a model with the fewest multiply-adds, and count what it takes."""
    if isinstance(config, ScoringConfig):
        return GradientCounts(config, how, gradient_cost.choose_modes(config, how.work, how.tracked))
    return ConvECounts(config, how, cost.choose_modes(config, how.work, how.tracked))
