"""Stops at NaN and infinity, which can be neither ranked nor explained, and names the triple."""

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from tracin_dask.errors import NonFiniteError
from tracin_dask.influence import devices
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
        raise _error(len(wrong), what, ids[int(wrong[0])])


def refuse_non_finite_squares(ids: Int[ndarray, "batch 3"], squares: Float[Tensor, " batch"], *, what: str) -> None:
    """Raise if a squared length is NaN or infinite.

    Those of training triples are not read where the host would wait for a device: the influences that are made of them
    are NaN or infinite, too, and these are looked at late.

    Raises
    ------
    NonFiniteError
        As `refuse_non_finite`.
    """
    if what != "training" or not devices.computes_ahead(squares.device):
        refuse_non_finite(ids, squares[:, None], what=what)


class LateCheck:
    """Looks for NaN and infinity in batch after batch on a device, and reads what it found when it is asked to."""

    def __init__(self) -> None:
        """Start with no batch."""
        self._noted: list[tuple[Int[ndarray, "batch 3"], Int[Tensor, " 2"]]] = []

    def note(self, ids: Int[ndarray, "batch 3"], values: Float[Tensor, "batch value"]) -> None:
        """Count the wrong training triples of a batch, and find the first one; the device is not waited for."""
        lowest, highest = torch.aminmax(values, dim=1)
        is_finite = torch.maximum(highest, -lowest) < torch.inf  # NaN is not lower
        self._noted.append((ids, torch.stack([is_finite.sum(), is_finite.int().argmin()])))

    def settle(self) -> None:
        """Wait for the batches that were noted, and forget them.

        Raises
        ------
        NonFiniteError
            As `refuse_non_finite` of the first batch with a value that is NaN or infinite.
        """
        noted, self._noted = self._noted, []
        found = torch.stack([places for _, places in noted]).tolist() if noted else []
        for (ids, _), (number_finite, first) in zip(noted, found, strict=True):
            if number_finite < len(ids):
                raise _error(len(ids) - number_finite, "training", ids[first])


def refuse_non_finite_factors(ids: Int[ndarray, "test 3"], factors: object) -> None:
    """Raise if any number of the test triples' factors, a dataclass of tensors, is NaN or infinite.

    Raises
    ------
    NonFiniteError
        Naming the first such triple.
    """
    sums = [tensor.reshape(len(ids), -1).sum(dim=1, dtype=torch.float64) for tensor in leaves(factors)]
    refuse_non_finite(ids, torch.stack(sums, dim=1), what="test")


def _error(number: int, what: str, first: Int[ndarray, " 3"]) -> NonFiniteError:
    head, relation, tail = first.tolist()
    return NonFiniteError(
        f"the influence of {number} {what} triple(s) is NaN or infinite, first of all of (head {head}, "
        f"relation {relation}, tail {tail}); look at the checkpoint's weights for these ids"
    )
