"""What an audit takes: bytes, bounded before a run."""

from tracin_dask.influence.losses import AnyLoss, reads
from tracin_dask.influence.losses.base import ALL_SCORES
from tracin_dask.models.config import TrainedModel
from tracin_dask.runs.audit.limits import MOST_ANSWERS
from tracin_dask.runs.audit.plain.model import looked_up

_BYTES = 8
"""Of a number in float64."""
_GRADIENTS = 3
"""Of a training triple while it is made, besides those of the answers."""


def audit_bytes(model: TrainedModel, loss: AnyLoss, *, is_preconditioned: bool) -> int:
    """Bound the bytes of an audit: the model once more and in float64, and a few gradients.

    Gradients of tables that are looked up have a few rows, unless the loss reads the scores of all entities.
    """
    module = model.module
    sizes = {id(one): one.numel() * (2 if one.is_complex() else 1) for one in (*module.parameters(), *module.buffers())}
    lookups = {id(one.weight) for one in looked_up(module)}
    every = sum(sizes.values())
    whole = every if reads(loss) == ALL_SCORES else sum(size for one, size in sizes.items() if one not in lookups)
    copies = 2 if is_preconditioned else 1  # P, and P times the gradients of answers
    return every * (model.dtype.itemsize + copies * _BYTES) + whole * (copies * MOST_ANSWERS + _GRADIENTS) * _BYTES
