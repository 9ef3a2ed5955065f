"""What a trained model says of test triples: score, loss, margin and filtered rank of each."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor, nn

from tracin_dask.models.conve.model import ConvE
from tracin_dask.models.training.evaluation import SCORE_BYTES, KnownTails, tail_ranks

QUANTITIES = ("margin", "loss", "score")
"""What retrained models are asked for: all but ranks."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """What a model says of each test triple, or several models do.

    Attributes
    ----------
    score
        The logit of the triple.
    loss
        The loss of training: mean binary cross-entropy of the scores of all entities as the tail.
    margin
        The score less log Σ exp of the scores of all other entities as the tail.
    rank
        Of the tail among all entities that are no other known tail; 1 is best, ties count against the model.
    """

    score: Float[ndarray, "*model test"]
    loss: Float[ndarray, "*model test"]
    margin: Float[ndarray, "*model test"]
    rank: Int[ndarray, "*model test"]

    def worth(self, quantity: str) -> Float[ndarray, "*model test"]:
        """Give a quantity so that larger is better for the test triple: the loss with a minus."""
        values: ndarray = getattr(self, quantity)
        return -values if quantity == "loss" else values

    def of_tests(self, places: Int[ndarray, " chosen"]) -> "Measured":
        """Keep the measurements of some test triples."""
        return Measured(**{field.name: getattr(self, field.name)[..., places] for field in fields(self)})

    def diagonal(self, repeats: int) -> "Measured":
        """Of models that belong to one test triple each, `repeats` in a row, keep what they say of that one."""
        tests = np.arange(self.rank.shape[1])
        parts = {field.name: getattr(self, field.name).reshape(len(tests), repeats, -1) for field in fields(self)}
        return Measured(**{name: values[tests, :, tests].T for name, values in parts.items()})


def stacked(all_measured: "list[Measured]") -> Measured:
    """Put the measurements of several models below each other: arrays [model, test]."""
    names = [field.name for field in fields(Measured)]
    return Measured(**{name: np.stack([getattr(one, name) for one in all_measured]) for name in names})


def measure(model: ConvE, tests: Int[ndarray, "test 3"], known: KnownTails, *, label_smoothing: float) -> Measured:
    """Measure a model, which is in eval mode afterwards."""
    model.eval()
    num_rows = max(1, SCORE_BYTES // (4 * model.config.num_entities))
    starts = range(0, len(tests), num_rows)
    parts = [_measured(model, tests[start : start + num_rows], label_smoothing) for start in starts]
    score, loss, margin = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Measured(score=score, loss=loss, margin=margin, rank=tail_ranks(model, tests, known))


def _measured(model: ConvE, tests: Int[ndarray, "batch 3"], label_smoothing: float) -> tuple[ndarray, ...]:
    """Give the scores, losses and margins of some test triples."""
    head, relation, tail = torch.as_tensor(tests, device=model.device).unbind(dim=1)
    with torch.inference_mode():
        scores: Tensor = model(head, relation).double()
    own = scores.gather(1, tail[:, None]).squeeze(1)
    others = scores.scatter(1, tail[:, None], -torch.inf)
    labelled = ((1 - label_smoothing) * own + label_smoothing * scores.mean(dim=1)) / scores.shape[1]
    found = (own, nn.functional.softplus(scores).mean(dim=1) - labelled, own - others.logsumexp(dim=1))
    return tuple(values.cpu().numpy() for values in found)
