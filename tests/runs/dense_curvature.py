"""The curvature of rows the slow, plain way: whole gradients of every triple, and dense inverses in float64."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

Gradients = Callable[[Tensor], Mapping[str, Tensor]]
"""Differentiates the loss of one triple by every tensor."""


_KNOWN: dict[tuple[object, bytes], list[Mapping[str, Tensor]]] = {}


def of_each(gradients: Gradients, triples: np.ndarray, key: object) -> list[Mapping[str, Tensor]]:
    """Differentiate each of some triples, equal ones once, and once for all tests that give the same key."""
    known = (key, triples.tobytes())
    if known not in _KNOWN:
        distinct, place = np.unique(triples, axis=0, return_inverse=True)
        found = [gradients(triple) for triple in torch.from_numpy(distinct)]
        _KNOWN[known] = [found[number] for number in place.ravel()]
    return _KNOWN[known]


def table_gradients(found: Sequence[Mapping[str, Tensor]], num_rows: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Give each triple's gradient at the rows of some tables, of which there are so many: [triple, row, width] each."""
    stacked = {name: torch.stack([one[name] for one in found]).detach().double().numpy() for name in num_rows}
    return {name: one.reshape(len(one), num_rows[name], -1) for name, one in stacked.items()}


def inverses(train: Mapping[str, np.ndarray], damping: float) -> dict[str, np.ndarray]:
    """Invert (F_e + μ) of every row of every table: [row, width, width] each."""
    found = {}
    for name, of_table in train.items():
        number = len(of_table)
        fisher = np.einsum("nrw,nrv->rwv", of_table, of_table) / number
        least = damping * (of_table**2).sum() / number / number
        found[name] = np.linalg.inv(fisher + least * np.eye(of_table.shape[2]))
    return found


def influences(
    train: Mapping[str, np.ndarray], test: Mapping[str, np.ndarray], inverse: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Give ⟨∇i, P ∇j⟩ and what errors are relative to, ‖∇i‖ · ‖P ∇j‖: [train, test] each."""
    total, ours, theirs = 0.0, 0.0, 0.0
    for name in train:
        along = np.einsum("rwv,trv->trw", inverse[name], test[name])
        total = total + np.einsum("nrw,trw->nt", train[name], along)
        ours, theirs = ours + (train[name] ** 2).sum((1, 2)), theirs + (along**2).sum((1, 2))
    return total, np.sqrt(ours)[:, None] * np.sqrt(theirs)
