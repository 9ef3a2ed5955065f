"""What scores and ranks of test triples take: bytes, bounded before a run."""

from tracin_dask.models.config import TrainedModel
from tracin_dask.models.ranking.pieces import pieces_of
from tracin_dask.triples.known_ends import known_ends_bytes

KNOWN_BYTES = 64 * 2**20
"""Bits of known tails, or heads, that are held at a time; never fewer than those of one triple."""


def rank_bytes(model: TrainedModel, num_tests: int) -> int:
    """Bound the bytes of a worker while it ranks: the model once more, what is known of both ends, and the scores."""
    module, config = model.module, model.config
    tensors = {id(one): one for one in (*module.parameters(), *module.buffers())}.values()
    size = sum(one.numel() * one.element_size() for one in tensors)
    one, every = (known_ends_bytes(number, config.num_entities) for number in (1, num_tests))
    known = max(one, min(every, KNOWN_BYTES))
    return size + 3 * known + pieces_of(config, model.dtype.itemsize).num_bytes
