"""Multiply-adds and bytes of a run with a ConvE, norms and preconditioner included."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tracin_dask.influence.conve import cost
from tracin_dask.influence.conve.batch_memory import batch_bytes, index_bytes
from tracin_dask.influence.conve.folded import model_bytes
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.norm_cost import WAITING, norm_bytes, norm_index_bytes, norm_multiply_adds
from tracin_dask.influence.conve.preconditioner_cost import (
    preconditioned_layout_bytes,
    preconditioner_bytes,
)
from tracin_dask.influence.cost import Computing, Keys, MultiplyAdds
from tracin_dask.influence.tensors import laid_out
from tracin_dask.models.conve.model import ConvEConfig

STAGES = {
    "forward": "once per distinct head or (head, relation)",
    "lower": "gradients through the convolution and fc, in the mode that is named below",
    "products": "once per pair with a test triple",
    "scores": "of all entities, once per distinct (head, relation)",
}


@dataclass(frozen=True, slots=True)
class ConvECost:
    """The cost of one checkpoint of a ConvE."""

    config: ConvEConfig
    how: Computing
    modes: Modes

    @property
    def multiply_adds(self) -> MultiplyAdds:
        """The multiply-adds of all training triples, norms included."""
        how = self.how
        counted = cost.multiply_adds(self.config, how.work, how.tracked, self.modes)
        norms = norm_multiply_adds(self.config, how.work, how.tracked)
        if self.modes.norms:
            products = counted.products + (norms.products if how.work.num_negatives else 0)
            return replace(counted, lower=norms.lower, products=products) + norms.times(how.own_passes - 1)
        return counted + norms.times(how.own_passes)

    @property
    def stages(self) -> Mapping[str, str]:
        """Explain the stages of `multiply_adds`."""
        return STAGES

    @property
    def model_bytes(self) -> int:
        """Bound the bytes of the model, while it is loaded."""
        how = self.how
        weights = model_bytes(self.config, how.itemsize, rounds=how.rounds)
        return weights + (
            preconditioner_bytes(self.config, how.tracked, how.itemsize) if self._is_preconditioned else 0
        )

    @property
    def test_bytes(self) -> int:
        """Bound the bytes of the test triples' factors, twice, and of all data in the layout of the engine."""
        number, itemsize = self.how.work.num_tests, self.how.itemsize
        total = 2 * cost.prepared_bytes(self.config, number, itemsize)
        total += cost.layout_bytes(self.config, number, itemsize, self.modes, tiling=self.how.tiling)
        if self._is_preconditioned:
            total += preconditioned_layout_bytes(self.config, number, itemsize, self.modes)
        return total

    def batch_bytes(self, keys: Keys) -> int:
        """Bound the peak bytes of scoring a batch."""
        how, total, indexed = self.how, 0, 0
        if how.work.num_tests:
            mine = keys if how.work.shares_pairs else replace(keys, pairs=keys.rows)
            total = batch_bytes(self.config, mine, how.work, self.modes, how.storage)
            total += how.own_passes * WAITING * keys.rows * how.itemsize
            indexed = index_bytes(self.config, mine, how.work, self.modes, how.storage)
        if how.work.num_tests == 0 or how.own_passes:
            norms = norm_bytes(self.config, keys, how.work, how.storage)
            if self.modes.norms:  # from the pass that scores: products and tails are there, too
                columns, dim = laid_out(how.work.num_tests), self.config.embedding_dim
                norms += how.itemsize * ((keys.rows + keys.pairs) * columns + keys.rows * dim)
            else:
                indexed += norm_index_bytes(self.config, keys, how.work, how.storage)
            total = max(total, norms)
        return total + indexed

    @property
    def _is_preconditioned(self) -> bool:
        return self.how.work.is_preconditioned


def conve_cost(config: ConvEConfig, how: Computing) -> ConvECost:
    """Choose the modes with the fewest multiply-adds, and count what they take."""
    modes = cost.choose_modes(config, how.work, how.tracked, how.tiling)
    if how.divides_by_norms and (how.work.all_scores or not how.tiling.by_pair):
        modes = Modes(norms=True, all_scores=how.work.all_scores)
    return ConvECost(config, how, modes)
