"""The self-influences of test triples and of the training triples in their rankings, and how JSON states them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from numpy import ndarray

from tracin_dask.report.equal import EqualByParts
from tracin_dask.report.json_numbers import numbers

TRAIN, TEST = "self_influence", "test_self_influence"
"""What files and tables call the self-influence of a training triple and of a test triple."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SelfInfluences(EqualByParts):
    """Σ over checkpoints of learning_rate · ‖∇loss‖²: what mode 'self' gives of a triple."""

    train: tuple[Float[ndarray, " _"], ...]
    """Of the training triples in each ranking."""
    test: Float[ndarray, " test"]
    """Of each test triple, also where several are explained together."""


def from_json(
    asked: Sequence[Mapping[str, Any]], rankings: Sequence[Sequence[Mapping[str, Any]]]
) -> SelfInfluences | None:
    """Read them from what describes the test triples and from the entries of the rankings; None if not stated."""
    if TEST not in asked[0]:
        return None
    return SelfInfluences(
        test=numbers((one[TEST] for one in asked), float),
        train=tuple(numbers((entry[TRAIN] for entry in entries), float) for entries in rankings),
    )
