"""What a run of any model takes in multiply-adds and bytes, norms and preconditioner included."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tracin_dask.influence.autograd import cost, tails_cost
from tracin_dask.influence.autograd.modes import GradientModes
from tracin_dask.influence.cost import Computing, Keys, MultiplyAdds
from tracin_dask.models.scoring import ScoringConfig

STAGES = {
    "forward": "the scores that are needed, elementwise work included",
    "lower": "their derivatives, in the mode that is named below",
    "products": "once per pair with a test triple",
    "scores": "of all entities, once per distinct (head, relation)",
}


@dataclass(frozen=True, slots=True)
class AutogradCost:
    """What one checkpoint of any model takes."""

    config: ScoringConfig
    how: Computing
    modes: GradientModes

    @property
    def multiply_adds(self) -> MultiplyAdds:
        """The multiply-adds of all training triples, norms included."""
        how = self.how
        if self.modes.all_scores:
            counted = tails_cost.tails_multiply_adds(self.config, how.work, how.tracked)
            own = tails_cost.tails_own_multiply_adds
        else:
            counted = cost.multiply_adds(self.config, how.work, how.tracked, self.modes)
            own = cost.own_multiply_adds
        if self.modes.norms:  # the gradients whose lengths are counted below give the products, too
            counted = replace(counted, forward=0, lower=0)
        return counted + own(self.config, how.work, how.tracked).times(how.own_passes)

    @property
    def stages(self) -> Mapping[str, str]:
        """What the stages of `multiply_adds` are."""
        return STAGES

    @property
    def model_bytes(self) -> int:
        """Bound the bytes of the model, while it is loaded."""
        how = self.how
        weights = cost.model_bytes(self.config, how.itemsize)
        if not how.work.is_preconditioned:
            return weights
        return weights + cost.preconditioner_bytes(self.config, how.tracked, how.itemsize)

    @property
    def test_bytes(self) -> int:
        """Bound the bytes of the test triples' factors, twice, and of all data in the layout of the engine."""
        number = self.how.work.num_tests
        if self.modes.all_scores:
            # columns at single scores are written into whole tables, side by side
            return 3 * tails_cost.tails_prepared_bytes(self.config, number, self.how.tracked, self.how.itemsize)
        prepared = cost.prepared_bytes(self.config, number, self.how.tracked, self.how.itemsize)
        return 2 * prepared + cost.layout_bytes(self.config, number, self.how.tracked, self.how.itemsize)

    def batch_bytes(self, keys: Keys) -> int:
        """Bound the bytes that live at once while a batch is scored."""
        how, total, batch_size = self.how, 0, keys.rows
        number = how.work.num_tests
        if self.modes.all_scores:
            return self._tails_batch_bytes(batch_size)
        if self.modes.norms:
            total = cost.influence_bytes(batch_size, number, how.itemsize)
        elif number:
            total = cost.batch_bytes(self.config, batch_size, number, how.tracked, self.modes, storage=how.storage)
        if number == 0 or how.own_passes:
            each = 1 + how.work.num_negatives
            total += cost.norm_bytes(self.config, batch_size, each, how.tracked, how.storage)
        return total

    def _tails_batch_bytes(self, batch_size: int) -> int:
        """Bound the bytes of a batch whose loss reads the scores of all entities."""
        how, total = self.how, 0
        if self.modes.norms:
            total = cost.influence_bytes(batch_size, how.work.num_tests, how.itemsize)
        elif how.work.num_tests:
            total = tails_cost.tails_batch_bytes(self.config, batch_size, how.work.num_tests, how.storage)
        if how.work.num_tests == 0 or how.own_passes:
            total += tails_cost.tails_norm_bytes(self.config, batch_size, how.tracked, how.storage)
        return total


def autograd_cost(config: ScoringConfig, how: Computing) -> AutogradCost:
    """Choose the modes with the fewest multiply-adds, and count what they take."""
    modes = cost.choose_modes(config, how.work, how.tracked)
    if how.divides_by_norms and not how.work.num_negatives:
        modes = replace(modes, forward=False, norms=True)
    return AutogradCost(config, how, modes)
