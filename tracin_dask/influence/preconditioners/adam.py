"""Adam's preconditioner, 1 / (√v̂ + ε), from the state of the optimiser in the checkpoint."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tracin_dask.influence.preconditioners.base import Layout, PassPart, Scope, State
from tracin_dask.influence.preconditioners.diagonal import DiagonalPreconditioner, laid_out
from tracin_dask.models.checkpoints.adam import adam_scales
from tracin_dask.models.checkpoints.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class Adam:
    """The steps of the Adam that trained the model; see `tracin_dask.models.checkpoints.adam`."""

    name: ClassVar[str] = "adam"
    identity: ClassVar[str] = "adam"
    skips_cancelled: ClassVar[bool] = True
    """Whether tensors whose gradients are 0 in training are left out: v̂ has nothing but rounding errors for them."""
    needs_pass: ClassVar[bool] = False

    def read(self, checkpoint: Checkpoint, names: Collection[str]) -> State:
        """Read the state of the optimiser; raises as `adam_scales`."""
        return adam_scales(checkpoint, names)

    def parts(self, scope: Scope) -> Sequence[PassPart]:  # noqa: ARG002 - there is no pass
        """Need no pass over the training triples."""
        return ()

    def merge(self, parts: Sequence[State]) -> State:  # noqa: ARG002 - there is no pass
        """Give nothing: there is no pass."""
        return {}

    def fit(self, state: State, gathered: State, layout: Layout) -> DiagonalPreconditioner:  # noqa: ARG002 - there is no pass
        """Lay the diagonal out."""
        return laid_out(state, layout)
