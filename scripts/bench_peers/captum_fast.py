"""captum's `TracInCPFast`: the last linear layer's weight only, by products of its inputs and output gradients."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from bench_peers.peer import Scorer, TripleScores, batches, installed_version
from tracin_dask.models.conve.model import ConvE


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptumTracInCPFast:
    """`TracInCPFast` of fc.weight. The library repeats the test triples' forward pass for every training batch."""

    name: str = "captum TracInCPFast"
    tracks: tuple[str, ...] = ("fc.weight",)
    requirement: str = "captum>=0.9,<0.10"
    prepares_tests: bool = False
    relative_error: float = 1e-9
    batch_size: int = 512

    def is_installed(self) -> bool:
        """Tell whether captum is there."""
        return installed_version(self.requirement) is not None

    def prepare(self, model: ConvE, test: Int[Tensor, "test 3"], folder: Path) -> Scorer:  # noqa: ARG002 - Peer's signature
        """Split the model at fc's output: what comes after it is the loss."""
        from captum.influence import TracInCPFast  # noqa: PLC0415 - captum may be absent

        until_fc = UntilFc(model).requires_grad_(requires_grad=False)
        loss = LossAfterFc(until_fc.conve)

        def score(rows: Int[Tensor, "rows 3"]) -> Float[Tensor, "rows test"]:
            found: Tensor = TracInCPFast(
                until_fc,
                until_fc.conve.fc,
                batches((rows[:, :2], rows[:, 2]), self.batch_size),
                ["the model as it is"],
                checkpoints_load_func=lambda _model, _checkpoint: 1.0,
                loss_fn=loss,
            ).influence((test[:, :2], test[:, 2]))
            return found.T

        return score


class UntilFc(TripleScores):
    """A copy of a ConvE, in eval mode, up to fc's output: `TracInCPFast` differentiates by a model's output."""

    def forward(self, pairs: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch dim"]:
        """Compute fc's output for heads and relations."""
        model = self.conve
        features = torch.relu(model.bn1(model.conv1(model.bn0(model.image(pairs[:, 0], pairs[:, 1])))))
        return model.fc(features.flatten(start_dim=1))


class LossAfterFc(nn.Module):
    """What is left of a ConvE after fc, and the sum of the losses."""

    reduction = "sum"

    def __init__(self, model: ConvE) -> None:
        """Share the model's tensors."""
        super().__init__()
        self.conve = model

    def forward(self, outputs: Float[Tensor, "batch dim"], tails: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
        """Compare with the tails and sum the losses."""
        model = self.conve
        scores = (torch.relu(model.bn2(outputs)) * model.entity_embeddings(tails)).sum(dim=1)
        if model.entity_bias is not None:
            scores = scores + model.entity_bias[tails]
        return binary_cross_entropy_with_logits(scores, torch.ones_like(scores), reduction="sum")
