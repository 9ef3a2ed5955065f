"""Stops at NaN and infinity, which can be neither ranked nor explained, and names the triple."""

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.errors import NonFiniteError
from tracin_dask.influence.tensors import leaves


def refuse_non_finite(
    ids: Int[ndarray, "batch 3"], values: Float[Tensor, "batch value"], *, what: str, summary: Tensor | None = None
) -> None:
    """Raise if any value is NaN or infinite: the sum of all, or of a `summary` of them, is NaN or infinite then.

    Raises
    ------
    NonFiniteError
        Naming the first such triple.
    """
    if torch.isfinite((values if summary is None else summary).sum()):
        return
    wrong = (~torch.isfinite(values)).any(dim=1).nonzero()[:, 0]
    if len(wrong):
        head, relation, tail = ids[int(wrong[0])].tolist()
        raise NonFiniteError(
            f"the influence of {len(wrong)} {what} triple(s) is NaN or infinite, first of all of (head {head}, "
            f"relation {relation}, tail {tail}); look at the checkpoint's weights for these ids"
        )


def refuse_non_finite_factors(ids: Int[ndarray, "test 3"], factors: object) -> None:
    """Raise if any number of the test triples' factors, a dataclass of tensors, is NaN or infinite.

    Raises
    ------
    NonFiniteError
        Naming the first such triple.
    """
    sums = [tensor.reshape(len(ids), -1).sum(dim=1, dtype=torch.float64) for tensor in leaves(factors)]
    refuse_non_finite(ids, torch.stack(sums, dim=1), what="test")
