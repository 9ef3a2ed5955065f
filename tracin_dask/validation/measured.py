"""What a trained model says of test triples: score, loss, margin and filtered rank of each."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

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

    def quality(self) -> dict[str, float]:
        """Tell how well the models predict the test triples, all together: filtered MRR, Hits@1 and Hits@10."""
        hits = {f"Hits@{k}": float((self.rank <= k).mean()) for k in (1, 10)}
        return {"MRR": float((1 / self.rank).mean()), **hits}

    def of_tests(self, places: Int[ndarray, " chosen"]) -> "Measured":
        """Keep the measurements of some test triples."""
        return Measured(**{field.name: getattr(self, field.name)[..., places] for field in fields(self)})

    def diagonal(self, repeats: int) -> "Measured":
        """Of models that belong to one test triple each, `repeats` in a row, keep what they say of that one."""
        tests = np.arange(self.rank.shape[1])
        parts = {field.name: getattr(self, field.name).reshape(len(tests), repeats, -1) for field in fields(self)}
        return Measured(**{name: values[tests, :, tests].T for name, values in parts.items()})


def said_of_quality(quality: Mapping[str, float]) -> str:
    """Say how well a model predicts, for a note."""
    return ", ".join(f"{name} {value:.3f}" for name, value in quality.items()) + " (filtered, of the tails)"


def stacked(all_measured: "list[Measured]") -> Measured:
    """Put the measurements of several models below each other: arrays [model, test]."""
    names = [field.name for field in fields(Measured)]
    return Measured(**{name: np.stack([getattr(one, name) for one in all_measured]) for name in names})
