"""The triples by which a model is checked: every relation, or a sample of many, with several entities."""

import torch
from jaxtyping import Int
from torch import Tensor

from tracin_dask.models.rowwise import RowwiseModel
from tracin_dask.models.scoring import Effort

FEWEST, MOST = 16, 512
"""Triples of a check."""
_MOST_MULTIPLY_ADDS = 2 * 10**9
"""Of the scores of all triples once, where that is more than `FEWEST`."""
_MOST_VALUES = 2**25
"""Numbers that are kept for their gradients, where that is more than `FEWEST`."""
_SEED = 1


def sampled_triples(model: RowwiseModel, effort: Effort, *, has_loop: bool = True) -> Int[Tensor, "batch 3"]:
    """Draw the triples of a check, with relations in random order.

    `effort` is that of one score, which bounds their number; the first triple joins an entity with itself if
    `has_loop`, and none does else, where there are two entities.
    """
    generator = torch.Generator().manual_seed(_SEED)
    num_entities, num_relations = model.num_rows("entity"), model.num_rows("relation")
    number = max(FEWEST, min(num_relations, _most(effort)))
    relations = torch.cat([torch.randperm(num_relations, generator=generator)] * -(-number // num_relations))[:number]
    heads, tails = torch.randint(num_entities, (2, number), generator=generator)
    tails = torch.where(tails == heads, (heads + 1) % num_entities, tails)
    if has_loop:
        tails[0] = heads[0]
    return torch.stack([heads, relations, tails], dim=1).to(model.device)


def _most(effort: Effort) -> int:
    """Bound the number of triples by what their scores take."""
    by_work = _MOST_MULTIPLY_ADDS // max(1, effort.multiply_adds)
    return max(FEWEST, min(MOST, by_work, _MOST_VALUES // max(1, effort.values)))
