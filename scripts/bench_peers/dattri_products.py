"""dattri's inner products of whole gradients: what its influence functions are without a Hessian."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call
from torch.utils.data import DataLoader

from bench_peers.peer import Scorer, TripleLosses, Triples, installed_version
from tracin_dask.models.conve.model import ConvE

TESTS_PER_CALL = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Dattri:
    """A `BaseInnerProductAttributor`: `vmap` of `grad` over a batch, dense, all parameters in one vector.

    `TracInAttributor` multiplies the same gradients, but always projects them at random first.
    """

    name: str = "dattri"
    tracks: tuple[str, ...] = ("*",)
    requirement: str = "dattri>=0.3,<0.4"
    prepares_tests: bool = True
    relative_error: float = 1e-9
    batch_size: int = 32

    def is_installed(self) -> bool:
        """Tell whether dattri is there in a version whose method below is overridden."""
        return installed_version(self.requirement) is not None

    def prepare(self, model: ConvE, test: Int[Tensor, "test 3"], folder: Path) -> Scorer:  # noqa: ARG002 - Peer's signature
        """Differentiate every test triple's loss once, not for every batch of training triples."""
        attributor = _attributor(TripleLosses(model), test)
        tests = as_batches(test, len(test))

        def score(rows: Int[Tensor, "rows 3"]) -> Float[Tensor, "rows test"]:
            train = as_batches(rows, self.batch_size)
            with torch.no_grad(), default_dtype(model.fc.weight.dtype):  # dattri's results have the default one
                found: Tensor = attributor.attribute(train, tests)
            return found

        score(test[:1])
        return score


def as_batches(triples: Int[Tensor, "rows 3"], size: int) -> DataLoader[Any]:
    """Make a loader as dattri wants it, which takes rows by the batch."""
    return DataLoader(Triples(triples), batch_size=size, collate_fn=_in_a_list)


def _in_a_list(batch: Tensor) -> list[Tensor]:
    return [batch]


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Let new tensors have a dtype until the block ends."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _attributor(losses: TripleLosses, test: Int[Tensor, "test 3"]) -> Any:  # noqa: ANN401 - dattri may be absent
    from dattri.algorithm.base import BaseInnerProductAttributor  # noqa: PLC0415 - dattri may be absent
    from dattri.task import AttributionTask  # noqa: PLC0415 - dattri may be absent

    def loss(values: dict[str, Tensor], data: tuple[Tensor]) -> Tensor:
        return functional_call(losses, values, data).sum()

    kept: list[Tensor] = []

    class WithTestGradients(BaseInnerProductAttributor):
        """Computes the test triples' gradients at the first call, a few at a time, into one tensor."""

        def generate_test_rep(self, ckpt_idx: int, data: tuple[Tensor]) -> Tensor:
            if not kept:
                size = sum(parameter.numel() for parameter in losses.parameters())
                made = torch.empty(len(test), size, dtype=losses.conve.fc.weight.dtype)
                for start in range(0, len(test), TESTS_PER_CALL):
                    stop = start + TESTS_PER_CALL
                    some = tuple(tensor[:, start:stop] for tensor in data)
                    made[start:stop] = super().generate_test_rep(ckpt_idx, some)
                kept.append(made)
            return kept[0]

    attributor = WithTestGradients(AttributionTask(loss, losses, losses.state_dict()))
    attributor.cache(as_batches(test, len(test)))
    return attributor
