"""What the model says of the test triples themselves: scores, ranks, probabilities, and equal training triples."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from tracin_dask.report.equal import EqualByParts
from tracin_dask.report.json_numbers import numbers

PREDICTION = "prediction"
"""The key of a test triple's prediction."""
ALL_RANKS = "--ranks all"
"""The option that computes ranks however long they take."""
PREDICTED_RANK = 10
"""The model predicts a test triple if the filtered rank of its tail is not beyond this."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EntityRanks(EqualByParts):
    """The ranks of the test triples' own entities among all entities: 1 for the first, ties in their middle."""

    filtered: Float[ndarray, " test"]
    """Among the entities that make no other training triple."""
    raw: Float[ndarray, " test"]
    """Among all entities."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions(EqualByParts):
    """What the model, or the last of several checkpoints, says of the test triples.

    Attributes
    ----------
    score
        NaN where a score is not finite.
    probability
        The sigmoid of the score; None where scores are no logits.
    tail_ranks, head_ranks
        None where they were not computed: `InfluenceResult.run` says why.
    train_index
        For each test triple, the lines of the training file that have the same triple.
    reversed_train_index
        The lines that have the triple with head and tail exchanged.
    contrast
        The same of the triples with the other tails, where test triples were compared with these; without heads.
    """

    score: Float[ndarray, " test"]
    probability: Float[ndarray, " test"] | None
    tail_ranks: EntityRanks | None
    head_ranks: EntityRanks | None
    train_index: tuple[Int[ndarray, " _"], ...]
    reversed_train_index: tuple[Int[ndarray, " _"], ...]
    contrast: "Predictions | None" = None

    @property
    def is_predicted(self) -> ndarray | None:
        """Whether each test triple is predicted; None where tails are not ranked."""
        return None if self.tail_ranks is None else self.tail_ranks.filtered <= PREDICTED_RANK


def to_json(predictions: Predictions, test: int) -> dict[str, Any]:
    """Describe what the model says of one test triple, null where it is not known."""
    probability = predictions.probability
    return {
        "score": _number(predictions.score[test]),
        "probability": None if probability is None else _number(probability[test]),
        **_ranks(predictions.tail_ranks, "tail", test),
        **_ranks(predictions.head_ranks, "head", test),
        "train_index": predictions.train_index[test].tolist(),
        "reversed_train_index": predictions.reversed_train_index[test].tolist(),
    }


def from_json(described: Sequence[Mapping[str, Any]], contrast: Predictions | None = None) -> Predictions:
    """Read back what `to_json` gave of all test triples."""
    probability = _numbers(described, "probability")
    return Predictions(
        score=_numbers(described, "score"),
        probability=None if np.isnan(probability).all() else probability,
        tail_ranks=_read_ranks(described, "tail"),
        head_ranks=_read_ranks(described, "head"),
        train_index=_lines(described, "train_index"),
        reversed_train_index=_lines(described, "reversed_train_index"),
        contrast=contrast,
    )


def known_numbers(predictions: Predictions) -> Iterator[tuple[str, Float[ndarray, " test"]]]:
    """Give the numbers that are known of all test triples, under the names that `to_json` gives them."""
    yield "score", predictions.score
    if predictions.probability is not None:
        yield "probability", predictions.probability
    for role, ranks in (("tail", predictions.tail_ranks), ("head", predictions.head_ranks)):
        if ranks is not None:
            yield f"filtered_{role}_rank", ranks.filtered
            yield f"raw_{role}_rank", ranks.raw


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _ranks(ranks: EntityRanks | None, role: str, test: int) -> dict[str, float | int | None]:
    """Give both ranks of an entity; whole ones are integers."""
    if ranks is None:
        return {f"filtered_{role}_rank": None, f"raw_{role}_rank": None}
    found = {f"filtered_{role}_rank": float(ranks.filtered[test]), f"raw_{role}_rank": float(ranks.raw[test])}
    return {name: int(rank) if rank.is_integer() else rank for name, rank in found.items()}


def _read_ranks(described: Sequence[Mapping[str, Any]], role: str) -> EntityRanks | None:
    filtered, raw = (_numbers(described, f"{kind}_{role}_rank") for kind in ("filtered", "raw"))
    return None if np.isnan(filtered).all() else EntityRanks(filtered=filtered, raw=raw)


def _numbers(described: Sequence[Mapping[str, Any]], key: str) -> Float[ndarray, " test"]:
    """Put numbers into an array, NaN where there is none."""
    found = [one[key] for one in described]
    if not all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in found):
        raise ValueError(f"{key} is no number")
    return np.array([np.nan if value is None else value for value in found], dtype=np.float64)


def _lines(described: Sequence[Mapping[str, Any]], key: str) -> tuple[Int[ndarray, " _"], ...]:
    return tuple(numbers(one[key], int) for one in described)
