"""captum's methods: TracInCP over one or several checkpoints, TracInCPFast, influence functions by Arnoldi."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bench_peers.captum_fast import CaptumTracInCPFast
from bench_peers.methods.question import LossName, Question, named
from bench_peers.peer import batches

REQUIREMENT = "captum>=0.9,<0.10"
BATCH, HESSIAN_ROWS = 8, 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TracInCP:
    """Products of whole gradients, summed over checkpoints."""

    loss: LossName = "bce"
    sums_checkpoints: bool = False
    requirement: str = REQUIREMENT

    @property
    def name(self) -> str:
        """What a table shows."""
        return named("captum TracInCP" + (", 4 checkpoints" if self.sums_checkpoints else ""), self.loss)

    def scores(self, question: Question) -> Float[Tensor, "test row"]:
        """Multiply the gradients of all pairs."""
        from captum.influence import TracInCP as Library  # noqa: PLC0415 - captum may be absent

        models = question.checkpoints if self.sums_checkpoints else question.checkpoints[-1:]

        def load(losses: nn.Module, index: str) -> float:
            losses.conve.load_state_dict(models[int(index)].state_dict())
            return 1.0

        tracin = Library(
            question.losses(self.loss),
            _loader(question.train),
            [str(index) for index in range(len(models))],
            checkpoints_load_func=load,
            loss_fn=AsItIs(),
        )
        found: Tensor = tracin.influence(_labelled(question.test))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TracInCPFast:
    """Products of gradients of fc.weight."""

    name: str = "captum TracInCPFast (fc.weight)"
    requirement: str = REQUIREMENT

    def scores(self, question: Question) -> Float[Tensor, "test row"]:
        """Multiply the gradients of all pairs, as in the measurement of speed."""
        return CaptumTracInCPFast().prepare(question.model, question.test, question.folder)(question.train).T


@dataclass(frozen=True, slots=True, kw_only=True)
class Arnoldi:
    """Influence functions: the inverse Hessian of 1,024 training triples, of rank 50 by 200 steps as by default."""

    loss: LossName = "bce"
    requirement: str = REQUIREMENT

    @property
    def name(self) -> str:
        """What a table shows."""
        return named("captum ArnoldiInfluenceFunction", self.loss)

    def scores(self, question: Question) -> Float[Tensor, "test row"]:
        """Project the gradients of all triples, and multiply."""
        from captum.influence._core.arnoldi_influence_function import (  # noqa: PLC0415 - captum may be absent
            ArnoldiInfluenceFunction,
        )

        function = ArnoldiInfluenceFunction(
            question.losses(self.loss),
            _loader(question.train),
            "the model as it is",
            checkpoints_load_func=lambda _model, _checkpoint: 1.0,
            loss_fn=AsItIs(),
            hessian_dataset=_loader(question.some_rows(HESSIAN_ROWS), HESSIAN_ROWS),
        )
        found: Tensor = function.influence(_labelled(question.test))
        return found


class AsItIs(nn.Module):
    """A loss of a model whose outputs are losses."""

    reduction = "none"

    def forward(self, outputs: Float[Tensor, " batch"], _labels: Tensor) -> Float[Tensor, " batch"]:
        """Give them."""
        return outputs


def _labelled(triples: Tensor) -> tuple[Tensor, Tensor]:
    return triples, torch.zeros(len(triples))


def _loader(triples: Tensor, size: int = BATCH) -> Any:  # noqa: ANN401 - torch's loaders are generic
    return batches(_labelled(triples), size)
