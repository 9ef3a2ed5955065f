"""`torch.func`: forward-mode differentiation along every test triple's gradient, one test triple after another."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call, grad, jvp

from bench_peers.peer import Scorer, TripleLosses, installed_version
from tracin_dask.models.conve.model import ConvE


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchFunc:
    """The derivative of a batch's losses in the direction of ∇ loss(test triple) is their influence on it."""

    name: str = "torch.func jvp"
    tracks: tuple[str, ...] = ("*",)
    requirement: str = "torch>=2.5"
    prepares_tests: bool = True
    relative_error: float = 1e-9
    batch_size: int = 128

    def is_installed(self) -> bool:
        """Tell whether torch is new enough."""
        return installed_version(self.requirement) is not None

    def prepare(self, model: ConvE, test: Int[Tensor, "test 3"], folder: Path) -> Scorer:  # noqa: ARG002 - Peer's signature
        """Differentiate every test triple's loss; the gradients are kept, dense."""
        losses = TripleLosses(model)
        parameters = {name: parameter.detach() for name, parameter in losses.named_parameters()}

        def loss(values: dict[str, Tensor], triples: Tensor) -> Tensor:
            return functional_call(losses, values, (triples,))

        directions = [grad(lambda values, one=triple: loss(values, one).sum())(parameters) for triple in test.split(1)]

        def score(rows: Int[Tensor, "rows 3"]) -> Float[Tensor, "rows test"]:
            return torch.cat(
                [
                    torch.stack(
                        [
                            jvp(lambda values, some=batch: loss(values, some), (parameters,), (direction,))[1]
                            for direction in directions
                        ],
                        dim=1,
                    )
                    for batch in rows.split(self.batch_size)
                ]
            )

        return score
