"""The operations and the memory of one score, measured on a few triples."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from tracin_dask.models.scoring import Effort


def effort_of(score: Callable[[int], Tensor], *, step: int = 2) -> Effort:
    """Measure a function that scores so many triples: what `step` more than two take is not paid once per call."""
    (few, kept_of_few), (more, kept_of_more) = _measured(score, 2), _measured(score, 2 + step)
    values = max(0, kept_of_more - kept_of_few) // step
    return Effort(
        multiply_adds=max(0, more - few) // (2 * step),  # a multiply-add counts as two operations
        values=values,
        values_per_call=max(0, kept_of_few - 2 * values),
    )


def _measured(score: Callable[[int], Tensor], number: int) -> tuple[int, int]:
    """Count the operations of products, and the numbers that autograd keeps, each storage once."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    counter = FlopCounterMode(display=False)
    with torch.enable_grad(), counter, saved_tensors_hooks(keep, lambda tensor: tensor):
        scores = score(number)
    return counter.get_total_flops(), sum(kept.values()) // scores.element_size()
