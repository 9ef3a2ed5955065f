"""Multiply-adds and bytes of the norms of training triples' gradients, counted before a run starts."""

from dataclasses import replace

from tracin_dask.influence.conve import cost
from tracin_dask.influence.conve.engine import GRADIENTS_AT_A_TIME
from tracin_dask.influence.conve.modes import Modes
from tracin_dask.influence.conve.tensor_names import CONVOLUTION
from tracin_dask.influence.cost import MultiplyAdds, Storage, Workload
from tracin_dask.models.conve.model import ConvEConfig


def norm_multiply_adds(config: ConvEConfig, work: Workload, tracked: frozenset[str]) -> MultiplyAdds:
    """Count the multiply-adds: every training triple takes the whole backward pass, whatever tensors are tracked."""
    own, modes, every = replace(work, num_tests=0), _modes(work), frozenset(config.parameter_names)
    counted = cost.multiply_adds(config, own, tracked, modes)
    back = cost.multiply_adds(config, own, every, modes).lower
    gradients = (1 + work.num_negatives) * work.num_triples
    to_tensors = gradients * _moments_to_tensors(config) if tracked & CONVOLUTION else 0
    return replace(counted, lower=back + to_tensors)


def norm_bytes(
    config: ConvEConfig,
    batch_size: int,
    work: Workload,
    storage: Storage,
) -> int:
    """Bound the peak bytes of the norms of a batch: two vectors per row more than scoring without test triples.

    A loss with several gradients per triple takes some triples at a time, and holds their features twice.
    """
    waiting = 2 * (1 + config.embedding_dim) * batch_size * storage.itemsize
    if work.num_negatives == 0:
        return waiting + cost.whole_batch_bytes(config, batch_size, 0, storage, all_scores=work.all_scores)
    each = 1 + work.num_negatives
    held = min(each * batch_size, max(each, GRADIENTS_AT_A_TIME))
    features = 2 * held * config.num_features * storage.itemsize
    return waiting + features + cost.whole_batch_bytes(config, held, 0, storage, all_scores=work.all_scores)


def _modes(work: Workload) -> Modes:
    """Give the modes of norms: each triple is computed by itself."""
    return Modes(all_scores=work.all_scores)


def _moments_to_tensors(config: ConvEConfig) -> int:
    """Count the map from one triple's moments to the gradients of bn0, conv1 and bn1; it matters in small models."""
    moments = (config.num_taps + 1) * config.output_channels
    return moments * (moments + 2 * config.output_channels + 2)
